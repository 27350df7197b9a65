"""Requests twice, at once, and cut off: whatever is sent, what was asked for runs once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from stage import BAKED, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from stage import Stage

pytestmark = pytest.mark.pool


def test_of_two_people_who_start_one_name_at_once_one_is_refused(
    stage: Stage, tmp_path: Path
) -> None:
    words = ("annex-client", "start", "Contested", "--ami-id", BAKED, "--yes")
    both = {user: stage.begin(tmp_path / user, *words, user=user) for user in ("alice", "bob")}
    done = {user: running.wait() for user, running in both.items()}
    assert sorted(one.status for one in done.values()) == [0, 5], done
    loser, winner = sorted(done, key=lambda user: -done[user].status)
    done[loser].refused(5, "The name Contested is taken", "choose another")
    assert len(stage.machines("Contested")) == 1
    # What the loser's own status says of it gives nothing away.
    assert stage.annex("status", "Contested", user=loser).status in (3, 4)
    stage.end("Contested", user=winner)


def test_the_same_request_sent_twice_gets_the_first_answer(stage: Stage) -> None:
    words = (
        *("connect_annex", "-annex-name", "Twice", "-count", "1", "-request-id", "by-hand"),
        *("-aws-on-demand-ami-id", BAKED, "-yes"),
    )
    first, second = stage.run(*words), stage.run(*words)
    assert (first.status, second.status) == (0, 0), second.err
    assert len(stage.machines("Twice")) == 1
    stage.end("Twice")


def test_a_lost_answer_is_asked_for_again_by_the_same_command(stage: Stage) -> None:
    words = ("start", "Lost", "--ami-id", BAKED, "--yes")
    # Every answer of the ledger is lost after its write: the control plane cannot know.
    fault = {"service": "dynamodb", "action": "*", "code": "InternalServerError", "after": True}
    stage.press("POST", "faults", {**fault, "status": 500})
    stage.annex(*words).refused(
        7, "It is not known whether Lost was started", "starts nothing twice"
    )
    stage.press("DELETE", "faults")
    done = stage.annex(*words)
    assert done.status == 0, done.err
    assert len(stage.machines("Lost")) == 1
    stage.end("Lost")


def test_growing_is_asked_for_by_name(stage: Stage) -> None:
    done = stage.annex("start", "Renewed", "--ami-id", BAKED, "--yes")
    done.refused(5, "already, with machines: 1", "With --grow the machines are added to it")
    assert len(stage.machines("Renewed")) == 1


def test_a_no_starts_nothing(stage: Stage) -> None:
    done = stage.annex("start", "Unwanted", "--ami-id", BAKED, stdin="no\n")
    assert done.status == 1
    assert "Not starting an annex; you did not confirm." in done.out
    assert stage.annex("status", "Unwanted").status == 4
    assert not stage.machines("Unwanted")


def test_ctrl_c_at_the_question_starts_nothing(stage: Stage, tmp_path: Path) -> None:
    running = stage.begin(tmp_path / "run", "annex-client", "start", "Asked", "--ami-id", BAKED)
    wait_for(lambda: "Is that OK?" in running.printed(), "the question")
    stage.interrupt("annex-client start Asked")
    running.wait().refused(130, "nothing was done")
    assert stage.annex("status", "Asked").status == 4
    assert not stage.machines("Asked")


def test_ctrl_c_while_waiting_loses_nothing(stage: Stage, tmp_path: Path) -> None:
    words = ("annex-client", "start", "Waited", "--ami-id", BAKED, "--yes", "--wait")
    running = stage.begin(tmp_path / "run", *words)
    wait_for(lambda: "Waiting: 0 of 1 machine" in running.printed(), "the wait")
    stage.interrupt("annex-client start Waited")
    running.wait().refused(130, "Not waiting any longer", "'annex-client stop Waited' ends it")
    # EC2 may not have answered yet: then the sweep goes on with what was accepted.
    wait_for(lambda: len(stage.machines("Waited")) == 1, "the machine that was asked for")
    stop = stage.begin(tmp_path / "stop", "annex-client", "stop", "Waited", "--yes", "--wait")
    wait_for(lambda: "Waiting for 1 machine to end" in stop.printed(), "the wait")
    # The machine may be gone before Ctrl-C arrives; without the ledger the wait does not see it.
    fault = {"service": "dynamodb", "action": "*", "code": "InternalServerError", "status": 500}
    stage.press("POST", "faults", fault)
    stage.interrupt("annex-client stop Waited")
    stop.wait().refused(130, "It goes on ending by itself")
    stage.press("DELETE", "faults")
    wait_for(lambda: stage.view("Waited")["state"] == "terminated", "the end")
    assert not stage.machines("Waited")


def test_ctrl_c_at_a_stop_s_question_ends_nothing(stage: Stage, tmp_path: Path) -> None:
    running = stage.begin(tmp_path / "run", "annex-client", "stop", "Renewed")
    wait_for(lambda: "Is that OK?" in running.printed(), "the question")
    stage.interrupt("annex-client stop Renewed")
    running.wait().refused(130, "nothing was done")
    assert stage.view("Renewed")["state"] == "active"


def test_waiting_has_an_end(stage: Stage) -> None:
    done = stage.annex("start", "Impatient", "--ami-id", BAKED, "--yes", "--wait", "1", "--json")
    done.refused(9, "After 1 seconds 0 of 1 machine", "The annex goes on")
    assert json.loads(done.out)["error"]["exit"] == 9
    assert len(stage.machines("Impatient")) == 1
    stage.end("Impatient")


def test_settings_that_are_gone_are_said_to_be_gone(stage: Stage) -> None:
    ssm = stage.client("ssm")
    name = "/htcondor-annex/settings"
    kept = ssm.get_parameter(Name=name)["Parameter"]
    ssm.delete_parameter(Name=name)
    stage.forget_settings()
    try:
        stage.annex("start", "Bad", "--ami-id", BAKED, "--yes").refused(7, "annex-client setup")
        check = stage.annex("check-setup")
        assert check.status == 7
        assert "not OK" in check.out
    finally:
        ssm.put_parameter(Name=name, Value=kept["Value"], Type=kept["Type"])
    assert not stage.machines("Bad")
    stage.press("POST", "tick")  # a sweep that met another test's trouble is not the last word
    wait_for(lambda: stage.annex("check-setup").status == 0, "a setup that is OK again")
