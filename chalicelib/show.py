"""Showing: reads only."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import structs

from . import views, wire
from .asking import owned
from .errors import AnnexError
from .sweep_health import sweep_missed

if TYPE_CHECKING:
    from .ids import AnnexId, AnnexName, CallerId
    from .model import Instance
    from .services import Services


@dataclass(frozen=True)
class Show:
    """Handles the GETs on annexes."""

    services: Services

    def one(self, caller: CallerId, name: AnnexName) -> wire.AnnexView:
        """One annex with its machines and what they say. Raises NoSuchAnnex, NotOwner."""
        annex = owned(self.services.ledger, name, caller)
        seen = self.services.compute.instances(annex.annex_id)
        reports = self.services.reports.read([one.instance_id for one in seen])
        view = views.annex_view(annex, seen, reports)
        return structs.replace(view, warning=self._warning())

    def all(self, caller: CallerId) -> wire.AnnexList:
        """The caller's annexes, newest first. A record that cannot be read is left to the sweep."""
        annexes, _ = self.services.ledger.annexes(caller)
        machines: dict[AnnexId | None, list[Instance]] = defaultdict(list)
        if annexes:
            for one in self.services.compute.instances():
                machines[one.annex_id].append(one)
        newest = sorted(annexes, key=lambda one: one.created_at, reverse=True)
        return wire.AnnexList(
            tuple(views.annex_summary(one, machines[one.annex_id]) for one in newest),
            self._warning(),
        )

    def _warning(self) -> str:
        """Who looks at leases must hear when nobody ends machines that do not end themselves."""
        try:
            state = self.services.ledger.sweep_state()
        except AnnexError as error:
            self.services.journal.trouble("the sweep's state could not be read", error)
            return ""  # whatever troubles the ledger, the annexes could be shown
        return sweep_missed(state, self.services.clock.now())
