"""Joins the hosts' side to the AWS side: network, root file systems, hypervisor and pool."""

from __future__ import annotations

import os
import platform
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any

from local.images import IMAGES
from local.interfaces import AWS_ADDRESS, AWS_PORT, GATEWAY_PORT
from local.runtime_api import Place

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local.account import Account
    from local.state import Up

AWS_URL = f"http://{AWS_ADDRESS}:{AWS_PORT}"
GATEWAY_URL = f"http://{AWS_ADDRESS}:{GATEWAY_PORT}"


def start(state: Path, account: Account, say: Callable[[str], None]) -> ExitStack:
    """Bring up network, hypervisor and pool; `close` ends them in reverse.

    Raises:
        RuntimeError: not possible here; nothing is left behind.
    """
    image_module, hypervisor = import_module("local.image"), import_module("local.hypervisor")
    mirror, network_module = import_module("local.mirror"), import_module("local.network")
    pool = import_module("local.pool")
    images: Any = image_module.Images(image_module.cache_folder(state), say)
    images.build()
    client = import_module("local.client").layers(image_module.cache_folder(state), say)
    with ExitStack() as stack:
        say("Starting the network")
        network = network_module.Network(state)
        stack.callback(network.close)
        network.up()
        stack.callback(mirror.Mirror(network, images.mirror).close)
        place = Place(
            tuple(network.command_prefix()), AWS_URL, lambda: network.listen(AWS_ADDRESS, 0)
        )
        aws, gateway = (network.listen(AWS_ADDRESS, port) for port in (AWS_PORT, GATEWAY_PORT))
        account.start_inside(aws, gateway, place)
        here = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
        bootable = [image for image in IMAGES if image.architecture == here]
        layers = {image.ami_id: images.layers(image.root) for image in bootable}
        machines = hypervisor.LocalHypervisor(
            network, layers, account.instance_data, account.lifecycle
        )
        stack.callback(machines.close)
        account.lifecycle.hypervisor = machines
        say("Starting the HTCondor pool")
        intervals = os.environ.get("ANNEX_LOCAL_INTERVALS", "stock")
        hosts = pool.Pool(network, (*client, *images.layers("pool")), intervals=intervals)
        hosts.up()
        # As pip leaves it wherever it installs: a client that must compile itself starts slowly.
        hosts.run("ap", ["python3", "-m", "compileall", "-q", "/opt/annex-client"])
        return stack.pop_all()


def clean(state: Path) -> None:
    """Remove what hosts of an account that was killed have left; no account may live there."""
    try:
        keeper: Any = import_module("local.keeper")
    except ModuleNotFoundError:
        return
    keeper.cleanup(state)


def enter_command(state: Path, host: str, argv: list[str], user: str, up: Up) -> list[str]:
    """The command line that runs `argv` on a host, with AWS's addresses as they are there.

    Raises:
        RuntimeError: no such host or user.
    """
    environment = {
        "AWS_ENDPOINT_URL": AWS_URL,
        "AWS_ENDPOINT_URL_EXECUTE_API": GATEWAY_URL,
        "AWS_REGION": up.region,
        "AWS_DEFAULT_REGION": up.region,
    }
    enter: Any = import_module("local.host").enter_command
    command: list[str] = enter(state, host, argv, user=user, environment=environment)
    return command
