"""EC2's events: faster than the sweep."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from chalicelib.errors import AwsUnavailable
from chalicelib.ids import InstanceId
from chalicelib.interruption import REBALANCE, RECLAIM, STATE_CHANGED
from chalicelib.iso import iso
from chalicelib.model import AnnexState, InstanceState, Report
from tests.fakes.world import told

if TYPE_CHECKING:
    from tests.fakes.world import World


def test_end_of_the_last_machine_ends_the_annex_at_once(world: World) -> None:
    world.start(count=1)
    (only,) = world.running()
    world.reports.told = {only: Report("ending", "its HTCondor was switched off")}
    world.clock.tick(60)
    world.compute.become(only, InstanceState.SHUTTING_DOWN)
    world.clock.tick(31)
    assert world.services.interruption.state_changed(only, "terminated") is True
    assert world.annex().state is AnnexState.TERMINATED
    assert "its HTCondor was switched off" in told(world.show())["reason"]


def test_machines_of_others_are_nobodys_business(world: World) -> None:
    foreign = world.compute.stranger({"Name": "theirs"})
    assert world.services.interruption.state_changed(foreign, "stopped") is False
    assert world.services.interruption.state_changed(InstanceId("i-gone"), "terminated") is False


def test_one_machines_end_leaves_the_others_alone(world: World) -> None:
    world.start(count=3)
    gone = world.running()[0]
    world.compute.become(gone, InstanceState.SHUTTING_DOWN)
    world.clock.tick(31)
    world.services.interruption.state_changed(gone, "terminated")
    assert len(world.running()) == 2
    assert world.annex().ended == (gone,)


@pytest.mark.parametrize("state", ["pending", "running", "shutting-down"])
def test_state_that_tells_nothing_new_costs_no_look_at_all_machines(
    world: World, state: str
) -> None:
    world.start(count=3)
    before = world.annex()
    asked: list[str] = []
    world.faults.watch = asked.append
    assert world.services.interruption.state_changed(world.running()[0], state) is True
    assert "before compute.instances" not in asked
    assert "before ledger.get" in asked
    assert world.annex() == before


def test_machine_that_comes_up_in_an_annex_that_ends_is_ended(world: World) -> None:
    world.start(count=1)
    (late,) = world.running()
    annex = world.annex()
    world.ledger.records[annex.annex_id] = replace(annex, state=AnnexState.TERMINATING, reason="x")
    assert world.services.interruption.state_changed(late, "running") is True
    assert not world.running()


def test_machine_whose_call_was_not_answered_is_adopted_as_it_comes_up(world: World) -> None:
    def silent(point: str) -> None:
        if point == "after compute.launch":
            raise AwsUnavailable("EC2 did not answer.")

    world.faults.watch = silent
    world.start(count=1)
    world.faults.disarm()
    (late,) = world.running()
    assert world.annex().started == ()
    assert world.services.interruption.state_changed(late, "running") is True
    assert world.annex().started == (late,)


def test_an_event_takes_no_launch_out_of_its_request_s_hands(world: World) -> None:
    world.compute.free = {("m7i.large", "us-east-1a"): 1, ("m7i.large", "us-east-1b"): 1}
    launched_by_events: list[int] = []

    def first_machine_is_up(point: str) -> None:
        if point != "before ledger.save" or len(world.compute.launches) != 1:
            return
        world.faults.watch = None
        (first,) = world.running()
        world.services.interruption.state_changed(first, "running")
        launched_by_events.append(len(world.compute.launches) - 1)
        world.faults.watch = first_machine_is_up

    world.faults.watch = first_machine_is_up
    answer = world.start(count=5)
    assert (answer.status, told(answer)["started"]) == (201, 2)
    assert {*launched_by_events} == {0}


def hear(world: World, kind: str, instance_id: InstanceId, **detail: str) -> bool:
    """An event as EventBridge hands it on, just now."""
    told_of = {"instance-id": instance_id, **detail}
    return world.services.interruption.heard(kind, iso(world.clock.now()), told_of)


def ended(world: World, instance_id: InstanceId) -> None:
    """The machine leaves, and EC2 says so."""
    world.compute.become(instance_id, InstanceState.SHUTTING_DOWN)
    world.clock.tick(31)
    hear(world, STATE_CHANGED, instance_id, state="terminated")


def shown(world: World, instance_id: InstanceId) -> dict[str, str]:
    """One machine, as status has it."""
    machines: list[dict[str, str]] = told(world.show())["instances"]
    (one,) = [one for one in machines if one["instance_id"] == instance_id]
    return one


def test_a_reclaimed_machine_is_shown_as_such_from_the_notice_on(world: World) -> None:
    world.start(count=2)
    machine, other = world.running()
    assert hear(world, RECLAIM, machine, **{"instance-action": "terminate"})
    assert shown(world, machine)["reason"] == "reclaimed by EC2 at 2026-11-24T12:02:00Z"
    assert shown(world, machine)["reclaim_at"] == "2026-11-24T12:02:00Z"
    assert shown(world, other)["reclaim_at"] == shown(world, other)["reason"] == ""
    ended(world, machine)
    assert shown(world, machine)["reason"] == "reclaimed by EC2 at 2026-11-24T12:02:00Z"
    assert world.annex().state is AnnexState.ACTIVE


def test_nothing_is_launched_for_a_reclaimed_machine(world: World) -> None:
    world.start(count=2)
    machine, other = world.running()
    hear(world, RECLAIM, machine)
    ended(world, machine)
    world.sweep()
    assert world.running() == [other]


def test_an_annex_whose_last_machine_was_reclaimed_says_so_though_that_could_not(
    world: World,
) -> None:
    world.start(count=2)
    first, last = sorted(world.running(), reverse=True)
    world.reports.told = {last: Report("configured", "cm.pool.example cannot be reached")}
    ended(world, first)
    hear(world, RECLAIM, last)
    ended(world, last)
    assert world.annex().state is AnnexState.TERMINATED
    assert told(world.show())["reason"] == (
        "its last machine has ended: reclaimed by EC2 at 2026-11-24T12:02:31Z"
    )


def test_a_warning_of_ec2_is_shown_and_changes_nothing(world: World) -> None:
    world.start(count=1)
    (machine,) = world.running()
    assert hear(world, REBALANCE, machine)
    assert shown(world, machine)["rebalance_at"] == "2026-11-24T12:00:00Z"
    assert shown(world, machine)["reason"] == (
        "EC2 may take it back soon (its warning of 2026-11-24T12:00:00Z)"
    )
    world.sweep()
    assert world.running() == [machine]
    world.reports.told = {machine: Report("ending", "It had no job for 900 s.")}
    ended(world, machine)
    assert told(world.show())["reason"] == "its last machine has ended: It had no job for 900 s."


@pytest.mark.parametrize("kind", [RECLAIM, REBALANCE])
def test_an_event_that_comes_twice_is_recorded_once(world: World, kind: str) -> None:
    world.start(count=1)
    (machine,) = world.running()
    hear(world, kind, machine)
    before = world.annex()
    world.clock.tick(5)
    assert hear(world, kind, machine)
    assert world.annex() == before


def test_a_notice_is_not_lost_to_a_renewal_at_the_same_time(world: World) -> None:
    world.start(count=1)
    (machine,) = world.running()

    def renew(point: str) -> None:
        if point == "before ledger.save":
            world.faults.watch = None
            world.renew(seconds=7200)

    world.faults.watch = renew
    hear(world, RECLAIM, machine)
    assert len(world.annex().notices) == 1
    assert world.annex().lease_expires_at - world.clock.now() == timedelta(seconds=7200)


@pytest.mark.parametrize("kind", [RECLAIM, REBALANCE])
def test_notices_to_machines_of_others_are_nobodys_business(world: World, kind: str) -> None:
    world.start(count=1)
    before = world.annex()
    foreign = world.compute.stranger({"Name": "theirs"})
    orphan = world.compute.stranger({"htcondor:AnnexDeployment": "htcondor-annex"})
    for one in (foreign, orphan, InstanceId("i-gone")):
        assert hear(world, kind, one) is False
    assert world.annex() == before
