"""What the control plane answers, as values. Unknown fields are passed over: it may be newer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any


@dataclass(frozen=True)
class Instance:
    """One machine as EC2 and the machine's own report have it."""

    instance_id: str
    instance_type: str
    zone: str
    lifecycle: str
    state: str
    launched_at: str
    private_dns_name: str = ""
    phase: str = ""
    reason: str = ""
    units: int = 1  # slots that it counts for, in an annex of slots
    reclaim_at: str = ""  # when EC2 takes a spot machine back
    rebalance_at: str = ""  # when EC2 warned that it may


@dataclass(frozen=True)
class Annex:
    """An annex, with its machines where they were asked for, or with counts by EC2's state.

    `requested` and `started` count in `unit`s; `started` is None where the answer does not say.
    """

    name: str
    annex_id: str
    owner: str
    state: str
    created_at: str
    lease_expires_at: str
    idle_seconds: int
    requested: int
    started: int | None = None
    unit: str = "machine"  # or "slot"
    reason: str = ""
    instances: tuple[Instance, ...] = ()
    instance_counts: dict[str, int] = field(default_factory=dict)
    warning: str = ""

    @property
    def lease_end(self) -> datetime:
        """The lease's end, timezone-aware."""
        return parse_time(self.lease_expires_at)

    @property
    def over(self) -> bool:
        """Nothing of it runs or will run."""
        return self.state == "terminated"

    @property
    def live(self) -> bool:
        """Machines can be added and the lease renewed."""
        return self.state in ("launching", "active")

    @property
    def alive(self) -> tuple[Instance, ...]:
        """The machines that are not ended or ending."""
        return tuple(i for i in self.instances if i.state in ("pending", "running"))

    @property
    def not_ended(self) -> tuple[Instance, ...]:
        """The machines that are still there, those that are ending among them."""
        return tuple(i for i in self.instances if i.state != "terminated")

    @property
    def units_alive(self) -> int:
        """What these machines count for: themselves, or their slots."""
        return sum(one.units for one in self.alive)


@dataclass(frozen=True)
class Annexes:
    """All of a caller's annexes; `warning` says what is wrong with the control plane itself."""

    annexes: tuple[Annex, ...]
    warning: str = ""


@dataclass(frozen=True)
class Started:
    """The answer to start and grow; `asked` and `started` in the units that were asked for."""

    annex: Annex
    asked: int
    started: int
    pending: bool
    pending_seconds: int = 0  # for how long more may be started, at most
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Renewed:
    """The answer to renew: machines that did not hear of it, and what it does not change."""

    annex: Annex
    unreached: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Component:
    """One line of check-setup."""

    name: str
    ok: bool
    detail: str = ""


def annex(data: dict[str, Any]) -> Annex:
    """`AnnexView` or `AnnexSummary`."""
    known = {name: data[name] for name in Annex.__dataclass_fields__ if name in data}
    known["instances"] = tuple(instance(item) for item in data.get("instances", ()))
    return Annex(**known)


def annexes(data: dict[str, Any]) -> Annexes:
    """`AnnexList`."""
    return Annexes(tuple(annex(item) for item in data["annexes"]), data.get("warning", ""))


def instance(data: dict[str, Any]) -> Instance:
    """`InstanceView`."""
    return Instance(**{n: data[n] for n in Instance.__dataclass_fields__ if n in data})


def started(data: dict[str, Any]) -> Started:
    """`StartAnswer`."""
    return Started(
        annex=annex(data["annex"]),
        asked=data["asked"],
        started=data["started"],
        pending=data["pending"],
        pending_seconds=data.get("pending_seconds", 0),
        notes=tuple(data.get("notes", ())),
    )


def renewed(data: dict[str, Any]) -> Renewed:
    """`RenewAnswer`."""
    return Renewed(
        annex=annex(data["annex"]),
        unreached=tuple(data.get("unreached", ())),
        notes=tuple(data.get("notes", ())),
    )


def component(data: dict[str, Any]) -> Component:
    """`Component`."""
    return Component(data["name"], data["ok"], data.get("detail", ""))


def parse_time(text: str) -> datetime:
    """ISO 8601 in UTC, with Z or an offset (Python 3.9 does not know the Z)."""
    parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)
