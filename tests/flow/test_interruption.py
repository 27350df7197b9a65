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
