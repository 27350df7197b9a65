"""An instance's states, which take time: pending, running, stopping, shutting-down and the ends.

Source: EC2 User Guide, "Amazon EC2 instance state changes". With a hypervisor the host itself says
when it is up and when it is gone; without one, short times stand for it.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.ec2.models.instances import StateReason

from local.errors import AwsError
from local.interfaces import HostSpec, Hypervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.later import Later
    from local.options import Options

log = logging.getLogger(__name__)

CODES = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}
_USER = ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")
_SELF = (
    "Client.InstanceInitiatedShutdown",
    "Client.InstanceInitiatedShutdown: Instance initiated shutdown",
)
_BROKEN = ("Server.InternalError", "Server.InternalError: Internal error on launch")


class Lifecycle:
    """Moves instances from state to state. It is the `PowerEvents` that a hypervisor calls.

    `tear_down` does what moto does when an instance ends (volumes, interfaces); `publish` is told
    (instance id, state) at each change.
    """

    def __init__(
        self,
        options: Options,
        later: Later,
        tear_down: Callable[[Any], object],
        publish: Callable[[str, str], None],
        shape: Callable[[Any], tuple[int, int]],
    ) -> None:
        self.hypervisor: Hypervisor | None = None
        self._options = options
        self._later = later
        self._tear_down = tear_down
        self._publish = publish
        self._shape = shape
        self._lock = threading.RLock()
        self._instances: dict[str, Any] = {}
        self._visible_at: dict[str, float] = {}

    def close(self) -> None:
        """Hear of no host any more."""
        with self._lock:
            self._instances.clear()

    def visible(self, instance_id: str) -> bool:
        """Whether EC2's readers know of it yet (eventual consistency)."""
        late = self._options.invisible_seconds  # of its launch, unless nothing is to be late now
        return not late or time.monotonic() >= self._visible_at.get(instance_id, 0)

    def known(self, instance_id: str) -> Any | None:
        """The instance, or None."""
        return self._instances.get(instance_id)

    def console_output(self, instance_id: str) -> str:
        """What its console has shown; nothing where there are no hosts."""
        return self.hypervisor.console_output(instance_id) if self.hypervisor else ""

    def forget_all(self) -> None:
        """The account is reset: end every host without a word."""
        with self._lock:
            gone = list(self._instances)
            self._instances.clear()
            self._visible_at.clear()
        for instance_id in gone:
            if self.hypervisor:
                self.hypervisor.shut_down(instance_id)

    def launched(self, instance: Any) -> None:
        """A new instance: pending, then its host is booted."""
        with self._lock:
            self._instances[instance.id] = instance
            self._visible_at[instance.id] = time.monotonic() + self._options.invisible_seconds
        self._boot(instance)

    def terminate(self, instance: Any, reason: tuple[str, str] = _USER) -> Any:
        """Begin the end; returns the state before. Again on one that is ending: nothing happens.

        `reason` is the StateReason's code and message.
        """
        with self._lock:
            previous = _copy(instance)
            if previous.name in {"shutting-down", "terminated"}:
                return previous
            self._set(instance, "shutting-down", reason)
        if previous.name == "stopped":
            self.powered_off(instance.id)
        else:
            self._shut_down(instance)
        return previous

    def stop(self, instance: Any) -> Any:
        """Begin to stop; returns the state before."""
        with self._lock:
            previous = _copy(instance)
            if previous.name in {"stopping", "stopped"}:
                return previous
            _demand(instance, {"pending", "running"}, "stopped")
            self._set(instance, "stopping", _USER)
        self._shut_down(instance)
        return previous

    def start(self, instance: Any) -> Any:
        """Boot a stopped instance; returns the state before."""
        with self._lock:
            previous = _copy(instance)
            if previous.name in {"pending", "running"}:
                return previous
            _demand(instance, {"stopped"}, "started")
        self._boot(instance)
        return previous

    def running(self, instance_id: str) -> None:
        """Its host is up."""
        with self._lock:
            instance = self._instances.get(instance_id)
            if instance is not None and instance.state == "pending":
                self._set(instance, "running")

    def powered_off(self, instance_id: str) -> None:
        """Its host is gone: what follows depends on who asked for it."""
        with self._lock:
            instance = self._instances.get(instance_id)
            if instance is None or instance.state in {"stopped", "terminated"}:
                return
            if instance.state == "stopping":
                self._set(instance, "stopped", _USER)
            elif instance.state == "shutting-down":
                asked = instance.state_reason
                self._end(instance, (asked.code, asked.message))
            elif instance.state == "pending":
                self._end(instance, _BROKEN)
            elif instance.instance_initiated_shutdown_behavior == "terminate":
                self._set(instance, "shutting-down", _SELF)
                self._end(instance, _SELF)
            else:
                self._set(instance, "stopping", _SELF)
                self._set(instance, "stopped", _SELF)

    def _boot(self, instance: Any) -> None:
        self._set(instance, "pending")
        if self.hypervisor is None:
            self._later.call(self._options.pending_seconds, lambda: self.running(instance.id))
            return
        vcpus, memory_mib = self._shape(instance)
        self.hypervisor.boot(
            HostSpec(
                instance_id=instance.id,
                private_ip=instance.private_ip,
                hostname=instance.private_dns_name,
                image_id=instance.image_id,
                vcpus=vcpus,
                memory_mib=memory_mib,
            )
        )

    def _shut_down(self, instance: Any) -> None:
        if self.hypervisor is None:
            delay = self._options.shutting_down_seconds
            self._later.call(delay, lambda: self.powered_off(instance.id))
        else:
            self.hypervisor.shut_down(instance.id)

    def _end(self, instance: Any, reason: tuple[str, str]) -> None:
        self._tear_down(instance)
        self._set(instance, "terminated", reason)
        delay = self._options.terminated_visible_seconds
        self._later.call(delay, lambda: self._vanish(instance))

    def _vanish(self, instance: Any) -> None:
        with self._lock:
            self._instances.pop(instance.id, None)
            self._visible_at.pop(instance.id, None)
        backend = instance.ec2_backend
        for reservation in list(backend.reservations.values()):
            if instance in reservation.instances:
                reservation.instances.remove(instance)
                if not reservation.instances:
                    backend.reservations.pop(reservation.id, None)
        backend.tags.pop(instance.id, None)

    def _set(self, instance: Any, name: str, reason: tuple[str, str] | None = None) -> None:
        state = instance.instance_state
        state.name, state.code = name, CODES[name]
        if reason is None:
            instance.state_reason = StateReason()
            instance._reason = ""  # noqa: SLF001 (moto shows it as StateTransitionReason)
        else:
            code, message = reason
            instance.state_reason = StateReason(message, code)
            who = "User initiated" if reason == _USER else ""
            at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S GMT")
            instance._reason = f"{who} ({at})" if who else ""  # noqa: SLF001
        log.info("%s is %s", instance.id, name)
        self._publish(instance.id, name)


def _copy(instance: Any) -> Any:
    state = instance.instance_state
    return type(state)(state.name, state.code)


def _demand(instance: Any, states: set[str], what: str) -> None:
    if instance.state not in states:
        raise AwsError(
            "IncorrectInstanceState",
            f"The instance '{instance.id}' is not in a state from which it can be {what}.",
        )
