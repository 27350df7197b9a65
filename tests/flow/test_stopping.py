"""DELETE /annexes/NAME."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from chalicelib.errors import AwsUnavailable
from chalicelib.model import AnnexState, InstanceState
from tests.fakes.world import BOB, code, told

if TYPE_CHECKING:
    from tests.fakes.world import World


def test_stop_ends_every_machine_at_once(world: World) -> None:
    world.start(count=3)
    answer = world.stop()
    assert answer.status == 200
    assert told(answer)["state"] == "terminating"
    assert told(answer)["reason"] == "stopped by its owner"
    assert world.running() == []


def test_stopped_annex_is_terminated_when_its_machines_are_gone(world: World) -> None:
    world.start()
    world.stop()
    assert world.configuration() is not None  # the configuration goes after the machines
    world.sweep()
    assert world.annex().state is AnnexState.TERMINATED
    assert world.configs.objects == {}
    assert told(world.show())["reason"] == "stopped by its owner"


def test_stopping_twice_is_stopping_once(world: World) -> None:
    world.start()
    world.stop()
    assert world.stop().status == 200
    world.sweep()
    assert told(world.stop())["state"] == "terminated"


def test_stopping_what_is_not_there_or_not_ones_own(world: World) -> None:
    assert code(world.stop()) == "NoSuchAnnex"
    world.start()
    answer = world.stop(caller=BOB)
    assert (answer.status, code(answer)) == (403, "NotOwner")
    assert len(world.running()) == 2


def test_machines_that_were_stopped_in_the_console_are_ended_too(world: World) -> None:
    world.start()
    world.compute.become(world.running()[0], InstanceState.STOPPED)
    world.stop()
    assert world.running() == []


def test_machines_end_though_ec2_cannot_list_them(world: World) -> None:
    world.start()

    def watch(point: str) -> None:
        if point == "before compute.instances":
            raise AwsUnavailable("throttled")

    world.faults.watch = watch
    assert world.stop().status == 200
    assert world.running() == []


def test_machines_end_though_ec2_does_not_show_them_yet(world: World) -> None:
    world.start()
    world.compute.visible_after = timedelta(minutes=1)
    world.stop()
    assert world.running() == []
    assert world.annex().state is AnnexState.TERMINATING


def test_no_failure_of_the_configuration_stands_before_the_machines_end(world: World) -> None:
    world.start()

    def watch(point: str) -> None:
        if "configs" in point:
            raise AwsUnavailable("S3")

    world.faults.watch = watch
    world.stop()
    assert world.running() == []
    world.sweep()
    assert world.annex().state is AnnexState.TERMINATING
    world.faults.disarm()
    world.sweep()
    assert world.annex().state is AnnexState.TERMINATED


def test_protected_machine_keeps_no_other_alive_and_rings(world: World) -> None:
    world.start(count=3)
    protected = world.running()[0]
    world.compute.protected = {protected}
    world.stop()
    assert world.running() == [protected]
    world.sweep()
    assert world.journal.metrics["MachinesNotEnded"] >= 1
    assert any("protection" in problem for problem in world.ledger.state.problems)
    world.compute.protected = set()
    world.sweep()
    assert world.running() == []


def test_stop_while_machines_are_being_launched_ends_those_too(world: World) -> None:
    """The launch call is under way when stop comes; its answer arrives afterwards."""
    stopped: list[int] = []

    def watch(point: str) -> None:
        if point == "before compute.launch" and not stopped:
            stopped.append(1)
            world.stop()

    world.faults.watch = watch
    answer = told(world.start())
    assert answer["annex"]["state"] == "terminating"
    assert "The annex is ending." in answer["notes"]
    assert world.running() == []
    assert world.annex().state is AnnexState.TERMINATING


def test_nothing_is_launched_after_a_stop(world: World) -> None:
    def watch(point: str) -> None:
        if point == "before compute.launch":
            raise AwsUnavailable("no answer")

    world.faults.watch = watch
    world.start()
    world.stop()
    world.faults.disarm()
    for _ in range(8):
        world.sweep()
    assert world.compute.launches == []
    assert world.annex().state is AnnexState.TERMINATED


def test_ending_waits_for_machines_of_a_call_that_was_never_answered(world: World) -> None:
    def watch(point: str) -> None:
        if point == "after compute.launch":
            raise AwsUnavailable("no answer")

    world.faults.watch = watch
    world.start()
    world.faults.disarm()
    world.compute.visible_after = timedelta(seconds=90)
    world.stop()
    assert len(world.running()) == 2  # nobody knows of them yet
    world.sweep()
    assert world.annex().state is AnnexState.TERMINATING
    world.sweep()
    assert world.running() == []
    for _ in range(4):
        world.sweep()
    assert world.annex().state is AnnexState.TERMINATED
