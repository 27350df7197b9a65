"""Caps on what one owner may run: reserved with the launch, named when they refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from chalicelib import record_room
from chalicelib.launch import Refusal, RefusalKind
from chalicelib.model import AnnexState, InstanceState
from tests.fakes.world import ALICE, BOB, World, code, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.api import HttpAnswer

Act = tuple[str, "Callable[[World], HttpAnswer]"]


def message(answer: HttpAnswer) -> str:
    return str(told(answer)["error"]["message"])


def start(name: str, count: int) -> Act:
    return f"start {name}", lambda world: world.start(name, count=count)


def grow(count: int) -> Act:
    return "grow", lambda world: world.grow("there", count=count)


# Each pair passes alone and not together: 2 are there, 5 are the most of an annex, 8 of an owner.
PAIRS = [
    (start("one", 4), start("two", 4)),
    (start("one", 4), grow(3)),
    (grow(3), start("one", 4)),
    (grow(2), grow(2)),
]


def fresh() -> World:
    world = World()
    world.set(max_instances_per_annex=5, max_instances_per_owner=8)
    world.start("there", count=2)
    world.faults.disarm()
    return world


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[1][0]} in {pair[0][0]}")
def test_no_two_requests_at_once_pass_the_cap_together(pair: tuple[Act, Act]) -> None:
    """The second runs whole inside each call of the first, before it and after it."""
    (_, first), (_, second) = pair
    alone = fresh()
    assert first(alone).status == 201
    points = len(alone.faults.points)
    assert points > 20
    for at in range(points):
        world, answers = fresh(), []

        def watch(
            _: str, world: World = world, answers: list[HttpAnswer] = answers, at: int = at
        ) -> None:
            if len(world.faults.points) == at + 1 and not answers:
                world.faults.watch = None
                answers.append(second(world))

        world.faults.watch = watch
        answers.append(first(world))
        assert len(answers) == 2
        assert sorted(one.status for one in answers) == [201, 403], f"at {alone.faults.points[at]}"
        refused = next(one for one in answers if one.status == 403)
        assert code(refused) == "CapExceeded"
        assert len(world.compute.running()) <= 8
        reserved = [one.reserved for one in world.ledger.records.values()]
        assert max(reserved) <= 5
        assert sum(reserved) <= 8


def test_ones_own_cap_is_no_one_elses() -> None:
    world = fresh()
    assert world.start("one", count=5).status == 201
    assert code(world.start("two", count=2)) == "CapExceeded"
    assert world.start("two", caller=BOB, count=5).status == 201


def test_reserved_is_what_is_asked_for_until_it_is_known_what_came() -> None:
    world = fresh()
    world.compute.free = {("m7i.large", "us-east-1a"): 1, ("m7i.large", "us-east-1b"): 0}
    assert world.start("one", count=5).status == 201
    world.compute.free = {}
    assert world.start("two", count=5).status == 201  # 2 + 1 + 5


@pytest.mark.parametrize(
    ("changes", "cap", "value"),
    [
        ({"count": 6}, "max_instances_per_annex", "5"),
        ({"duration_seconds": 90_000}, "max_lease_seconds", "24 hours"),
    ],
)
def test_refused_start_names_the_cap_and_its_value_and_costs_nothing(
    changes: dict[str, Any], cap: str, value: str
) -> None:
    world = fresh()
    answer = world.start("one", **changes)
    assert (answer.status, code(answer)) == (403, "CapExceeded")
    assert cap in message(answer)
    assert value in message(answer)
    assert len(world.compute.running()) == 2
    assert len(world.ledger.records) == 1


def test_owners_cap_is_named_with_its_value() -> None:
    world = fresh()
    world.start("one", count=5)
    answer = world.start("two", count=2)
    assert "max_instances_per_owner" in message(answer)
    assert "allows 8" in message(answer)


def test_grow_past_the_annexs_cap_is_named_with_its_value() -> None:
    answer = fresh().grow("there", count=4)
    assert "max_instances_per_annex" in message(answer)
    assert "allows 5" in message(answer)


@pytest.mark.parametrize("ask", ["renew", "grow"])
def test_longer_lease_than_the_cap_is_named_with_its_value(ask: str) -> None:
    world = fresh()
    answer = (
        world.renew("there", seconds=90_000)
        if ask == "renew"
        else world.grow("there", count=1, duration_seconds=90_000)
    )
    assert code(answer) == "CapExceeded"
    assert "max_lease_seconds" in message(answer)
    assert "24 hours" in message(answer)
    assert world.annex("there").lease_expires_at == world.clock.now().replace(hour=13)


def test_repeat_of_an_accepted_request_is_not_counted_again() -> None:
    world = fresh()
    body = world.body("one", count=5)
    assert [world.post(body).status for _ in range(3)] == [201, 201, 201]
    assert len(world.compute.running()) == 7


def test_refused_requests_id_may_be_used_again_when_there_is_room() -> None:
    world = fresh()
    world.start("one", count=5)
    body = world.body("two", count=3)
    assert code(world.post(body)) == "CapExceeded"
    world.stop("one")
    world.sweep()
    assert world.post(body).status == 201


# What a record can hold


def test_annex_that_had_all_the_machines_its_record_holds_is_refused_by_that_number() -> None:
    world = World()
    most = record_room.MACHINES_PER_RECORD
    world.set(max_instances_per_annex=100_000, max_instances_per_owner=100_000)
    answer = world.start("one", count=most + 1)
    assert code(answer) == "CapExceeded"
    assert str(most) in message(answer)
    world.start("one", count=3)
    annex = world.annex("one")
    launch = annex.launches[0]
    gone = tuple(f"i-{number:017x}" for number in range(most - 5))
    (attempt,) = launch.attempts
    world.ledger.records[annex.annex_id] = replace(
        annex,
        launches=(replace(launch, attempts=(replace(attempt, started=gone),)),),  # type: ignore[arg-type]
        ended=gone,  # type: ignore[arg-type]
    )
    answer = world.grow("one", count=6)
    assert code(answer) == "CapExceeded"
    assert f"{most + 1} machines in its life" in message(answer)
    assert world.grow("one", count=5).status == 201


@pytest.mark.parametrize("what", ["launches", "answers of EC2's", "a fleet's answers"])
def test_annex_whose_record_is_full_is_refused_by_that_number(what: str) -> None:
    world = World()
    world.start("one")
    annex = world.annex("one")
    launch = annex.launches[0]
    if what == "launches":
        most = record_room.LAUNCHES_PER_RECORD
        launches = tuple(replace(launch, number=number) for number in range(most))
    elif what == "answers of EC2's":
        most = record_room.ANSWERS_PER_RECORD
        launches = (replace(launch, attempts=launch.attempts * most),)
    else:
        most = record_room.ANSWERS_PER_RECORD
        no = Refusal(RefusalKind.CAPACITY, "InsufficientInstanceCapacity", "no", "m7i.large")
        (attempt,) = launch.attempts
        launches = (replace(launch, attempts=(replace(attempt, refusals=(no,) * most),)),)
    world.ledger.records[annex.annex_id] = replace(annex, launches=launches)
    answer = world.grow("one", count=1)
    assert code(answer) == "CapExceeded"
    told_of = "launches" if what == "launches" else "answers of EC2's"
    assert f"{most} {told_of}" in message(answer)


def test_machines_of_an_ending_annex_count_until_they_are_gone() -> None:
    world = fresh()
    world.start("one", count=5)
    world.compute.protected = set(world.running("one"))
    world.stop("one")
    assert world.annex("one").state is AnnexState.TERMINATING
    assert code(world.start("two", count=2)) == "CapExceeded"
    world.compute.protected = set()
    for one in world.running("one"):
        world.compute.become(one, InstanceState.SHUTTING_DOWN)
    world.sweep()
    assert world.start("two", caller=ALICE, count=2).status == 201
