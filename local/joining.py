"""Joins the hosts' side to the AWS side: network, root file systems, hypervisor and pool."""

from __future__ import annotations

import os
import platform
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from local import client, image, keeper
from local.host import enter_command as enter
from local.hypervisor import LocalHypervisor
from local.images import IMAGES
from local.interfaces import AWS_ADDRESS, AWS_PORT, GATEWAY_PORT
from local.mirror import Mirror
from local.network import Network
from local.pool import Pool
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
    images = image.Images(image.cache_folder(state), say)
    images.build()
    clients = client.layers(images, say)
    with ExitStack() as stack:
        say("Starting the network")
        network = Network(state)
        stack.callback(network.close)
        network.up()
        stack.callback(Mirror(network, images.mirror).close)
        place = Place(
            tuple(network.command_prefix()), AWS_URL, lambda: network.listen(AWS_ADDRESS, 0)
        )
        aws, gateway = (network.listen(AWS_ADDRESS, port) for port in (AWS_PORT, GATEWAY_PORT))
        account.start_inside(aws, gateway, place)
        here = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
        layers = {
            each.ami_id: partial(images.layers, each.root)
            for each in IMAGES
            if each.architecture == here
        }
        machines = LocalHypervisor(network, layers, account.instance_data, account.lifecycle)
        stack.callback(machines.close)
        account.lifecycle.hypervisor = machines
        say("Starting the HTCondor pool")
        quick = os.environ.get("ANNEX_LOCAL_INTERVALS") == "quick"
        pool = (*clients, *images.layers("pool"))
        Pool(network, pool, intervals="quick" if quick else "stock").up()
        return stack.pop_all()


def clean(state: Path) -> None:
    """Remove what hosts of an account that was killed have left; no account may live there."""
    keeper.cleanup(state)


def enter_command(state: Path, name: str, argv: list[str], user: str, up: Up) -> list[str]:
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
    return enter(state, name, argv, user=user, environment=environment)
