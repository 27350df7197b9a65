"""What the handlers work with: the ports, filled by wiring in a function and by fakes in tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .clearing import Clearing
from .errors import AnnexError
from .interruption import Interruption
from .reconcile import Reconciler
from .sweep import Sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    from .model import Annex, Instance
    from .ports import (
        Catalog,
        Clock,
        Composer,
        Compute,
        ConfigStore,
        Inventory,
        Journal,
        Ledger,
        Leftovers,
        LegacyStore,
        PoolReach,
        Reports,
    )
    from .settings import Deployment, Settings


@dataclass(frozen=True)
class Services:
    """One deployment, as one function sees it.

    `settings` are asked for when they are needed: the sweep ends machines without them.
    """

    deployment: Deployment
    settings: Callable[[], Settings]
    ledger: Ledger
    compute: Compute
    catalog: Catalog
    leftovers: Leftovers
    configs: ConfigStore
    legacy: LegacyStore
    reports: Reports
    reach: PoolReach
    compose: Composer
    program: Callable[[], str]
    clock: Clock
    journal: Journal
    inventory: Inventory

    def machines(self, annex: Annex) -> list[Instance] | None:
        """The annex's machines as EC2 shows them, or None: it could not be asked.

        The ids in the ledger are enough to end what is known.
        """
        try:
            return self.compute.instances(annex.annex_id)
        except AnnexError as error:
            self.journal.trouble("machines could not be listed", error, annex_id=annex.annex_id)
            return None

    @property
    def reconciler(self) -> Reconciler:
        """Carries out plans."""
        return Reconciler(
            self.ledger,
            self.compute,
            self.configs,
            self.legacy,
            self.reports,
            self.clock,
            self.journal,
        )

    @property
    def sweep(self) -> Sweep:
        """One run through everything."""
        clearing = Clearing(
            self.ledger, self.leftovers, self.configs, self.legacy, self.clock, self.journal
        )
        return Sweep(self.ledger, self.compute, self.reconciler, clearing, self.clock, self.journal)

    @property
    def interruption(self) -> Interruption:
        """EC2's events."""
        return Interruption(self.ledger, self.compute, self.reconciler, self.journal)
