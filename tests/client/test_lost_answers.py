"""The same request twice starts nothing twice: ids are kept until they are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from annex_client.context import Completed
from annex_client.exits import Exit
from plane import error

if TYPE_CHECKING:
    from world import FakePlane, World

OUT_OF_ORDER = error(503, "AwsUnavailable", "AWS did not answer for demo.")
BAD_KEYS = (403, {"message": "The security token included in the request is expired"})


def test_a_dropped_connection_is_repeated_with_the_same_request(
    world: World, plane: FakePlane
) -> None:
    plane.next_answers = ["drop", OUT_OF_ORDER]
    done = world.annex_client("start", "demo", "--yes")
    assert done.status == Exit.DONE
    bodies = [call.body for call in plane.sent("POST")]
    assert len(bodies) == 3
    assert bodies[0] == bodies[1] == bodies[2]


def test_an_answer_lost_on_the_way_starts_nothing_twice(world: World, plane: FakePlane) -> None:
    plane.next_answers = ["drop"]  # the fake has carried the request out all the same
    done = world.annex_client("start", "demo", "--yes", "--count", "2")
    assert done.status == Exit.DONE
    assert len(plane.annexes["demo"]["instances"]) == 2


def test_after_trouble_the_same_command_is_the_same_request(world: World, plane: FakePlane) -> None:
    plane.next_answers = [OUT_OF_ORDER] * 5
    done = world.annex_client("start", "demo", "--yes")
    assert done.status == Exit.AWS_TROUBLE
    assert "It is not known whether demo was started" in done.err
    world.clock.sleep(600)
    assert world.annex_client("start", "demo", "--yes").status == Exit.DONE
    ids = {call.body["request_id"] for call in plane.sent("POST")}
    assert len(ids) == 1
    assert len({str(call.body["admin"]) for call in plane.sent("POST")}) == 1
    assert list((world.condor / "annex" / "requests").iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [["-annex-name", "demo", "-count", "1"], ["-annex-name", "demo", "-count", "1", "-yes"]],
)
def test_a_lost_start_is_not_mistaken_for_a_wish_to_grow(
    words: list[str], world: World, plane: FakePlane
) -> None:
    plane.next_answers = [None, "drop", *[OUT_OF_ORDER] * 4]  # carried out, and nobody said so
    assert world.connect_annex(*words, typed="yes\n").status == Exit.AWS_TROUBLE
    done = world.connect_annex(*words, typed="yes\n")
    assert done.status == Exit.DONE
    assert "more?" not in done.out
    assert len(plane.annexes["demo"]["instances"]) == 1


@pytest.mark.parametrize(
    ("state", "became"), [("terminated", "has ended meanwhile"), ("terminating", "is ending")]
)
def test_an_annex_that_ended_before_its_answer_came_is_not_announced(
    state: str, became: str, world: World, plane: FakePlane
) -> None:
    plane.next_answers = ["drop", *[OUT_OF_ORDER] * 4]  # carried out, and nobody said so
    assert world.annex_client("start", "demo", "--yes").status == Exit.AWS_TROUBLE
    plane.annexes["demo"].update(state=state, reason="stopped by its owner.")
    done = world.annex_client("start", "demo", "--yes", "--wait")
    assert done.status == Exit.CONFLICT
    assert "Annex started" not in done.out
    assert (
        f"demo was started with 1 of 1 machine, and {became}: stopped by its owner."
        "  Nothing was started now."
    ) in done.out


def test_the_same_id_twice_gets_the_first_answer(world: World, plane: FakePlane) -> None:
    words = ("-annex-name", "demo", "-count", "1", "-request-id", "by-hand", "-yes")
    for _ in range(2):
        assert world.connect_annex(*words).status == Exit.DONE
    assert len(plane.annexes["demo"]["instances"]) == 1


def test_after_trouble_another_wish_is_another_request(world: World, plane: FakePlane) -> None:
    plane.next_answers = [OUT_OF_ORDER] * 5
    world.annex_client("start", "demo", "--yes")
    world.annex_client("start", "demo", "--yes", "--count", "2")
    assert len({call.body["request_id"] for call in plane.sent("POST")}) == 2


def test_hours_later_the_same_command_is_a_new_request(world: World, plane: FakePlane) -> None:
    plane.next_answers = [OUT_OF_ORDER] * 5
    world.annex_client("start", "demo", "--yes")
    world.clock.sleep(3601)
    world.annex_client("start", "demo", "--yes")
    assert len({call.body["request_id"] for call in plane.sent("POST")}) == 2


def test_growing_twice_on_purpose_is_two_requests(world: World, plane: FakePlane) -> None:
    plane.add("demo", machines=1)
    for _ in range(2):
        world.annex_client("start", "demo", "--grow", "--yes")
    assert len({call.body["request_id"] for call in plane.sent("POST")}) == 2
    assert len(plane.annexes["demo"]["instances"]) == 3


@pytest.mark.parametrize("trouble", ["keys", "tools"])
def test_a_repeat_that_does_not_arrive_forgets_nothing(
    trouble: str, world: World, plane: FakePlane
) -> None:
    world.annex_client("start", "demo", "--yes")
    grow = ("start", "demo", "--grow", "--yes")
    plane.next_answers = [None, "drop", *[OUT_OF_ORDER] * 4]  # carried out, and nobody said so
    assert world.annex_client(*grow).status == Exit.AWS_TROUBLE
    if trouble == "keys":
        plane.next_answers = [None, BAD_KEYS]
        assert world.annex_client(*grow).status == Exit.REFUSED
    else:
        world.tools.answers["condor_token_create"] = Completed(1, "", "no")
        assert world.annex_client(*grow).status == Exit.POOL_TROUBLE
        world.tools.answers.clear()
    assert world.annex_client(*grow).status == Exit.DONE
    assert len(plane.annexes["demo"]["instances"]) == 2
    assert list((world.condor / "annex" / "requests").iterdir()) == []


def test_a_refusal_after_a_lost_try_does_not_mean_that_nothing_was_done(
    world: World, plane: FakePlane
) -> None:
    plane.add("demo")
    grow = ("start", "demo", "--grow", "--yes")
    plane.next_answers = [None, "drop", BAD_KEYS]
    done = world.annex_client(*grow)
    assert done.status == Exit.AWS_TROUBLE
    assert "It is not known whether demo was started" in done.err
    assert world.annex_client(*grow).status == Exit.DONE
    assert len(plane.annexes["demo"]["instances"]) == 2


def test_a_first_request_that_was_refused_leaves_nothing_behind(
    world: World, plane: FakePlane
) -> None:
    plane.next_answers = [BAD_KEYS]
    assert world.annex_client("start", "demo", "--yes").status == Exit.REFUSED
    assert list((world.condor / "annex" / "requests").iterdir()) == []
    assert not (world.condor / "annex" / "keys" / "annex-demo-admin").exists()


def test_ctrl_c_while_the_request_is_under_way_can_be_asked_about(
    world: World, plane: FakePlane
) -> None:
    plane.next_answers = [OUT_OF_ORDER]

    def interrupt() -> None:
        raise KeyboardInterrupt

    world.clock.while_asleep = interrupt
    done = world.annex_client("start", "demo", "--yes")
    assert done.status == Exit.INTERRUPTED
    assert "starts nothing twice" in done.err
    world.clock.while_asleep = lambda: None
    world.annex_client("start", "demo", "--yes")
    assert len({call.body["request_id"] for call in plane.sent("POST")}) == 1


def test_a_renewal_counts_from_now_so_each_run_is_a_request_of_its_own(
    world: World, plane: FakePlane
) -> None:
    plane.add("demo")
    plane.next_answers = [OUT_OF_ORDER] * 5
    assert world.annex_client("renew", "demo", "--duration", "2").status == Exit.AWS_TROUBLE
    first = {call.body["request_id"] for call in plane.sent("PATCH")}
    assert len(first) == 1
    assert not (world.condor / "annex" / "requests").exists()
    assert world.annex_client("renew", "demo", "--duration", "2").status == Exit.DONE
    assert plane.sent("PATCH")[-1].body["request_id"] not in first


def test_a_renewal_tells_of_the_end_that_was_answered(world: World, plane: FakePlane) -> None:
    plane.add("demo")
    world.clock.sleep(3600)  # the fake counts from its own start
    done = world.annex_client("renew", "demo", "--duration", "2")
    assert "ends at 2026-11-24 18:00:00 UTC, 1.00 hours from now." in done.out


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["renew", "demo", "--duration", "2"], "It is not known whether demo was renewed"),
        (["stop", "demo", "--yes"], "It is not known whether demo is ending"),
    ],
)
@pytest.mark.parametrize("last", ["drop", OUT_OF_ORDER])
def test_after_a_lost_answer_the_same_command_may_be_given_again(
    argv: list[str], sentence: str, last: object, world: World, plane: FakePlane
) -> None:
    plane.add("demo")
    plane.next_answers = [last] * 5
    done = world.annex_client(*argv)
    assert done.status == Exit.AWS_TROUBLE
    assert f"{sentence}: the same command may be given again." in done.err
    assert world.annex_client(*argv).status == Exit.DONE


def test_where_nobody_listens_two_tries_are_enough(world: World) -> None:
    world.environ["AWS_ENDPOINT_URL_EXECUTE_API"] = "http://127.0.0.1:1"
    done = world.annex_client("status")
    assert done.status == Exit.AWS_TROUBLE
    assert "cannot be reached" in done.err
    assert world.clock.slept < 1


def test_without_a_place_for_the_id_nothing_is_sent(world: World, plane: FakePlane) -> None:
    world.condor.mkdir()
    (world.condor / "annex").write_text("a file where a folder belongs")
    done = world.annex_client("start", "demo", "--yes")
    assert done.status == Exit.UNEXPECTED
    assert "nothing was sent" in done.err
    assert plane.sent("POST") == []
