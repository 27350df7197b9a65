"""Two actors at once, and deaths in between: one operation inside any call of another."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chalicelib.interruption import REBALANCE, RECLAIM
from chalicelib.iso import iso
from chalicelib.model import AnnexState, InstanceState
from tests.fakes.faults import Crash
from tests.fakes.world import World
from tests.flow.test_crashes import check_promises

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("foo", "foobar")
names = st.sampled_from(NAMES)


def _act(world: World, what: str, name: str) -> None:
    acts: dict[str, Callable[[], object]] = {
        "start": lambda: world.start(name, count=2),
        "start spot": lambda: world.start(name, count=2, market="spot", fallback="on-demand"),
        "grow": lambda: world.grow(name, count=1),
        "grow slots": lambda: world.grow(name, count=None, slots=4),
        "grow with a lease": lambda: world.grow(name, count=1, duration_seconds=7200),
        "renew": lambda: world.renew(name, seconds=5400),
        "shorten": lambda: world.renew(name, seconds=300, shorten=True),
        "stop": lambda: world.stop(name),
        "sweep": world.services.sweep.run,
        "nothing": lambda: None,
    }
    acts[what]()


acts = st.sampled_from(
    [
        *("start", "start spot", "grow", "grow slots", "grow with a lease"),
        *("renew", "shorten", "stop", "sweep", "nothing"),
    ]
)


class Interleavings(RuleBasedStateMachine):
    """Whatever happens in whatever order, the promises hold; hypothesis looks for the order."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(
        what=acts,
        name=names,
        inside=acts,
        other=names,
        at=st.integers(0, 30),
        dies=st.one_of(st.none(), st.integers(0, 30)),
    )
    def two_at_once(
        self, *, what: str, name: str, inside: str, other: str, at: int, dies: int | None
    ) -> None:
        """The second runs whole inside one of the first's calls; the first may die later."""
        world, passed, nested = self.world, [0], [False]

        def watch(point: str) -> None:
            del point
            if nested[0]:
                return
            passed[0] += 1
            if passed[0] == at:
                nested[0] = True
                _act(world, inside, other)
                nested[0] = False
            if dies is not None and passed[0] == dies:
                raise Crash("killed")

        world.faults.watch = watch
        with suppress(Crash):
            _act(world, what, name)
        world.faults.disarm()

    @rule(seconds=st.sampled_from([1, 30, 60, 300, 1800, 3600]))
    def time_passes(self, seconds: int) -> None:
        """The sweep is late, or not."""
        self.world.clock.tick(seconds)

    @rule(left=st.integers(0, 3))
    def capacity_changes(self, left: int) -> None:
        """In one zone; the other has none."""
        self.world.compute.free = {
            ("m7i.large", "us-east-1a"): left,
            ("m7i.large", "us-east-1b"): 0,
        }

    @rule(seconds=st.sampled_from([0, 45, 120]))
    def ec2_shows_machines_late(self, seconds: int) -> None:
        """Eventual consistency."""
        self.world.compute.visible_after = timedelta(seconds=seconds)

    @rule(data=st.data())
    def machine_ends_by_itself(self, data: st.DataObject) -> None:
        """Its watcher, its owner, or EC2, which gives notice."""
        running = sorted(one.instance_id for one in self.world.compute.running())
        if running:
            gone = data.draw(st.sampled_from(running))
            at, detail = iso(self.world.clock.now()), {"instance-id": gone}
            self.world.services.interruption.heard(
                data.draw(st.sampled_from([RECLAIM, REBALANCE])), at, detail
            )
            self.world.compute.become(gone, InstanceState.SHUTTING_DOWN)

    @invariant()
    def nothing_is_launched_twice(self) -> None:
        """Whatever happened: no more machines than were asked for."""
        for annex in self.world.ledger.records.values():
            for launch in annex.launches:
                tokens = {a.client_token for a in launch.attempts}
                launched = [
                    one
                    for one in self.world.compute.machines.values()
                    if one.instance.client_token in tokens
                ]
                units = (launch.spec.units(one.instance.instance_type) for one in launched)
                assert sum(units) <= launch.asked

    @invariant()
    def caps_hold(self) -> None:
        """Of everything that runs, by the deployment's settings."""
        running = self.world.compute.running()
        assert len(running) <= self.world.settings.max_instances_per_owner

    def teardown(self) -> None:
        """Left alone, all comes right within two sweeps; and all ends with the last lease."""
        world = self.world
        world.compute.visible_after *= 0
        world.sweep()
        world.sweep()
        check_promises(world)
        world.clock.tick(86400)
        world.sweep()
        assert world.compute.running() == []
        for _ in range(8):
            world.sweep()
        assert {one.state for one in world.ledger.records.values()} <= {AnnexState.TERMINATED}
        assert world.configs.objects == {}


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=150, stateful_step_count=25)
