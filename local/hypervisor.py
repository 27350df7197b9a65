"""Boots a host for each instance that EC2 launches, and tells EC2 when it is up and when gone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from local import metadata
from local.disk import File
from local.host import Host, HostPlan
from local.keeper import AccountError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from local.interfaces import HostSpec, InstanceMetadata, PowerEvents
    from local.network import Network

# EC2 gives an operating system some time to shut down when its instance is terminated, and does not
# say how much; condor's own unit would take up to 150 s, ours a few, or more on a slow computer.
_PATIENCE_SECONDS = 60.0


class LocalHypervisor:
    """`local.interfaces.Hypervisor` on this machine's kernel.

    Args:
        network: up already; closed by its owner, after this.
        images: for each AMI id what gives its root file system (layers, uppermost first), and
            builds it if it is not there yet.
        metadata: what each instance's metadata service answers.
        events: who hears of hosts that are up and of hosts that are gone.
    """

    def __init__(
        self,
        network: Network,
        images: Mapping[str, Callable[[], tuple[Path, ...]]],
        metadata: InstanceMetadata,
        events: PowerEvents,
    ) -> None:
        self._network = network
        self._images = images
        self._metadata = metadata
        self._events = events
        self._lock = threading.Lock()
        self._hosts: dict[str, Host | None] = {}  # None while it boots
        self._ending: set[str] = set()
        self._closed = False

    def boot(self, spec: HostSpec) -> None:
        """Boot the host; see `Hypervisor.boot`. A second boot of the same instance does nothing."""
        with self._lock:
            if self._closed or spec.instance_id in self._hosts:
                return
            self._hosts[spec.instance_id] = None
        _start(self._boot, spec)

    def shut_down(self, instance_id: str) -> None:
        """Shut the host down; see `Hypervisor.shut_down`. Unknown or gone hosts are left alone."""
        with self._lock:
            if instance_id not in self._hosts or instance_id in self._ending:
                return
            self._ending.add(instance_id)
            host = self._hosts[instance_id]
        if host is not None:  # else the booting thread sees that it is to end
            _start(host.shut_down, _PATIENCE_SECONDS)

    def console_output(self, instance_id: str) -> str:
        """What the instance printed on its console so far, also after its end; empty if nothing."""
        log = self._network.state / "hosts" / instance_id / "console.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def close(self) -> None:
        """End every host, hard, and return when they are gone; boots that are under way end too."""
        with self._lock:
            self._closed = True
            hosts = [host for host in self._hosts.values() if host is not None]
        for host in hosts:
            host.kill()

    def _boot(self, spec: HostSpec) -> None:
        name = spec.instance_id
        try:
            host, service = self._prepare(spec)
        except (AccountError, OSError) as error:
            print(f"{name}: {error}")
            self._forget(name)
            return

        def off() -> None:
            service.close()
            self._forget(name)

        try:
            host.boot(off)
        except (AccountError, OSError) as error:
            print(f"{name}: {error}")
            off()
            return
        with self._lock:
            if name not in self._hosts:
                return  # it is off already, and has been told to be
            self._hosts[name] = host
            closed, ending = self._closed, name in self._ending
        if closed:
            host.kill()
            return
        self._events.running(name)
        if ending:
            host.shut_down(_PATIENCE_SECONDS)

    def _prepare(self, spec: HostSpec) -> tuple[Host, metadata.Service]:
        if spec.image_id not in self._images:
            raise AccountError(f"no root file system stands for {spec.image_id}")
        layers = self._images[spec.image_id]()
        wire = self._network.attach("vpc", spec.private_ip)
        try:
            service = metadata.Service(wire.namespace, spec, self._metadata)
        except OSError:
            self._network.detach(wire)
            raise
        plan = HostPlan(
            name=spec.instance_id,
            hostname=spec.hostname,
            address=spec.private_ip,
            layers=layers,
            files={"/etc/condor/config.d/00-hardware.config": File(_hardware(spec).encode())},
        )
        return Host(self._network, plan, wire), service

    def _forget(self, name: str) -> None:
        with self._lock:
            self._hosts.pop(name, None)
            self._ending.discard(name)
        self._events.powered_off(name)


def _start(target: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=target, args=arguments, daemon=True).start()


def _hardware(spec: HostSpec) -> str:
    """HTCondor would find the whole machine's; a namespace has no size of its own."""
    return f"NUM_CPUS = {spec.vcpus}\nMEMORY = {spec.memory_mib}\n"
