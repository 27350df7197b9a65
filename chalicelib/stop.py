"""Stopping: the record first, so that nothing more is launched; then the machines, at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import transitions, views, wire
from .asking import owned

if TYPE_CHECKING:
    from .ids import AnnexName, CallerId
    from .services import Services


@dataclass(frozen=True)
class Stop:
    """Handles `DELETE /annexes/{name}`."""

    services: Services

    def __call__(self, caller: CallerId, name: AnnexName) -> wire.AnnexView:
        """End the annex; safe to repeat. What cannot be done now is done by the next sweep.

        EC2's terminate shuts each machine down in good order, and HTCondor with it: the
        configuration object is not needed for that and stays until they are gone.
        """
        annex = owned(self.services.ledger, name, caller)
        annex = self.services.reconciler.change(
            annex, lambda a: transitions.begin_ending(a, "stopped by its owner")
        )
        annex = self.services.reconciler.run(annex, self.services.machines(annex)).annex
        return views.annex_view(annex, self.services.machines(annex) or [])
