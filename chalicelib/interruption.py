"""What EC2 tells of single machines: faster than the sweep, never instead of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from . import transitions
from .ids import InstanceId
from .iso import moment
from .model import InstanceState, Notice, NoticeKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .ids import AnnexId
    from .model import Annex
    from .ports import Compute, Journal, Ledger
    from .reconcile import Reconciler

STATE_CHANGED = "EC2 Instance State-change Notification"
RECLAIM = "EC2 Spot Instance Interruption Warning"
REBALANCE = "EC2 Instance Rebalance Recommendation"
KINDS = (STATE_CHANGED, RECLAIM, REBALANCE)
# EC2 User Guide, 'Spot Instance interruption notices': the warning comes two minutes before. The
# event does not repeat the time that the machine's metadata service tells.
WARNED_BEFORE = timedelta(minutes=2)
_COMING = (InstanceState.PENDING, InstanceState.RUNNING)


@dataclass(frozen=True)
class Interruption:
    """Brings the annex of a machine that EC2 tells of up to date."""

    ledger: Ledger
    compute: Compute
    reconciler: Reconciler
    journal: Journal

    def heard(self, kind: str, at: str, detail: Mapping[str, Any]) -> bool:
        """Hear an event of one of `KINDS`; returns whether it was of a machine of ours.

        EC2 tells of every machine in the account. Those without our tags are nobody's business.
        """
        instance_id = InstanceId(detail["instance-id"])
        if kind == RECLAIM:
            gone_at = moment(at) + WARNED_BEFORE
            return self.announced(Notice(instance_id, NoticeKind.RECLAIM, gone_at))
        if kind == REBALANCE:
            return self.announced(Notice(instance_id, NoticeKind.REBALANCE, moment(at)))
        return self.state_changed(instance_id, detail["state"])

    def state_changed(self, instance_id: InstanceId, state: str) -> bool:
        """EC2 says that a machine has a new state; returns whether it was one of ours."""
        annex_id = self._annex_of(instance_id)
        if annex_id is None:
            return False
        self.journal.fact("machine changed", annex_id=annex_id, instance=instance_id, state=state)
        annex = self.ledger.get(annex_id)
        if annex is None:
            return False  # the sweep judges orphans, with all it needs to do so
        if _is_expected(annex, instance_id, state):
            return True
        seen = self.compute.instances(annex_id)
        # No launch is begun: its request is trying place after place just now, and the first
        # machine's event would take the turn from it, so that it could not say how it went.
        self.reconciler.run(annex, seen, launches=False)
        return True

    def announced(self, notice: Notice) -> bool:
        """EC2 takes a spot machine back, or may soon; returns whether it was one of ours.

        Only recorded: the machine hears it, too, and leaves by itself. Nothing is replaced.
        """
        annex_id = self._annex_of(notice.instance_id)
        annex = None if annex_id is None else self.ledger.get(annex_id)
        if annex is None:
            return False
        self.journal.fact(
            "machine announced", annex_id=annex_id, instance=notice.instance_id, kind=notice.kind
        )
        self.reconciler.change(annex, lambda a: transitions.with_notice(a, notice))
        return True

    def _annex_of(self, instance_id: InstanceId) -> AnnexId | None:
        instance = self.compute.instance(instance_id)
        return None if instance is None else instance.annex_id


def _is_expected(annex: Annex, instance_id: InstanceId, state: str) -> bool:
    """Whether the event changes nothing that the ledger says.

    A large annex has an event for each machine and state, all at once: only those that tell
    something are worth a look at all its machines.
    """
    if instance_id not in annex.started:
        return False
    if state in _COMING:
        return annex.state.is_living
    return state == InstanceState.SHUTTING_DOWN
