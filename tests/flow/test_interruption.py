"""EC2's events: faster than the sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.model import AnnexState, InstanceId, InstanceState, Report
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
