"""The edges of scale: annexes of more machines than a page, a batch or a minute takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chalicelib.errors import AwsUnavailable
from chalicelib.model import AnnexState, InstanceState
from chalicelib.sweep import PROBLEMS_KEPT
from chalicelib.tags import ANNEX_ID, DEPLOYMENT
from tests.fakes.world import World, told

if TYPE_CHECKING:
    from chalicelib.ids import InstanceId

MANY = 1200


@pytest.fixture
def large(world: World) -> World:
    world.set(max_instances_per_annex=5000, max_instances_per_owner=5000)
    return world


def test_annex_of_more_than_a_thousand_machines_lives_and_ends_as_any_other(large: World) -> None:
    assert large.start(count=MANY).status == 201
    large.sweep()
    assert large.grow(count=MANY).status == 201
    assert len(large.running()) == 2 * MANY
    large.renew(seconds=7200)
    large.sweep()
    assert {one.lease_tag for one in large.compute.running()} == {large.annex().lease_expires_at}
    for one in large.running()[:MANY]:
        large.compute.become(one, InstanceState.SHUTTING_DOWN)
    large.sweep()
    assert len(large.annex().living) == MANY
    assert len(told(large.show())["instances"]) == 2 * MANY
    large.sweep(7200)
    assert large.compute.running() == []
    large.sweep()
    assert large.annex().state is AnnexState.TERMINATED


def test_more_than_a_thousand_orphans_are_ended_by_one_sweep(large: World) -> None:
    large.sweep()
    large.clock.tick(1)
    for number in range(MANY):
        tags = {DEPLOYMENT: "htcondor-annex", ANNEX_ID: f"annex-{number % 7}"}
        large.compute.stranger(tags)
    large.sweep(301)
    assert large.compute.running() == []
    assert large.journal.metrics["OrphansEnded"] == MANY


def test_batch_that_ec2_throttled_is_ended_by_the_next_sweep(large: World) -> None:
    large.start(count=MANY)
    large.sweep()
    refused: set[InstanceId] = set(large.running()[:200])
    large.compute.protected = refused
    state = large.sweep(3600)
    assert set(large.running()) == refused
    assert state.problems
    assert large.annex().state is AnnexState.TERMINATING
    large.compute.protected = set()
    large.sweep()
    assert large.compute.running() == []


def test_sweep_out_of_time_in_the_middle_ends_every_lease_all_the_same(large: World) -> None:
    """Each annex takes half the budget: three sweeps for six, the longest overdue first."""
    for number in range(6):
        large.start(f"a{number}", count=100, duration_seconds=3600 + number)

    def watch(point: str) -> None:
        if point == "after compute.terminate":
            large.clock.tick(23)

    large.faults.watch = watch
    large.clock.tick(3700)
    living = []
    for _ in range(3):
        large.services.sweep.run()
        living.append(sorted({name for name in map("a{}".format, range(6)) if large.running(name)}))
    assert living == [["a2", "a3", "a4", "a5"], ["a4", "a5"], []]
    assert large.journal.metrics["SweepsOutOfTime"] >= 2


def test_sweep_that_always_runs_out_of_time_gives_each_living_annex_its_turn(
    large: World,
) -> None:
    for number in range(7):
        large.start(f"a{number}", count=1)
    large.sweep()
    for number in range(7):
        large.renew(f"a{number}", seconds=7200)
        machine = large.compute.machines[large.running(f"a{number}")[0]]
        machine.tags["htcondor:LeaseExpiration"] = "2026-11-24T12:30:00Z"  # a crash left it behind

    def watch(point: str) -> None:
        if point == "after compute.tag_lease":
            large.clock.tick(23)

    large.faults.watch = watch
    for _ in range(4):
        large.sweep(1)
    ends = {large.annex(f"a{number}").lease_expires_at for number in range(7)}
    assert {one.lease_tag for one in large.compute.running()} == ends


def test_throttled_list_of_machines_ends_leases_all_the_same(large: World) -> None:
    large.start(count=MANY)

    def watch(point: str) -> None:
        if point == "before compute.instances":
            raise AwsUnavailable("RequestLimitExceeded")

    large.faults.watch = watch
    large.sweep(3601)
    assert large.compute.running() == []


def test_thousands_of_problems_leave_room_for_where_to_resume(large: World) -> None:
    """The sweep's state is one item of the ledger."""
    large.sweep()
    large.clock.tick(1)
    for number in range(PROBLEMS_KEPT + 10):
        large.start(f"a{number}", count=1)
    large.ledger.broken = set(large.ledger.records)
    state = large.sweep()
    assert len(state.problems) == PROBLEMS_KEPT + 1
    assert state.problems[-1] == "and 10 more: see the sweep's log"
    assert large.journal.metrics["SweepProblems"] == PROBLEMS_KEPT + 10
