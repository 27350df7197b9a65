"""What EC2 tells of single machines: faster than the sweep, never instead of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model import InstanceId
    from .ports import Compute, Journal, Ledger
    from .reconcile import Reconciler


@dataclass(frozen=True)
class Interruption:
    """Brings the annex of a machine that changed its state up to date."""

    ledger: Ledger
    compute: Compute
    reconciler: Reconciler
    journal: Journal

    def state_changed(self, instance_id: InstanceId, state: str) -> bool:
        """EC2 says that a machine has a new state; returns whether it was one of ours.

        EC2 tells of every machine in the account. Those without our tags are nobody's business.
        """
        instance = self.compute.instance(instance_id)
        if instance is None or instance.annex_id is None:
            return False
        self.journal.fact(
            "machine changed", annex_id=instance.annex_id, instance=instance_id, state=state
        )
        seen = self.compute.instances(instance.annex_id)
        annex = self.ledger.get(instance.annex_id)
        if annex is None:
            return False  # the sweep judges orphans, with all it needs to do so
        # No launch is begun: its request is trying place after place just now, and the first
        # machine's event would take the turn from it, so that it could not say how it went.
        self.reconciler.run(annex, seen, deadline=self.reconciler.clock.now())
        return True
