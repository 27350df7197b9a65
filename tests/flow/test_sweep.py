"""What happens each minute, whoever is there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from chalicelib.errors import AwsUnavailable
from chalicelib.model import AnnexState, InstanceState, Report
from chalicelib.tags import ANNEX_ID, DEPLOYMENT, LEASE
from tests.fakes.world import told

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.ids import InstanceId
    from tests.fakes.world import World


def broken(what: str) -> Callable[[str], None]:
    """A port call that gets no answer."""

    def watch(point: str) -> None:
        if point == f"before {what}":
            raise AwsUnavailable("no answer")

    return watch


def stranger(world: World, lease_in: float | None = 3600, annex_id: str = "annex-x") -> InstanceId:
    """A machine with the deployment's tags that no record knows."""
    tags = {DEPLOYMENT: "htcondor-annex", ANNEX_ID: annex_id}
    if lease_in is not None:
        end = world.clock.now() + timedelta(seconds=lease_in)
        tags[LEASE] = end.strftime("%Y-%m-%dT%H:%M:%SZ")
    return world.compute.stranger(tags)


def test_lease_end_ends_every_machine_within_a_minute(world: World) -> None:
    world.start(count=3)
    world.sweep(3599)
    assert len(world.running()) == 3
    world.sweep()
    assert world.running() == []
    world.sweep()
    assert world.annex().state is AnnexState.TERMINATED
    assert told(world.show())["reason"] == "its lease ended"


def test_machines_end_though_the_ledger_cannot_be_written(world: World) -> None:
    world.start()
    world.faults.watch = broken("ledger.save")
    world.sweep(3601)
    world.sweep()
    assert world.running() == []


def test_a_renewal_saved_meanwhile_wins_though_the_end_cannot_be_written(world: World) -> None:
    world.start()
    world.clock.tick(3599)

    def renewed_late(point: str) -> None:
        if point == "after ledger.annexes":
            world.faults.watch = None
            assert world.renew(seconds=7200).status == 200
            world.clock.tick(1)
            world.faults.watch = broken("ledger.save")

    world.faults.watch = renewed_late
    world.sweep(0)
    assert len(world.running()) == 2


def test_machines_end_though_ec2_cannot_list_them(world: World) -> None:
    world.start()
    world.faults.watch = broken("compute.instances")
    world.sweep(3601)
    assert world.running() == []
    assert "SweepFinished" not in world.journal.metrics


def test_annex_whose_machines_all_ended_is_ended_with_their_last_words(world: World) -> None:
    world.start(count=1)
    (only,) = world.running()
    world.reports.told = {only: Report("ending", "idle for 15 minutes")}
    world.sweep()
    world.compute.become(only, InstanceState.SHUTTING_DOWN)
    world.sweep()
    assert world.annex().state is AnnexState.TERMINATED
    assert told(world.show())["reason"] == "its last machine has ended: idle for 15 minutes"


def test_machine_that_ended_without_a_report_is_said_to_have_left_none(world: World) -> None:
    world.start(count=1)
    (only,) = world.running()
    world.sweep()
    world.compute.become(only, InstanceState.TERMINATED)
    world.sweep()
    assert "it left no report: its user data broke off" in str(told(world.show())["reason"])


@pytest.mark.parametrize(
    ("told_by_ec2", "said"),
    [
        ("Client.InternalError: Client error on launch", "default key for disks"),
        ("Server.InsufficientInstanceCapacity: None left", "could not bring it up (Server.Insuff"),
        ("Client.InstanceInitiatedShutdown: Instance initiated shutdown", "it left no report"),
    ],
)
def test_machine_that_ec2_never_brought_up_is_not_blamed_on_its_user_data(
    world: World, told_by_ec2: str, said: str
) -> None:
    world.start(count=1)
    (only,) = world.running()
    machine = world.compute.machines[only]
    machine.instance = replace(machine.instance, state_reason=told_by_ec2)
    world.compute.become(only, InstanceState.TERMINATED)
    world.sweep()
    assert said in str(told(world.show())["reason"])


def test_machine_not_shown_yet_is_not_taken_for_gone(world: World) -> None:
    world.compute.visible_after = timedelta(minutes=3)
    world.start()
    world.sweep()
    assert world.annex().state is AnnexState.ACTIVE
    assert len(world.annex().living) == 2


def untagged(world: World) -> InstanceId:
    """One of two machines loses its tags, long after it was launched."""
    world.start(count=2)
    world.sweep()
    lost = world.running()[0]
    world.compute.machines[lost].tags.clear()
    return lost


def alive(world: World) -> set[InstanceId]:
    return {one.instance_id for one in world.compute.running()}


def test_machine_that_lost_its_tags_is_not_taken_for_gone(world: World) -> None:
    lost = untagged(world)
    world.sweep(660)
    assert world.annex().ended == ()
    assert lost in world.annex().living


def test_machine_that_lost_its_tags_keeps_its_annex_from_ending(world: World) -> None:
    lost = untagged(world)
    other = world.running()[0]
    world.compute.become(other, InstanceState.SHUTTING_DOWN)
    world.sweep(660)
    assert world.annex().state is AnnexState.ACTIVE
    assert world.annex().living == (lost,)


def test_machine_that_lost_its_tags_ends_with_its_annex(world: World) -> None:
    untagged(world)
    world.sweep(660)
    world.stop()
    assert alive(world) == set()
    world.sweep()
    assert world.annex().state is AnnexState.TERMINATED


def test_machine_that_lost_its_tags_ends_with_its_lease_though_nobody_can_find_it(
    world: World,
) -> None:
    untagged(world)
    world.faults.watch = broken("compute.by_id")
    world.sweep(3601)
    assert alive(world) == set()


def test_name_is_not_freed_while_a_machine_that_lost_its_tags_cannot_be_ended(
    world: World,
) -> None:
    lost = untagged(world)
    world.compute.protected = {lost}
    world.sweep(3601)
    state = world.sweep()
    assert alive(world) == {lost}
    assert world.annex().state is AnnexState.TERMINATING
    assert any("termination protection" in one for one in state.problems)


def test_machines_not_shown_are_not_taken_for_gone_while_ec2_cannot_be_asked(
    world: World,
) -> None:
    untagged(world)
    world.faults.watch = broken("compute.by_id")
    state = world.sweep(660)
    assert world.annex().ended == ()
    assert state.problems


def test_machine_that_ec2_has_forgotten_is_gone(world: World) -> None:
    world.start(count=1)
    world.sweep()
    world.compute.machines.clear()
    world.sweep(660)
    assert world.annex().state is AnnexState.TERMINATED


def test_lease_tags_that_a_crash_left_behind_are_repaired(world: World) -> None:
    world.start()
    world.faults.watch = broken("compute.tag_lease")
    world.renew(seconds=7200)
    world.faults.disarm()
    world.sweep()
    assert {one.lease_tag for one in world.compute.running()} == {world.annex().lease_expires_at}


def test_one_annexs_defect_never_stops_the_next_ones_turn(world: World) -> None:
    world.start("first")
    world.start("second")
    first = world.annex("first")
    # A record that decodes but makes no sense to the code.
    world.ledger.records[first.annex_id] = replace(first, launches=(None,))  # type: ignore[arg-type]
    state = world.sweep(3601)
    assert world.running("second") == []
    assert any("first" in problem for problem in state.problems)


def test_unreadable_record_rings_and_its_machines_end_by_their_own_tag(world: World) -> None:
    world.start("first")
    world.start("second")
    annex_id = world.annex("first").annex_id
    world.ledger.broken = {annex_id}
    state = world.sweep(1800)
    assert f"the record of {annex_id} cannot be read" in state.problems
    assert world.journal.metrics["UnreadableRecords"] == 1
    assert world.journal.metrics["SweepProblems"] == len(state.problems)  # the alarm hangs on it
    assert len(world.compute.running(annex_id)) == 2  # not early
    world.sweep(1800)
    assert world.running("second") == []
    world.sweep(360)
    assert world.compute.running(annex_id) == []


def test_renewal_saved_before_the_sweeps_own_write_is_kept(world: World) -> None:
    world.start()
    renewals: list[int] = []

    def watch(point: str) -> None:
        if point == "before ledger.save" and not renewals:
            renewals.append(0)
            world.clock.tick(-2)  # the renewal's function looked at the time before the lease ended
            renewals.append(world.renew(seconds=7200).status)
            world.clock.tick(2)

    world.clock.tick(3601)
    world.faults.watch = watch
    world.services.sweep.run()
    assert renewals == [0, 200]
    assert world.annex().state is AnnexState.ACTIVE
    assert len(world.running()) == 2


def test_grow_saved_before_the_sweeps_own_write_is_kept(world: World) -> None:
    world.start(count=1)
    world.sweep()
    world.compute.become(world.running()[0], InstanceState.SHUTTING_DOWN)
    world.clock.tick(60)
    grown: list[int] = []

    def watch(point: str) -> None:
        if point == "before ledger.save" and not world.annex().living and not grown:
            grown.append(0)
            grown.append(world.grow(count=2).status)

    world.faults.watch = watch
    world.services.sweep.run()
    assert grown == [0, 201]
    assert world.annex().state is AnnexState.ACTIVE
    assert len(world.running()) == 2


def test_longest_overdue_goes_first(world: World) -> None:
    world.start("late", duration_seconds=1800, idle_seconds=60)
    world.start("later", duration_seconds=3600)
    world.start("alive", duration_seconds=36000)
    world.sweep(7200)
    ended = [fields["annex_id"] for event, fields in world.journal.lines if event == "annex ending"]
    assert ended == [world.annex("late").annex_id, world.annex("later").annex_id]


def test_sweep_out_of_time_resumes_where_it_was(world: World) -> None:
    for name in ("a", "b", "c", "d"):
        world.start(name)
        world.compute.become(world.running(name)[0], InstanceState.SHUTTING_DOWN)
    world.clock.tick(120)

    def watch(point: str) -> None:
        if point == "after ledger.save":
            world.clock.tick(30)  # two annexes take the whole budget

    world.faults.watch = watch
    seen_ended = []
    for _ in range(3):
        world.sweep(1)
        seen_ended.append(sum(bool(world.annex(name).ended) for name in "abcd"))
    assert seen_ended == [2, 4, 4]


def test_foreign_machines_are_never_touched(world: World) -> None:
    world.start()
    world.sweep()
    foreign = world.compute.stranger({"Name": "theirs"})
    other = world.compute.stranger({DEPLOYMENT: "another", ANNEX_ID: "annex-x"})
    for _ in range(30):
        world.sweep()
    alive = {one.instance_id for one in world.compute.running()}
    assert {foreign, other} <= alive


def test_orphan_is_ended_after_the_grace(world: World) -> None:
    world.sweep()  # the ledger speaks for the deployment from here on
    world.clock.tick(60)
    orphan = stranger(world)
    world.sweep(60)
    assert [one.instance_id for one in world.compute.running()] == [orphan]
    world.sweep(300)
    assert world.compute.running() == []
    assert world.journal.metrics["OrphansEnded"] == 1


@pytest.mark.parametrize("state", [InstanceState.STOPPED, InstanceState.STOPPING])
def test_stopped_orphan_is_ended_too(world: World, state: InstanceState) -> None:
    world.sweep()
    world.clock.tick(1)
    orphan = stranger(world)
    world.compute.become(orphan, state)
    world.sweep(301)
    assert world.compute.running() == []


def test_machine_of_a_finished_annex_is_ended(world: World) -> None:
    world.start()
    world.stop()
    world.sweep()
    stranger(world, annex_id=world.annex().annex_id)
    world.sweep()
    assert world.compute.running() == []


def test_ledger_that_is_empty_ends_nothing_but_what_is_past_its_own_lease(world: World) -> None:
    world.start("alive", duration_seconds=7200)
    world.start("over", duration_seconds=3600)
    alive = world.running("alive")
    world.ledger.records.clear()
    world.ledger.names.clear()
    world.ledger.mark_time = None
    world.sweep(3600 + 301)
    assert [one.instance_id for one in world.compute.running()] == alive
    assert world.journal.metrics["LedgerNotTrusted"] >= 1


def test_restored_ledger_spares_machines_older_than_itself(world: World) -> None:
    world.start()
    world.ledger.records.clear()
    world.ledger.mark_time = None
    for _ in range(20):  # the first sweep marks the new table, the others go by that mark
        world.sweep()
    assert len(world.compute.running()) == 2
    assert any("older than the ledger" in one for one in world.ledger.state.problems)
    world.sweep(3600)
    assert world.compute.running() == []


def test_ledger_out_of_reach_ends_nothing_but_what_is_past_its_own_lease(world: World) -> None:
    world.start("alive", duration_seconds=7200)
    world.start("over", duration_seconds=3600)
    world.faults.watch = broken("ledger.annexes")
    world.sweep(3600 + 301)
    assert world.running("over") == []
    assert len(world.running("alive")) == 2
    assert "SweepFinished" not in world.journal.metrics


def test_orphan_whose_record_cannot_be_looked_up_goes_by_its_own_tag(world: World) -> None:
    world.sweep()
    world.clock.tick(1)
    stranger(world, lease_in=3600)
    world.faults.watch = broken("ledger.get")
    world.sweep(1800)
    assert len(world.compute.running()) == 1


def test_machine_without_any_readable_tag_is_left_alone(world: World) -> None:
    world.ledger.mark_time = None
    stranger(world, lease_in=None)
    world.sweep(36000)
    assert len(world.compute.running()) == 1


def test_machine_that_may_not_be_ended_rings(world: World) -> None:
    world.start()
    world.compute.protected = set(world.running()[:1])
    world.sweep(3601)
    assert world.journal.metrics["SweepProblems"] >= 1


def test_orphan_that_may_not_be_ended_rings(world: World) -> None:
    world.sweep()
    world.clock.tick(1)
    world.compute.protected = {stranger(world)}
    world.sweep(301)
    assert world.journal.metrics["SweepProblems"] == 1


def test_sweep_without_a_problem_rings_nothing(world: World) -> None:
    world.start()
    world.sweep()
    assert "SweepProblems" not in world.journal.metrics


def test_finished_sweep_says_so(world: World) -> None:
    state = world.sweep()
    assert state.finished_at == world.clock.now()
    assert world.journal.metrics["SweepFinished"] == 1


def test_two_sweeps_at_once_do_no_harm(world: World) -> None:
    world.start()
    inner: list[int] = []

    def watch(point: str) -> None:
        if point == "before ledger.save" and not inner:
            inner.append(1)
            world.services.sweep.run()

    world.clock.tick(3601)
    world.faults.watch = watch
    world.services.sweep.run()
    assert world.running() == []
    world.faults.disarm()
    world.sweep()
    assert world.annex().state is AnnexState.TERMINATED
