"""A cloud of real hosts for tests: network, images and instances, without AWS."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from local import image, state
from local.host import enter
from local.hypervisor import LocalHypervisor
from local.interfaces import HostSpec
from local.mirror import Mirror
from local.network import Network

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

IMAGES: dict[str, image.Kind] = {"ami-baked": "htcondor", "ami-plain": "plain"}


# Seconds: many times what anything here takes on an idle computer. A slow one is no bug, and
# whoever is early waits for none of it.
PATIENCE = 300.0


def wait_for(true: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """The first true answer; fails the test, saying what was waited for, when none comes."""
    deadline = time.monotonic() + seconds
    while True:
        answer = true()
        if answer:
            return answer
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.25)


@dataclass
class FakeEc2:
    """Instances' metadata and events as the AWS side would have them."""

    user_datas: dict[str, bytes] = field(default_factory=dict)
    v1_allowed: set[str] = field(default_factory=set)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    more: dict[str, dict[str, Any]] = field(default_factory=dict)  # and what a test adds
    up: dict[str, threading.Event] = field(default_factory=dict)
    off: dict[str, threading.Event] = field(default_factory=dict)

    def tree(self, instance_id: str) -> dict[str, Any]:
        return {
            "instance-id": instance_id,
            "ami-id": "ami-baked",
            "instance-type": "m7i.large",
            "placement": {"availability-zone": "us-east-1a", "region": "us-east-1"},
            "iam": {"security-credentials": {"role": '{"Code" : "Success"}'}},
            "tags": {"instance": self.tags.get(instance_id, {})},
            **self.more.get(instance_id, {}),
        }

    def identity_document(self, instance_id: str) -> dict[str, str]:
        return {"instanceId": instance_id, "region": "us-east-1"}

    def user_data(self, instance_id: str) -> bytes | None:
        return self.user_datas.get(instance_id)

    def tokens_required(self, instance_id: str) -> bool:
        return instance_id not in self.v1_allowed

    def running(self, instance_id: str) -> None:
        self.up[instance_id].set()

    def powered_off(self, instance_id: str) -> None:
        self.off[instance_id].set()


@dataclass
class Instance:
    """A booted instance, as a test handles it."""

    spec: HostSpec
    folder: Path  # the account's state folder
    up: threading.Event
    off: threading.Event

    @property
    def name(self) -> str:
        return self.spec.instance_id

    def run(self, *argv: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return enter(self.folder, self.name, argv, stdin=stdin)

    def booted(self) -> Instance:
        """Itself, once its first process is up."""
        assert self.up.wait(PATIENCE), "pid 1 is not up"
        return self

    def ended(self) -> None:
        """Wait until it is off."""
        assert self.off.wait(PATIENCE), self.console_end()

    @property
    def console(self) -> str:
        log = self.folder / "hosts" / self.name / "console.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def console_end(self) -> str:
        return "\n".join(self.console.splitlines()[-30:])


class Cloud:
    """A network with a hypervisor: boots instances from user data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = image.Images(image.cache_folder(state.folder()))
        self.images.build()
        self.network = Network(folder)
        self.network.up()
        self.ec2 = FakeEc2()
        self.mirror = Mirror(self.network, self.images.mirror)
        layers = {ami: partial(self.images.layers, kind) for ami, kind in IMAGES.items()}
        self.hypervisor = LocalHypervisor(self.network, layers, self.ec2, self.ec2)
        self._numbers = itertools.count(4)
        self._booted: list[str] = []

    def boot(
        self,
        user_data: str | bytes | None = None,
        *,
        ami: str = "ami-baked",
        v1: bool = False,
        more: dict[str, Any] | None = None,
    ) -> Instance:
        number = next(self._numbers)
        name = f"i-{number:017x}"
        address = f"172.31.0.{number}"
        hostname = f"ip-{address.replace('.', '-')}.ec2.internal"
        if user_data is not None:
            text = user_data.encode() if isinstance(user_data, str) else user_data
            self.ec2.user_datas[name] = text
        if more:
            self.ec2.more[name] = more
        if v1:
            self.ec2.v1_allowed.add(name)
        up = self.ec2.up[name] = threading.Event()
        off = self.ec2.off[name] = threading.Event()
        spec = HostSpec(name, address, hostname, ami, vcpus=2, memory_mib=8192)
        self.hypervisor.boot(spec)
        self._booted.append(name)
        return Instance(spec, self.folder, up, off)

    def end_all(self) -> None:
        """Begin to shut down what was booted so far: hosts take processor, memory and inotify."""
        for name in self._booted:
            self.hypervisor.shut_down(name)
        self._booted.clear()

    def close(self) -> None:
        self.hypervisor.close()
        self.mirror.close()
        self.network.close()
