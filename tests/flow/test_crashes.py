"""The function dies before or after any call through any port, and at most two sweeps repair it.

Every scenario is first run whole, which gives the points; then once for each point and each way of
dying there. A port method that no scenario passes fails the suite.
"""

from __future__ import annotations

import inspect
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from chalicelib import ports
from chalicelib.clearing import ROUND_MINUTES, turn
from chalicelib.errors import AwsUnavailable
from chalicelib.interruption import RECLAIM
from chalicelib.iso import iso
from chalicelib.launch import Refusal, RefusalKind
from chalicelib.model import AnnexState, InstanceState, LeftoverKind
from chalicelib.tags import annex_tags
from tests.fakes.faults import Crash
from tests.fakes.leftovers import IN_EC2
from tests.fakes.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

NO_CAPACITY = Refusal(RefusalKind.CAPACITY, "InsufficientInstanceCapacity", "none left")
LIVING = (AnnexState.LAUNCHING, AnnexState.ACTIVE)


@dataclass(frozen=True)
class Scenario:
    """`before` is not broken, `act` is; `repeat` is what the client does that got no answer."""

    name: str
    before: Callable[[World], Any]
    act: Callable[[World, Any], Any]
    machines: tuple[int, int]  # without and with the client's repeat; -1: either all or none
    repeats: bool = True


def start_body(world: World) -> Any:
    return world.body(count=3)


def with_annex(world: World) -> Any:
    world.start(count=2)
    world.sweep()


def grow_body(world: World) -> Any:
    with_annex(world)
    body = world.body(count=3, grow=True, duration_seconds=7200)
    del body["idle_seconds"]
    return body


def partial_grow_body(world: World) -> Any:
    body = grow_body(world)
    world.compute.free = {("m7i.large", "us-east-1a"): 1}
    return body


def renew_body(world: World) -> Any:
    with_annex(world)
    return {"request_id": world.new_request_id(), "duration_seconds": 7200, "token": "fresh"}


def patch(world: World, body: Any) -> Any:
    return world.call("PATCH", "/annexes/{name}", body, name="foo")


def post(world: World, body: Any) -> Any:
    return world.post(body)


def stop(world: World, _: Any) -> Any:
    return world.stop()


def sweep(world: World, _: Any) -> Any:
    return world.services.sweep.run()


def no_capacity(world: World) -> Any:
    world.compute.free = {("m7i.large", "us-east-1a"): 0, ("m7i.large", "us-east-1b"): 0}
    return start_body(world)


def full_place_body(world: World) -> Any:
    """The first place has nothing: a fleet is asked for the others."""
    world.compute.free = {("m7i.large", "us-east-1a"): 0}
    return start_body(world)


def part_body(world: World) -> Any:
    """The first place has a part, and a fleet gets the rest from two others."""
    world.compute.free = {("m7i.large", "us-east-1a"): 1, ("m7i.large", "us-east-1b"): 1}
    return world.body(count=3, instance_types=["m7i.large", "m7i.xlarge"])


def pending_others(world: World) -> None:
    """The fleet for all places but the first got no answer, a minute ago."""
    calls = Counter[str]()

    def silence(point: str) -> None:
        calls[point] += 1
        if calls[point] > 1:
            _silence(point, "after compute.launch")

    world.faults.watch = silence
    world.post(part_body(world))
    world.faults.disarm()
    world.clock.tick(60)


def part_stopped(world: World) -> None:
    world.post(part_body(world))
    world.sweep()
    world.stop()
    world.clock.tick(60)


def spot_body(world: World) -> Any:
    return world.body(count=3, market="spot")


def slots_body(world: World) -> Any:
    return world.body(count=None, slots=6, instance_types=["m7i.large"])


def types_body(world: World) -> Any:
    return world.body(count=3, market="spot", requirements={"cpus_min": 2})


def legacy_body(world: World) -> Any:
    return world.body(count=3, legacy=True, ami_id="ami-0123456789abcdef0")


def legacy_grow_body(world: World) -> Any:
    body = {**grow_body(world), "legacy": True, "ami_id": "ami-0123456789abcdef0"}
    del body["duration_seconds"]  # a longer lease would have everything written once more
    return body


def legacy_gone(world: World) -> None:
    """A legacy annex that was stopped, and whose machines have ended."""
    world.post(legacy_body(world))
    world.stop()
    world.clock.tick(60)


def fall_back_body(world: World) -> Any:
    world.compute.spot_refusals["m7i.large"] = NO_CAPACITY
    return world.body(count=3, market="spot", fallback="on-demand")


def spot_stopped(world: World) -> None:
    world.start(count=2, market="spot")
    world.sweep()
    world.stop()
    world.clock.tick(60)


def spot_fleet_body(world: World) -> Any:
    return world.body(**world.spot_fleet(3))


def spot_fleet(world: World) -> None:
    """A request that EC2 has just fulfilled."""
    world.post(spot_fleet_body(world))
    world.clock.tick(60)


def spot_fleet_stopped(world: World) -> None:
    """Nothing of it was seen when it was stopped."""
    world.post(spot_fleet_body(world))
    world.faults.watch = lambda point: _silence(point, "before compute.cancel_requests")
    world.stop()
    world.faults.disarm()
    world.clock.tick(60)


def lost_spot_fleet_stopped(world: World) -> None:
    """A request whose id was never learnt, of an annex that is ending."""
    world.faults.watch = lambda point: _silence(point, "after compute.launch")
    world.post(spot_fleet_body(world))
    world.faults.watch = lambda point: _silence(point, "before compute.cancel_requests")
    world.stop()
    world.faults.disarm()
    world.clock.tick(60)


def _silence(point: str, where: str) -> None:
    if point == where:
        raise AwsUnavailable("no answer")


def unanswered(world: World, **changes: Any) -> None:
    """A launch whose call got no answer, a minute ago."""
    world.faults.watch = lambda point: _silence(point, "after compute.launch")
    world.start(count=2, **changes)
    world.faults.disarm()
    world.clock.tick(60)


def pending_fleet(world: World) -> None:
    unanswered(world, market="spot")


def pending_launch(world: World) -> None:
    unanswered(world)


def lease_over(world: World) -> None:
    with_annex(world)
    world.clock.tick(3600)


def stopped(world: World) -> None:
    with_annex(world)
    world.stop()
    world.clock.tick(60)


def orphaned(world: World) -> None:
    world.sweep()
    world.clock.tick(1)
    world.start(count=2)
    annex = world.annex()
    del world.ledger.records[annex.annex_id]
    del world.ledger.names[annex.name]
    world.legacy.write(world.configs.objects[annex.config_key][0])
    tags = annex_tags("d", "foo", annex.annex_id, annex.identity, annex.lease_expires_at)
    for kind in IN_EC2:
        world.leftovers.make(kind, tags)
    world.clock.tick(600)


def left_over(kind: LeftoverKind) -> Callable[[World], None]:
    """Orphans, and the minute in which one kind of other things has its turn."""

    def before(world: World) -> None:
        orphaned(world)
        while turn(world.clock.now()) is not kind:
            world.clock.tick(60)

    return before


def forgotten(world: World) -> None:
    """EC2 does not know one of two machines any more."""
    with_annex(world)
    del world.compute.machines[world.running()[0]]
    world.clock.tick(660)


def last_machine_ended(world: World) -> Any:
    world.start(count=1)
    (only,) = world.running()
    world.sweep()
    world.compute.become(only, InstanceState.SHUTTING_DOWN)
    world.clock.tick(40)
    return only


def event(world: World, only: Any) -> Any:
    return world.services.interruption.state_changed(only, "terminated")


def spot_machine(world: World) -> Any:
    with_annex(world)
    return world.running()[0]


def reclaim(world: World, machine: Any) -> Any:
    """EC2's notice; the service that brings it repeats it until it was heard."""
    at = iso(world.clock.now())
    return world.services.interruption.heard(RECLAIM, at, {"instance-id": machine})


def reclaimed(world: World) -> Any:
    only = last_machine_ended(world)
    reclaim(world, only)
    return only


def show(world: World, _: Any) -> Any:
    return world.show()


SCENARIOS = (
    Scenario("start", start_body, post, (-1, 3)),
    Scenario("start without capacity", no_capacity, post, (0, 0)),
    Scenario("start with a full place", full_place_body, post, (-1, 3)),
    Scenario("start over three places", part_body, post, (-1, 3)),
    Scenario("sweep over other places pending", pending_others, sweep, (3, 3), repeats=False),
    Scenario("sweep over all places stopped", part_stopped, sweep, (0, 0), repeats=False),
    Scenario("start by a fleet", spot_body, post, (-1, 3)),
    Scenario("start slots", slots_body, post, (-1, 3)),
    Scenario("start types by what they have", types_body, post, (-1, 3)),
    Scenario("start on demand after spot", fall_back_body, post, (-1, 3)),
    Scenario("start a legacy image", legacy_body, post, (-1, 3)),
    Scenario("sweep over a stopped legacy annex", legacy_gone, sweep, (0, 0), repeats=False),
    Scenario("sweep over a pending fleet", pending_fleet, sweep, (2, 2), repeats=False),
    Scenario("sweep over a stopped fleet", spot_stopped, sweep, (0, 0), repeats=False),
    Scenario("start a Spot Fleet", spot_fleet_body, post, (-1, 3)),
    Scenario("sweep over a Spot Fleet", spot_fleet, sweep, (3, 3), repeats=False),
    Scenario("stop a Spot Fleet", spot_fleet, stop, (-1, 0)),
    Scenario("sweep over a stopped Spot Fleet", spot_fleet_stopped, sweep, (0, 0), repeats=False),
    Scenario("sweep over a lost one", lost_spot_fleet_stopped, sweep, (0, 0), repeats=False),
    Scenario("grow", grow_body, post, (-1, 5)),
    Scenario("grow over two zones", partial_grow_body, post, (-1, 5)),
    Scenario("grow by a legacy image", legacy_grow_body, post, (-1, 5)),
    Scenario("renew", renew_body, patch, (2, 2)),
    Scenario("stop", with_annex, stop, (-1, 0)),
    Scenario("show", with_annex, show, (2, 2)),
    Scenario("sweep over a pending launch", pending_launch, sweep, (2, 2), repeats=False),
    Scenario("sweep over an ended lease", lease_over, sweep, (0, 0), repeats=False),
    Scenario("sweep over a stopped annex", stopped, sweep, (0, 0), repeats=False),
    Scenario("sweep over orphans", orphaned, sweep, (0, 0), repeats=False),
    *(
        Scenario(f"sweep over a left {kind}", left_over(kind), sweep, (0, 0), repeats=False)
        for kind in LeftoverKind
    ),
    Scenario("sweep over a forgotten machine", forgotten, sweep, (1, 1), repeats=False),
    Scenario("event of the last machine", last_machine_ended, event, (0, 0), repeats=False),
    Scenario("notice to a machine", spot_machine, reclaim, (2, 2)),
    Scenario("event of the last machine, reclaimed", reclaimed, event, (0, 0), repeats=False),
)
RUNNING_BEFORE = {
    "grow": 2,
    "grow over two zones": 2,
    "grow by a legacy image": 2,
    "stop": 2,
    "stop a Spot Fleet": 3,
}
DEATHS: tuple[BaseException, ...] = (
    Crash("killed"),
    AwsUnavailable("silence"),
    ValueError("a defect"),
)
POINTS: Counter[str] = Counter()


def points_of(scenario: Scenario) -> list[str]:
    """Every point that the unbroken scenario passes."""
    world = World()
    given = scenario.before(world)
    world.faults.disarm()
    scenario.act(world, given)
    return world.faults.points


def check_promises(world: World) -> None:
    """What holds whatever happened, once two sweeps have run."""
    for machine in world.compute.ours():
        assert machine.annex_id is not None, f"{machine.instance_id} has lost its tag"
        annex = world.ledger.records.get(machine.annex_id)
        assert annex is not None, f"{machine.instance_id} belongs to nobody"
        assert annex.state in LIVING, f"{machine.instance_id} outlives its annex"
        assert not annex.is_over(world.clock.now()), f"{machine.instance_id} outlives its lease"
        assert machine.instance_id in annex.living, f"{machine.instance_id} is not in the ledger"
        assert machine.lease_tag == annex.lease_expires_at, "a tag has another lease"
    for annex in world.ledger.records.values():
        if annex.legacy and annex.living:
            assert annex.annex_id in world.legacy.tokens, "a legacy image finds no tarball"
        running = {one.instance_id for one in world.compute.running(annex.annex_id)}
        assert set(annex.living) <= running, "the ledger knows machines that are not there"
        for launch in annex.launches:
            assert launch.got <= launch.asked, "launched twice"
        if annex.state in LIVING and annex.written_generation:
            found = world.configs.objects[annex.config_key][0]
            same = found.lease_expires_at == annex.lease_expires_at
            assert same, "the configuration has another lease"
            assert annex.written_generation == annex.generation, "the configuration is old"
        if annex.state is AnnexState.TERMINATED:
            assert annex.config_key not in world.configs.objects, "a configuration stays behind"
            assert annex.annex_id not in world.legacy.tokens, "a tarball stays behind"
            assert annex.annex_id not in world.compute.templates, "a launch template stays behind"


def broken_at(scenario: Scenario, at: int, error: BaseException, *, repeat: bool) -> World:
    """The scenario, broken at one point; then the client's repeat, if it does, and two sweeps."""
    world = World()
    given = scenario.before(world)
    world.faults.disarm()
    world.faults.at, world.faults.error = at, error
    with suppress(Crash, AwsUnavailable, ValueError):
        scenario.act(world, given)
    world.faults.disarm()
    if repeat:
        world.clock.tick(5)
        scenario.act(world, given)
    world.sweep()
    world.sweep()
    return world


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_every_crash_is_repaired_by_two_sweeps(scenario: Scenario) -> None:
    points = points_of(scenario)
    for at, point in enumerate(points):
        for error in DEATHS:
            for repeat in (False, True) if scenario.repeats else (False,):
                world = broken_at(scenario, at, error, repeat=repeat)
                where = f"{scenario.name}, {error!r} {point} ({at}), repeat: {repeat}"
                POINTS[scenario.name] += 1
                try:
                    check_promises(world)
                    _check_machines(scenario, world, repeat=repeat)
                    _check_words(scenario, world, repeat=repeat)
                    _check_end(world)
                except AssertionError as broken:
                    raise AssertionError(f"{where}: {broken}") from broken


def _check_machines(scenario: Scenario, world: World, *, repeat: bool) -> None:
    """Nothing asked for is lost, nothing is there twice."""
    expected = scenario.machines[1 if repeat else 0]
    running = len(world.compute.running())
    if expected >= 0:
        assert running == expected, f"{running} machines run, not {expected}"
    else:
        whole = scenario.machines[1]
        before = RUNNING_BEFORE.get(scenario.name, 0)
        assert running in (before, whole), f"{running} machines run"


def _check_words(scenario: Scenario, world: World, *, repeat: bool) -> None:
    """A notice that was heard is in the ledger once, and says why the annex ended."""
    if scenario.act is reclaim and repeat:
        assert len(world.annex().notices) == 1
    if scenario.before is reclaimed:
        assert "reclaimed by EC2" in world.annex().reason


def _check_end(world: World) -> None:
    """By the last lease's end all is over, with nobody's help but the sweep's."""
    world.clock.tick(7200)
    world.sweep()
    assert world.compute.running() == [], "machines outlive every lease"
    for _ in range(2 * ROUND_MINUTES):
        world.sweep()
    states = {annex.state for annex in world.ledger.records.values()}
    assert states <= {AnnexState.TERMINATED}, "an annex never ends"
    assert world.configs.objects == {}, "a configuration stays behind"
    assert world.leftovers.things == {}, "something stays behind"
    assert world.legacy.tokens == {}, "a tarball stays behind"


def test_every_port_call_has_its_crash(record_property: Callable[[str, object], None]) -> None:
    """Every method of every port is called, and so killed, in some scenario."""
    passed = {point.split(" ")[1] for one in SCENARIOS for point in points_of(one)}
    elsewhere = {"compute.rehearse"}  # a dry run, which changes nothing
    for name, protocol in (
        ("ledger", ports.Ledger),
        ("compute", ports.Compute),
        ("catalog", ports.Catalog),
        ("configs", ports.ConfigStore),
        ("leftovers", ports.Leftovers),
        ("legacy", ports.LegacyStore),
        ("reports", ports.Reports),
    ):
        for method, _ in inspect.getmembers(protocol, inspect.isfunction):
            if not method.startswith("_"):
                assert f"{name}.{method}" in passed | elsewhere
    record_property("crashes", f"{sum(POINTS.values())} in {len(SCENARIOS)} scenarios")
