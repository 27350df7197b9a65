"""Names that look alike, and machines that look like ours: each ends alone, and the rest never."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chalicelib.clearing import ROUND_MINUTES
from chalicelib.model import AnnexState, InstanceState
from chalicelib.tags import ANNEX_ID, DEPLOYMENT, LEASE, NAME, OWNER
from tests.fakes.world import ALICE, BOB, World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chalicelib.ids import InstanceId

LONG = "f" * 64
NAMES = ("foo", "foobar", "foo_bar", "foo.bar", "foo-bar", "Foo", "f", LONG, LONG[:63] + "g")
PAST = "2026-11-24T00:00:00Z"


def foreign_tags(annex_id: str, name: str) -> list[Mapping[str, str]]:
    """What others' machines may carry: nothing, another tool's tags, ours of another deployment."""
    mine = {NAME: name, ANNEX_ID: annex_id, OWNER: "alice@pool.example", LEASE: PAST}
    return [
        {},
        {"Name": f"annex {name}"},
        {"htcondorAnnexName": name, "htcondor-annex-name": name},  # HTCondor's own condor_annex
        mine,
        {**mine, DEPLOYMENT: "htcondor-annex-2"},
        {**mine, DEPLOYMENT: "htcondor"},
        {**mine, DEPLOYMENT: ""},
        {**mine, DEPLOYMENT.lower(): "htcondor-annex"},
        {"aws:cloudformation:stack-name": "htcondor-annex", "htcondor-annex": "htcondor-annex"},
    ]


def foreigners(world: World, name: str) -> set[InstanceId]:
    """A machine of each foreign kind, as like to the annex's as can be."""
    annex_id = world.annex(name).annex_id
    return {world.compute.stranger(tags) for tags in foreign_tags(annex_id, name)}


def running(world: World) -> set[InstanceId]:
    return {one.instance_id for one in world.compute.running()}


@pytest.mark.parametrize("how", ["stop", "lease"])
@pytest.mark.parametrize("name", NAMES)
def test_each_name_ends_alone(world: World, name: str, how: str) -> None:
    world.set(max_instances_per_owner=100)
    for one in NAMES:
        ends_early = one == name and how == "lease"
        world.start(one, count=2, duration_seconds=1800 if ends_early else 36000)
    others = {one: set(world.running(one)) for one in NAMES if one != name}
    if how == "stop":
        world.stop(name)
    world.sweep(1800)
    world.sweep()
    assert world.running(name) == []
    assert world.annex(name).state is AnnexState.TERMINATED
    assert {one: set(world.running(one)) for one in others} == others


@pytest.mark.parametrize("how", ["stop", "lease", "orphans", "record lost"])
def test_foreign_machines_are_touched_by_nothing(world: World, how: str) -> None:
    world.sweep()
    world.clock.tick(1)
    world.start(duration_seconds=1800)
    theirs = foreigners(world, "foo")
    before = {one: dict(world.compute.machines[one].tags) for one in theirs}
    annex = world.annex()
    if how == "stop":
        world.stop()
    elif how == "orphans":
        world.compute.stranger({DEPLOYMENT: "htcondor-annex", ANNEX_ID: annex.annex_id})
    elif how == "record lost":
        del world.ledger.records[annex.annex_id]
    for _ in range(3 * ROUND_MINUTES):
        world.sweep(120)
    assert running(world) == theirs
    assert {one: world.compute.machines[one].tags for one in theirs} == before


def test_events_of_foreign_machines_change_nothing(world: World) -> None:
    world.start()
    theirs = foreigners(world, "foo")
    ours = set(world.running())
    for one in theirs:
        assert not world.services.interruption.state_changed(one, "terminated")
    assert running(world) == theirs | ours


def test_owners_of_names_alike_do_not_reach_each_other(world: World) -> None:
    for one, other in combinations(NAMES, 2):
        world.start(one, ALICE)
        world.start(other, BOB)
        running_before = running(world)
        for act in (world.stop, world.renew, world.show, world.grow):
            assert act(other, caller=ALICE).status in (403, 404, 409)
        assert running(world) == running_before
        world.stop(one, ALICE)
        assert running(world) == set(world.running(other))
        world.stop(other, BOB)
        world.sweep()


names = st.sampled_from(NAMES)
callers = st.sampled_from([ALICE, BOB])


class Neighbours(RuleBasedStateMachine):
    """Any operations on names alike, among foreign machines; hypothesis looks for one that errs."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.set(max_instances_per_owner=100)
        self.world.sweep(0)
        self.theirs: set[InstanceId] = set()
        # What must run: who asked for it, and has neither stopped it nor let its lease end.
        self.asked: dict[str, set[InstanceId]] = {}

    @rule(name=names, caller=callers, hours=st.sampled_from([1, 2, 5]))
    def start(self, name: str, caller: str, hours: int) -> None:
        """A name that is taken stays whose it is."""
        if self.world.start(name, caller, duration_seconds=3600 * hours).status == 201:
            self.asked[name] = set(self.world.running(name)) - self.theirs

    @rule(name=names, caller=callers)
    def grow(self, name: str, caller: str) -> None:
        """Somebody else's cannot be."""
        if self.world.grow(name, caller, count=1).status == 201:
            self.asked[name] = set(self.world.running(name)) - self.theirs

    @rule(name=names, caller=callers)
    def stop(self, name: str, caller: str) -> None:
        """Its owner alone can."""
        if self.world.stop(name, caller).status == 200:
            self.asked.pop(name, None)

    @rule(name=names)
    def strangers(self, name: str) -> None:
        """Foreign machines that look like an annex's come and stay."""
        if name in self.asked:
            self.theirs |= foreigners(self.world, name)

    @rule(name=names)
    def event(self, name: str) -> None:
        """A machine ends by itself."""
        machines = sorted(self.asked.get(name, ()))
        if machines:
            self.world.compute.become(machines[0], InstanceState.SHUTTING_DOWN)
            self.world.services.interruption.state_changed(machines[0], "shutting-down")
            self.asked[name].discard(machines[0])

    @rule(seconds=st.sampled_from([60, 600, 3600]))
    def sweep(self, seconds: int) -> None:
        """And with it, leases end."""
        self.world.clock.tick(seconds)
        now = self.world.clock.now()
        for name in [one for one in self.asked if self.world.annex(one).is_over(now)]:
            del self.asked[name]
        self.world.services.sweep.run()

    @invariant()
    def what_was_asked_for_runs_and_so_does_what_is_not_ours(self) -> None:
        """Nothing ends but what its owner or its lease has ended."""
        for machines in self.asked.values():
            assert machines <= running(self.world)
        assert self.theirs <= running(self.world)

    @invariant()
    def nothing_else_of_ours_runs(self) -> None:
        """What was stopped, or is over, has ended at once."""
        ours = running(self.world) - self.theirs
        now = self.world.clock.now()
        over = [n for n in self.asked if self.world.annex(n).is_over(now)]
        assert ours <= set().union(*self.asked.values()), over


TestNeighbours = Neighbours.TestCase
TestNeighbours.settings = settings(max_examples=60, stateful_step_count=20)
