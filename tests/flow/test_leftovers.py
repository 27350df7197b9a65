"""What annexes leave behind beside machines: found, and removed by the rule that machines go by."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from chalicelib.clearing import ROUND_MINUTES, turn
from chalicelib.errors import AwsUnavailable
from chalicelib.model import AnnexState, InstanceState, LeftoverKind, SweepState
from chalicelib.tags import ANNEX_ID, DEPLOYMENT, LEASE, annex_tags
from tests.fakes.leftovers import IN_EC2, IN_S3
from tests.fakes.legacy import key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.model import Annex
    from tests.fakes.world import World

kinds = pytest.mark.parametrize("kind", list(LeftoverKind))


def make(world: World, kind: LeftoverKind, annex: Annex) -> str:
    """Something of an annex's; its configuration object is there anyway."""
    if kind is LeftoverKind.CONFIGURATION:
        return annex.config_key
    if kind is LeftoverKind.TARBALL:
        world.legacy.write(world.configs.objects[annex.config_key][0])
        return key_of(annex.annex_id)
    tags = annex_tags("d", annex.name, annex.annex_id, annex.identity, annex.lease_expires_at)
    return world.leftovers.make(kind, tags)


def there(world: World) -> set[str]:
    tarballs = map(key_of, world.legacy.tokens)
    return {*world.leftovers.things, *world.configs.objects, *tarballs}


def forget(world: World, annex: Annex) -> None:
    """The record is gone, as nothing that the control plane does can make it."""
    del world.ledger.records[annex.annex_id]
    del world.ledger.names[annex.name]


def sweeps(world: World, rounds: float = 1) -> list[SweepState]:
    """So many rounds of all kinds."""
    return [world.sweep() for _ in range(int(ROUND_MINUTES * rounds))]


def orphan(world: World, kind: LeftoverKind, name: str = "foo", seconds: int = 36000) -> str:
    """A thing of an annex that no record knows, in a ledger that speaks for the deployment."""
    world.sweep(0)
    world.start(name, duration_seconds=seconds)
    annex = world.annex(name)
    thing = make(world, kind, annex)
    forget(world, annex)
    return thing


def broken(what: str) -> Callable[[str], None]:
    def watch(point: str) -> None:
        if point == f"before {what}":
            raise AwsUnavailable("no answer")

    return watch


@kinds
def test_thing_without_a_record_is_removed_after_the_grace(
    world: World, kind: LeftoverKind
) -> None:
    thing = orphan(world, kind)
    for _ in range(4):
        world.sweep()
        assert thing in there(world)
    sweeps(world)
    assert thing not in there(world)
    assert world.journal.metrics["LeftoversRemoved"] >= 1
    assert "LeftoversKept" not in world.journal.metrics


@kinds
def test_thing_of_a_living_annex_is_kept_through_all_its_life(
    world: World, kind: LeftoverKind
) -> None:
    world.start(duration_seconds=3600)
    thing = make(world, kind, world.annex())
    sweeps(world, rounds=3)
    world.renew(seconds=7200)
    for _ in range(100):  # beyond the lease that its own tag tells
        world.sweep()
    assert world.annex().state is AnnexState.ACTIVE
    assert thing in there(world)


@kinds
def test_thing_of_a_finished_annex_is_removed(world: World, kind: LeftoverKind) -> None:
    world.start()
    annex = world.annex()
    thing = make(world, kind, annex)
    kept = world.configs.objects[annex.config_key]
    world.stop()
    sweeps(world, rounds=0.5)
    assert world.annex().state is AnnexState.TERMINATED
    world.configs.objects[annex.config_key] = kept
    sweeps(world, rounds=2)
    assert thing not in there(world)


@pytest.mark.parametrize("kind", [*IN_EC2, LeftoverKind.TARBALL])
def test_thing_of_an_ending_annex_waits_for_its_end(world: World, kind: LeftoverKind) -> None:
    world.start()
    world.compute.protected = set(world.running())
    thing = make(world, kind, world.annex())
    world.stop()
    sweeps(world, rounds=2)
    assert world.annex().state is AnnexState.TERMINATING
    assert thing in there(world)


def test_each_kind_has_its_turn_whatever_the_schedules_rhythm(world: World) -> None:
    for minutes in range(1, ROUND_MINUTES):
        now = world.clock.now()
        turns = {turn(now + timedelta(minutes=minutes * n)) for n in range(ROUND_MINUTES)}
        assert turns == {*LeftoverKind}


def test_sweep_lists_one_kind_a_minute(world: World) -> None:
    for _ in range(ROUND_MINUTES):
        world.faults.disarm()
        world.sweep()
        listings = [p for p in world.faults.points if p.endswith(("leftovers.found", ".listed"))]
        assert len(listings) <= 2  # before and after one of them


def test_fleet_is_cancelled_before_its_machines_are_ended(world: World) -> None:
    world.sweep(0)
    world.start(duration_seconds=36000)
    annex = world.annex()
    make(world, LeftoverKind.SPOT_FLEET, annex)
    forget(world, annex)
    while turn(world.clock.now()) is not LeftoverKind.SPOT_FLEET:
        world.clock.tick(60)
    world.clock.tick(60 * ROUND_MINUTES)
    world.faults.disarm()
    world.services.sweep.run()
    points = world.faults.points
    assert points.index("before leftovers.remove") < points.index("before compute.terminate")
    assert world.compute.running() == []


# A ledger that cannot be believed removes nothing but what is over anyway, and rings


def empty(world: World) -> None:
    world.ledger.records.clear()
    world.ledger.names.clear()
    world.ledger.mark_time = None


def restored(world: World) -> None:
    empty(world)
    world.ledger.mark(world.clock.now() + timedelta(minutes=1))


def half_torn_down(world: World) -> None:
    """Records can be read, and are gone; the marker cannot."""
    empty(world)
    world.faults.watch = broken("ledger.marked_at")


def throttled(world: World) -> None:
    world.faults.watch = broken("ledger.annexes")


def throttled_later(world: World) -> None:
    """One page came, the look at single records fails."""
    world.ledger.listed_until = world.clock.now() - timedelta(days=1)
    world.faults.watch = broken("ledger.get")


def unreadable(world: World) -> None:
    world.ledger.broken = set(world.ledger.records)


UNBELIEVABLE = [empty, restored, half_torn_down, throttled, throttled_later, unreadable]


@pytest.mark.parametrize("how", UNBELIEVABLE)
@kinds
def test_ledger_that_cannot_be_believed_removes_nothing_but_what_is_over(
    world: World, kind: LeftoverKind, how: Callable[[World], None]
) -> None:
    world.sweep(0)
    world.clock.tick(1)
    world.start("alive", duration_seconds=36000)
    world.start("over", duration_seconds=1800)
    alive, over = (make(world, kind, world.annex(name)) for name in ("alive", "over"))
    machines = {*world.running("alive")}
    world.clock.tick(60)
    how(world)
    sweeps(world, rounds=3)
    assert {alive, over} <= there(world)
    assert world.journal.metrics["LeftoversKept"] >= 2
    world.sweep(1800)
    sweeps(world)
    assert alive in there(world)
    assert over not in there(world)
    assert {one.instance_id for one in world.compute.running()} == machines


@kinds
@pytest.mark.parametrize("how", [empty, restored])
def test_ledger_that_forgot_what_runs_rings(
    world: World, kind: LeftoverKind, how: Callable[[World], None]
) -> None:
    world.start(duration_seconds=36000)
    thing = make(world, kind, world.annex())
    how(world)
    told = [one for state in sweeps(world, rounds=2) for one in state.problems]
    assert world.journal.metrics["LeftoversKept"] >= 1
    assert any(str(kind) in one and "lease in their own tags" in one for one in told)
    assert thing in there(world)


@kinds
def test_stale_list_of_records_removes_nothing(world: World, kind: LeftoverKind) -> None:
    """The list lacks a record that a look at it finds."""
    world.sweep(0)
    world.clock.tick(1)
    world.start(duration_seconds=36000)
    thing = make(world, kind, world.annex())
    world.ledger.listed_until = world.clock.now() - timedelta(seconds=1)
    sweeps(world, rounds=2)
    assert thing in there(world)
    assert len(world.running()) == 2
    assert "LeftoversKept" not in world.journal.metrics


@kinds
def test_ledger_read_minutes_stale_removes_nothing(world: World, kind: LeftoverKind) -> None:
    """Nothing reads so; but if something did, the grace is longer."""
    world.sweep(0)
    world.clock.tick(1)
    world.start(duration_seconds=36000)
    annex = world.annex()
    thing = make(world, kind, annex)
    forget(world, annex)
    for _ in range(4):
        world.sweep()
    world.ledger.records[annex.annex_id] = annex
    world.ledger.names[annex.name] = annex.annex_id
    sweeps(world, rounds=2)
    assert thing in there(world)
    assert len(world.running()) == 2


@pytest.mark.parametrize("kind", [*IN_EC2, LeftoverKind.TARBALL])
def test_renewed_annex_is_not_taken_for_over_by_the_old_lease_in_a_tag(
    world: World, kind: LeftoverKind
) -> None:
    """Only machines' tags move with a renewal."""
    world.start(duration_seconds=1800)
    thing = make(world, kind, world.annex())
    world.renew(seconds=36000)
    empty(world)
    world.sweep(3600)
    sweeps(world)
    assert thing in there(world)


@pytest.mark.parametrize("kind", [*IN_EC2, LeftoverKind.TARBALL])
def test_tags_prove_nothing_while_machines_cannot_be_listed(
    world: World, kind: LeftoverKind
) -> None:
    world.start(duration_seconds=1800)
    thing = make(world, kind, world.annex())
    world.renew(seconds=36000)
    empty(world)
    world.faults.watch = broken("compute.instances")
    world.sweep(3600)
    sweeps(world)
    assert thing in there(world)


@pytest.mark.parametrize("lease", [None, "soon"])
def test_thing_without_any_readable_tag_is_left_alone(world: World, lease: str | None) -> None:
    world.ledger.mark_time = None
    tags = {DEPLOYMENT: "d", ANNEX_ID: "annex-x"}
    for kind in IN_EC2:
        world.leftovers.make(kind, {**tags, LEASE: lease} if lease else tags)
        world.leftovers.make(kind, {DEPLOYMENT: "d"})
    world.sweep(36000)
    sweeps(world)
    assert len(world.leftovers.things) == 2 * len(IN_EC2)


# One never keeps another


@kinds
def test_thing_that_cannot_be_removed_keeps_no_other_and_rings(
    world: World, kind: LeftoverKind
) -> None:
    first = orphan(world, kind, "first")
    second = orphan(world, kind, "second")
    world.leftovers.protected = {first}
    seen: list[str] = []

    def watch(point: str) -> None:
        deletes = ("before configs.delete", "before legacy.delete")
        if kind in IN_S3 and point in deletes and not seen:
            seen.append(point)
            raise AwsUnavailable("no answer")

    world.faults.watch = watch
    world.clock.tick(300)
    states = sweeps(world)
    assert second not in there(world)
    if kind in IN_EC2:
        assert first in there(world)
    assert any("could not be removed" in one for state in states for one in state.problems)
    assert world.journal.metrics["LeftoversKept"] == 1


@kinds
def test_unreadable_record_keeps_no_other_annexs_thing(world: World, kind: LeftoverKind) -> None:
    world.sweep(0)
    world.start("unreadable", duration_seconds=36000)
    kept = make(world, kind, world.annex("unreadable"))
    world.ledger.broken = {world.annex("unreadable").annex_id}
    thing = orphan(world, kind)
    world.clock.tick(300)
    sweeps(world)
    assert thing not in there(world)
    assert kept in there(world)


def test_kind_that_cannot_be_listed_keeps_no_other_and_no_machine(world: World) -> None:
    things = [orphan(world, kind, kind.name.lower()) for kind in IN_EC2]

    def watch(point: str) -> None:
        if point == "before leftovers.found" and turn(world.clock.now()) is LeftoverKind.FLEET:
            raise AwsUnavailable("no answer")

    world.faults.watch = watch
    world.clock.tick(300)
    sweeps(world)
    assert {*things} & there(world) == {things[IN_EC2.index(LeftoverKind.FLEET)]}
    assert world.compute.running() == []
    assert world.journal.metrics["LeftoversKept"] == 1


def test_defect_in_clearing_keeps_no_machine_alive(world: World) -> None:
    orphan(world, LeftoverKind.VOLUME)

    def watch(point: str) -> None:
        if point in ("before leftovers.found", "before configs.listed", "before legacy.listed"):
            raise ValueError("a defect")

    world.faults.watch = watch
    state = world.sweep(301)
    assert world.compute.running() == []
    assert world.journal.metrics["SweepFinished"] == 2
    assert any("ValueError" in one for one in state.problems)


def test_clearing_out_of_time_goes_on_at_its_next_turn(world: World) -> None:
    for number in range(5):
        orphan(world, LeftoverKind.VOLUME, f"a{number}")

    def watch(point: str) -> None:
        if point == "after leftovers.remove":
            world.clock.tick(4)

    world.faults.watch = watch
    world.clock.tick(300)
    left = []
    for _ in range(ROUND_MINUTES * 2):
        world.clock.tick(-(world.clock.now().timestamp() % 60))
        world.sweep()
        left.append(len(world.leftovers.things))
    assert sorted(set(left), reverse=True) == [5, 2, 0]


def test_many_orphans_cost_no_more_lookups_than_there_are(world: World) -> None:
    """What a living annex owns is known from the list of records alone."""
    world.start()
    for _ in range(50):
        make(world, LeftoverKind.VOLUME, world.annex())
    while turn(world.clock.now()) is not LeftoverKind.VOLUME:
        world.clock.tick(60)
    world.faults.disarm()
    world.services.sweep.run()
    assert "before leftovers.found" in world.faults.points
    assert "before ledger.get" not in world.faults.points


# Configuration objects


def test_configuration_nobody_can_read_goes_when_no_record_names_it(world: World) -> None:
    key = orphan(world, LeftoverKind.CONFIGURATION)
    world.configs.broken = {key}
    world.clock.tick(300)
    sweeps(world)
    assert key not in there(world)


def test_configuration_nobody_can_read_may_be_that_of_an_unreadable_record(world: World) -> None:
    world.sweep(0)
    world.start(duration_seconds=36000)
    annex = world.annex()
    world.configs.broken = {annex.config_key}
    world.ledger.broken = {annex.annex_id}
    sweeps(world, rounds=3)
    assert annex.config_key in there(world)


def test_configurations_key_reaches_no_log_and_no_problem(world: World) -> None:
    keys = [orphan(world, LeftoverKind.CONFIGURATION, name) for name in ("foo", "bar")]
    world.start("alive", duration_seconds=36000)
    world.faults.watch = broken("configs.delete")
    world.clock.tick(300)
    states = sweeps(world)
    world.faults.disarm()
    empty(world)
    states += sweeps(world, rounds=2)
    said = repr(world.journal.lines) + repr(states)
    assert "configuration object of annex-" in said
    assert not any(key in said or key[7:39] in said for key in keys)


# Legacy tarballs


def legacy_start(world: World, seconds: int = 36000) -> Annex:
    world.start(duration_seconds=seconds, legacy=True, ami_id="ami-0123456789abcdef0")
    return world.annex()


def test_renewed_legacy_annexs_tarball_tells_the_new_lease(world: World) -> None:
    annex = legacy_start(world, 1800)
    world.renew(seconds=36000)
    assert world.legacy.lease(annex.annex_id) == world.annex().lease_expires_at
    empty(world)
    world.compute.machines.clear()
    world.sweep(3600)
    sweeps(world)
    assert key_of(annex.annex_id) in there(world)
    world.sweep(36000)
    sweeps(world)
    assert key_of(annex.annex_id) not in there(world)


def test_tarball_that_tells_no_lease_is_left_to_its_bucket_where_no_ledger_can_be_believed(
    world: World,
) -> None:
    annex = legacy_start(world, 1800)
    world.legacy.leases.clear()
    empty(world)
    world.sweep(36000)
    sweeps(world)
    assert key_of(annex.annex_id) in there(world)
    assert world.journal.metrics["LeftoversKept"] >= 1


def test_tarball_goes_with_an_annex_that_no_record_knows(world: World) -> None:
    world.sweep(0)
    annex = legacy_start(world)
    forget(world, annex)
    world.sweep(300)
    assert world.compute.running() == []
    sweeps(world)
    assert there(world) == set()


def test_machine_that_ended_itself_leaves_its_volume_until_its_annex_has_ended(
    world: World,
) -> None:
    world.start(count=1)
    volume = make(world, LeftoverKind.VOLUME, world.annex())
    sweeps(world)
    assert volume in there(world)
    world.compute.become(world.running()[0], InstanceState.SHUTTING_DOWN)
    sweeps(world, rounds=2)
    assert volume not in there(world)


def test_record_that_says_terminated_is_believed_in_any_ledger(world: World) -> None:
    """Nothing leads back from there, not even a restored table."""
    world.start(duration_seconds=36000)
    annex = world.annex()
    volume = make(world, LeftoverKind.VOLUME, annex)
    world.compute.machines.clear()
    world.ledger.records[annex.annex_id] = replace(annex, state=AnnexState.TERMINATED)
    world.ledger.mark_time = None
    sweeps(world, rounds=2)
    assert volume not in there(world)
