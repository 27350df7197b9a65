"""An annex as callers get to see it: ledger and EC2 joined, words for why, and no secret."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from . import wire
from .iso import iso
from .last_words import never_up, warning, why_ending
from .launching import notes, requested, started, unit
from .model import Annex, AnnexState, InstanceState, NoticeKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .ids import InstanceId
    from .model import Instance, Report


def annex_view(
    annex: Annex, seen: Sequence[Instance], reports: Mapping[InstanceId, Report] | None = None
) -> wire.AnnexView:
    """The whole annex. Machines that EC2 does not show yet are shown as the ledger has them."""
    told = reports or {}
    shown = {one.instance_id for one in seen}
    units = annex.units
    instances = [
        instance_view(annex, one, told.get(one.instance_id), units.get(one.instance_id, 1))
        for one in seen
    ]
    instances += [
        wire.InstanceView(
            instance_id=instance_id,
            instance_type=attempt.place.instance_type if attempt.place else "",
            zone=attempt.place.zone if attempt.place else "",
            lifecycle=attempt.market,
            state=InstanceState.PENDING,
            launched_at=iso(attempt.called_at),
            units=units[instance_id],
        )
        for attempt in annex.attempts
        for instance_id in attempt.started
        if instance_id not in shown and instance_id not in annex.ended
    ]
    return wire.AnnexView(
        name=annex.name,
        annex_id=annex.annex_id,
        owner=annex.identity,
        state=annex.state,
        created_at=iso(annex.created_at),
        lease_expires_at=iso(annex.lease_expires_at),
        idle_seconds=annex.idle_seconds,
        requested=requested(annex),
        started=started(annex),
        unit=unit(annex),
        reason=reason(annex),
        instances=tuple(sorted(instances, key=lambda one: (one.launched_at, one.instance_id))),
    )


def annex_summary(annex: Annex, seen: Sequence[Instance]) -> wire.AnnexSummary:
    """One line of a list."""
    return wire.AnnexSummary(
        name=annex.name,
        annex_id=annex.annex_id,
        owner=annex.identity,
        state=annex.state,
        created_at=iso(annex.created_at),
        lease_expires_at=iso(annex.lease_expires_at),
        idle_seconds=annex.idle_seconds,
        requested=requested(annex),
        unit=unit(annex),
        reason=reason(annex),
        instance_counts=dict(Counter(str(one.state) for one in seen)),
    )


def instance_view(
    annex: Annex, instance: Instance, report: Report | None, units: int
) -> wire.InstanceView:
    """One machine: EC2's state and notices, and its own last word."""
    return wire.InstanceView(
        instance_id=instance.instance_id,
        instance_type=instance.instance_type,
        zone=instance.zone,
        lifecycle=instance.lifecycle,
        state=instance.state,
        launched_at=iso(instance.launched_at),
        private_dns_name=instance.private_dns_name,
        phase=report.phase if report else "",
        reason=_why(annex, instance, report),
        reclaim_at=_told_at(annex, instance, NoticeKind.RECLAIM),
        rebalance_at=_told_at(annex, instance, NoticeKind.REBALANCE),
        units=units,
    )


def reason(annex: Annex) -> str:
    """Why the annex is as it is, or how its last launch went; empty where all is well."""
    if annex.reason or annex.state is AnnexState.TERMINATED:
        return annex.reason
    launch = annex.open_launch or (annex.launches[-1] if annex.launches else None)
    if launch is None or launch.closed == "complete":
        return ""
    if not launch.closed and not launch.attempts:
        return "about to ask EC2 for machines"
    what = "slots" if launch.spec.weights else "machines"
    return " ".join(notes(launch)) or f"waiting for {launch.missing} of {launch.asked} {what}"


def _why(annex: Annex, instance: Instance, report: Report | None) -> str:
    why = why_ending(annex, instance.instance_id, report)
    if why:
        return why
    if not instance.state.is_endable:
        return never_up([instance], instance.instance_id) or instance.state_reason
    if instance.state in (InstanceState.STOPPED, InstanceState.STOPPING):
        return "stopped; it will be ended with the annex"
    return warning(annex, instance.instance_id)


def _told_at(annex: Annex, instance: Instance, kind: NoticeKind) -> str:
    told = annex.notice_of(instance.instance_id, kind)
    return "" if told is None else iso(told.at)
