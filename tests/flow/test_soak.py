"""An hour or two of `bench.soak`, and that it tells what is wrong where something is."""

from __future__ import annotations

from typing import Any

import pytest

from bench.soak import Soak
from chalicelib.reconcile import Reconciler
from tests.flow.test_explorer import EarlyReconciler, repeating, with_reconciler


class LazyReconciler(Reconciler):
    """Ends no machine."""

    def _terminate(self, annex: Any, instance_ids: Any) -> Any:
        return annex


def test_a_short_soak_finds_nothing() -> None:
    found = Soak(seed=4).run(days=0.2)
    assert found.failures > 50
    assert found.machines > 50
    assert (found.past_lease, found.ended_early, found.duplicates) == (0, 0, 0)


def test_a_seed_replays_its_soak() -> None:
    assert Soak(seed=5).run(days=0.1) == Soak(seed=5).run(days=0.1)


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (with_reconciler(LazyReconciler), "past_lease"),
        (with_reconciler(EarlyReconciler), "ended_early"),
        (repeating, "duplicates"),
    ],
    ids=["a sweep that ends nothing", "ends before the lease's", "calls without their tokens"],
)
def test_soak_finds(change: Any, broken: str) -> None:
    found = Soak(6, change).run(days=0.1)
    assert getattr(found, broken) > 0
