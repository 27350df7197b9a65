"""Three views of an annex merged into one: ledger and EC2 (the control plane's), and the collector.

Pure. The collector's word counts only for slots whose AuthenticatedIdentity is the annex's owner:
anything else in an ad may be invented by its sender.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from annex_client.pool import Slot
    from annex_client.views import Annex, Instance

UNKNOWN = "unknown: the collector could not be asked"
_GONE = ("shutting-down", "terminated", "stopping", "stopped")
# Nothing of such a machine answers any more; whatever the pool shows of it is a remnant.
DEAD = ("terminated", "stopped")
ALIVE = ("pending", "running")
_LEAVING = {"retiring": "takes no new jobs", "ending": "ending"}
_PHASES = {
    "": "booting",
    "booting": "booting",
    "installing": "booting: installing HTCondor",
}


@dataclass(frozen=True)
class Machine:
    """One machine in all three views; `joined`, `slots`, `claimed` are None where unknown."""

    instance: Instance
    joined: bool | None
    slots: int | None
    claimed: int | None
    reason: str  # why it does not work, or empty

    def as_json(self) -> dict[str, Any]:
        """As `status --json` has it."""
        given = self.instance
        return {
            "instance_id": given.instance_id,
            "instance_type": given.instance_type,
            "zone": given.zone,
            "lifecycle": given.lifecycle,
            "state": given.state,
            "joined": self.joined,
            "slots": self.slots,
            "claimed": self.claimed,
            "reason": self.reason,
            "launched_at": given.launched_at,
            "private_dns_name": given.private_dns_name,
            "phase": given.phase,
            "units": given.units,
            "reclaim_at": given.reclaim_at,
            "rebalance_at": given.rebalance_at,
        }


@dataclass(frozen=True)
class Whole:
    """An annex with its machines, merged."""

    annex: Annex
    machines: tuple[Machine, ...]

    @property
    def joined(self) -> int:
        """How many machines are in the pool, as far as is known."""
        return sum(1 for machine in self.machines if machine.joined)

    @property
    def units_joined(self) -> int:
        """What these machines count for: themselves, or the slots that they were taken for."""
        return sum(machine.instance.units for machine in self.machines if machine.joined)

    def as_json(self) -> dict[str, Any]:
        """As `status NAME --json` has it."""
        started = {} if self.annex.started is None else {"started": self.annex.started}
        return {
            **_facts(self.annex),
            **started,
            "instances": [m.as_json() for m in self.machines],
            "warning": self.annex.warning,
        }


def merge(annex: Annex, slots: Iterable[Slot] | None, now: datetime) -> Whole:
    """Join the control plane's view with the collector's; `slots` is None if it was not heard."""
    by_instance: dict[str, list[Slot]] = {}
    for slot in slots or ():
        if slot.annex_id in ("", annex.annex_id):
            by_instance.setdefault(slot.instance_id, []).append(slot)
    known = slots is not None
    machines = tuple(
        _machine(annex, instance, by_instance.get(instance.instance_id, []) if known else None, now)
        for instance in annex.instances
    )
    return Whole(annex, machines)


def summary_json(annex: Annex, slots: Iterable[Slot] | None) -> dict[str, Any]:
    """One annex of `status --json`: no instances, but counts."""
    mine = None
    if slots is not None:
        mine = [s for s in slots if s.annex_id == annex.annex_id and s.identity == annex.owner]
    return {
        **_facts(annex),
        "counts": dict(annex.instance_counts),
        "joined": None if mine is None else len({slot.instance_id for slot in mine}),
        "slots": None if mine is None else len(mine),
        "claimed": None if mine is None else sum(slot.claimed for slot in mine),
    }


def _facts(annex: Annex) -> dict[str, Any]:
    return {
        "name": annex.name,
        "annex_id": annex.annex_id,
        "owner": annex.owner,
        "state": annex.state,
        "created_at": annex.created_at,
        "lease_expires_at": annex.lease_expires_at,
        "idle_seconds": annex.idle_seconds,
        "requested": annex.requested,
        "unit": annex.unit,
        "reason": annex.reason,
    }


def _machine(annex: Annex, instance: Instance, slots: list[Slot] | None, now: datetime) -> Machine:
    if slots is None:
        reason = _without_pool(annex, instance, now) or instance.reason or UNKNOWN
        return Machine(instance, None, None, None, reason)
    mine = [slot for slot in slots if slot.identity == annex.owner]
    claimed = sum(slot.claimed for slot in mine)
    reason = _without_pool(annex, instance, now)
    if not reason:
        strangers = sorted({slot.identity or "nobody" for slot in slots} - {annex.owner})
        reason = _in_pool(instance, mine) if mine else _not_in_pool(annex, instance, strangers)
    dead = instance.state in DEAD
    if dead and mine:
        reason = (
            f"{reason.rstrip('.')}; it died without leaving the pool, where its slots stand and its"
            f" jobs seem to run: 'annex-client forget {annex.name}' removes them"
        )
    return Machine(instance, bool(mine) and not dead, len(mine), claimed, reason)


def _without_pool(annex: Annex, instance: Instance, now: datetime) -> str:
    """What ledger, EC2 and the machine's own report say; empty if they see nothing wrong."""
    if instance.state in _GONE:
        return instance.reason or ("ending" if instance.state == "shutting-down" else "ended")
    if instance.reclaim_at:
        return instance.reason  # that EC2 takes it back, and when
    if now >= annex.lease_end:
        return f"over its lease since {clock_time(annex.lease_end)}"
    if instance.phase in _LEAVING:
        what = _LEAVING[instance.phase]
        return f"{what}: {instance.reason}" if instance.reason else what
    return "launching" if instance.state == "pending" else ""


def _in_pool(instance: Instance, slots: list[Slot]) -> str:
    draining = [slot for slot in slots if slot.draining]
    if draining:
        why = next((slot.drain_reason for slot in draining if slot.drain_reason), "")
        return f"draining: {why}" if why else "draining"
    if instance.reason and (instance.rebalance_at or instance.phase == "joined"):
        return instance.reason  # EC2's warning, from its event or from the machine
    if any(slot.claimed for slot in slots):
        return ""
    since = max((slot.activity_since for slot in slots), default=0)
    if not since:
        return "idle"
    return f"idle since {clock_time(datetime.fromtimestamp(since, timezone.utc))}"


def _not_in_pool(annex: Annex, instance: Instance, strangers: list[str]) -> str:
    if strangers:
        return f"its slots are advertised by {', '.join(strangers)} instead of {annex.owner}"
    if instance.reason:
        return instance.reason  # the machine's own last word
    if instance.phase in _PHASES:
        return _PHASES[instance.phase]
    if instance.phase == "joined":
        return "has left the pool: it had joined, and the collector does not show it now"
    return f"has not joined since its launch at {clock_time_of(instance.launched_at)}"


def clock_time(moment: datetime) -> str:
    """A time of day, or date and time where they are needed is left to the JSON: '16:12:03 UTC'."""
    return f"{moment.astimezone(timezone.utc):%H:%M:%S} UTC"


def clock_time_of(text: str) -> str:
    """The same for an ISO time; what is none is shown as it is."""
    from annex_client.views import parse_time  # noqa: PLC0415 - views needs nothing of this module

    try:
        return clock_time(parse_time(text))
    except ValueError:
        return text or "an unknown time"
