"""A short search by `tests.explorer`, and what it finds where the control plane is broken."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from chalicelib import transitions
from chalicelib.reconcile import Reconciler
from chalicelib.services import Services
from tests.explorer import scenes
from tests.explorer.__main__ import explored
from tests.explorer.scenes import GROW, LONGER, QUICK, RENEW, SCENES, START, SWEEP, Round, Scene
from tests.explorer.search import Bounds, Explorer, Found
from tests.explorer.story import story
from tests.fakes.compute import FakeCompute
from tests.fakes.faults import Watched
from tests.fakes.ledger import FakeLedger

if TYPE_CHECKING:
    from tests.fakes.world import World


@pytest.mark.parametrize("one", QUICK, ids=str)
@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_no_order_breaks_a_promise(scene: Scene, one: Round) -> None:
    found = explored(scene, one)
    assert not found.broken, "\n".join(found.broken[0])
    assert found.states > found.searches


class BlindLedger(FakeLedger):
    """Writes whatever it is given over whatever is there."""

    def save(self, annex: Any, request: Any = None, turn: Any = None) -> Any:
        current = self.records[annex.annex_id]
        return super().save(replace(annex, version=current.version), request, turn)


class ForgetfulCompute(FakeCompute):
    """Knows no client tokens."""

    def launch(self, spec: Any, attempt: Any) -> Any:
        self._tokens.clear()
        return super().launch(spec, attempt)


class RepeatingCompute(ForgetfulCompute):
    """Gets each call twice, as from an SDK that repeats it without its token."""

    def launch(self, spec: Any, attempt: Any) -> Any:
        super().launch(spec, attempt)
        return super().launch(spec, attempt)


class HastyReconciler(Reconciler):
    """Calls EC2 first, and saves the attempt when it knows how it went."""

    def _try(self, annex: Any, number: Any, place: Any) -> Any:
        launch = annex.launch_by(number)
        tried = transitions.with_attempt(annex, launch, place, self.clock.now())
        attempt = tried.launch_by(number).attempts[-1]
        outcome = self.compute.launch(launch.spec, attempt)
        return self.ledger.save(transitions.with_outcome(tried, attempt.client_token, outcome))


class HardReconciler(Reconciler):
    """Ends machines by the record that it has, though it could not write that the lease ended."""

    def _end_not_recorded(self, annex: Any) -> Any:
        return annex


class EarlyReconciler(Reconciler):
    """Ends machines five minutes before their lease does."""

    def run(self, annex: Any, seen: Any, *args: Any, **kwargs: Any) -> Any:
        if annex.living and annex.is_over(self.clock.now() + timedelta(minutes=5)):
            self.compute.terminate(annex.living)
        return super().run(annex, seen, *args, **kwargs)


def with_reconciler(kind: type[Reconciler]) -> Any:
    """A change of the world: its services reconcile in another way."""

    class Other(Services):
        @property
        def reconciler(self) -> Reconciler:
            whole = super().reconciler
            return kind(**{one.name: getattr(whole, one.name) for one in fields(whole)})

    def change(world: World) -> None:
        services = world.services
        world.services = Other(
            **{one.name: getattr(services, one.name) for one in fields(Services)}
        )

    return change


def blind(world: World) -> None:
    world.ledger = BlindLedger()
    ledger = Watched(world.ledger, "ledger", world.faults)
    world.services = replace(world.services, ledger=ledger)  # type: ignore[arg-type]


def forgetful(world: World) -> None:
    with_compute(world, ForgetfulCompute(world.clock, "htcondor-annex"))
    world.compute.visible_after = timedelta(minutes=3)


def with_compute(world: World, fake: FakeCompute) -> None:
    world.compute = fake
    compute = Watched(world.compute, "compute", world.faults)
    world.services = replace(world.services, compute=compute)  # type: ignore[arg-type]


def repeating(world: World) -> None:
    with_compute(world, RepeatingCompute(world.clock, "htcondor-annex"))


@pytest.mark.parametrize(
    ("change", "given", "operations", "bounds", "broken"),
    [
        (blind, scenes.two_annexes, (RENEW, LONGER), Bounds(0, 0), "undid another"),
        (forgetful, scenes.launch_unanswered, (SWEEP, SWEEP), Bounds(0, 0), "launched twice"),
        (
            with_reconciler(HastyReconciler),
            scenes.nothing,
            (START,),
            Bounds(0, 0),
            "no record says that it might be",
        ),
        (
            with_reconciler(HardReconciler),
            scenes.last_seconds,
            (RENEW, SWEEP),
            Bounds(1, 1, steps=()),
            "ended early",
        ),
        (
            with_reconciler(EarlyReconciler),
            scenes.two_annexes,
            (SWEEP,),
            Bounds(0, 1, steps=(600,)),
            "ended early",
        ),
    ],
    ids=[
        "a write without its condition",
        "a call without its token",
        "a call before its record",
        "an old record",
        "an end before the lease's",
    ],
)
def test_explorer_finds(
    change: Any, given: Any, operations: Any, bounds: Bounds, broken: str
) -> None:
    found: Found = Explorer(given, change).search(operations, bounds)
    assert broken in found.broken
    told = list(story(found))
    assert told[-1] == f"BROKEN: {found.broken}"


def test_nothing_is_lost_by_forgetting_how_a_run_came_to_where_it_stands() -> None:
    sums = []
    for forget in (True, False):
        explorer = Explorer(scenes.two_annexes, forget=forget)
        found = explorer.search((GROW, SWEEP), Bounds(0, 0), depth=16)
        sums.append((found.worlds, found.broken))
    assert sums[0] == sums[1]
