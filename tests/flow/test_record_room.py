"""Large requests at once: what the annex's record has no room for is refused before it costs."""

from __future__ import annotations

import base64
import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from chalicelib import record_room, turns
from chalicelib.launch import Refusal, RefusalKind
from chalicelib.record_room import OPEN_BYTES, packed_bytes
from tests.fakes.world import code, told

if TYPE_CHECKING:
    from chalicelib.api import HttpAnswer
    from tests.fakes.world import World


def large(slots: int = 1, specifications: int = 8) -> dict[str, Any]:
    """A Spot Fleet whose specifications have each a user data of its own, which packs badly."""
    source = random.Random(specifications)  # noqa: S311  no secret
    scripts = [base64.b64encode(source.randbytes(10_500)) for _ in range(specifications)]
    listed = [
        {
            "ImageId": "ami-0123456789abcdef0",
            "InstanceType": "m7i.large",
            "UserData": base64.b64encode(script).decode(),
        }
        for script in scripts
    ]
    config = json.dumps({"TargetCapacity": slots, "LaunchSpecifications": listed})
    return {"count": None, "slots": slots, "spot_fleet_config": config}


def without_spot(world: World) -> None:
    no = Refusal(RefusalKind.CAPACITY, "launchSpecUnusable", "There is none")
    world.compute.spot_refusals["m7i.large"] = no


@pytest.fixture
def behind_a_large_one(world: World) -> World:
    """EC2 has no spot machine at the moment, so a large Spot Fleet request goes on."""
    without_spot(world)
    assert world.start(**large()).status == 202
    return world


def refused(answer: HttpAnswer) -> str:
    assert (answer.status, code(answer)) == (409, "StillLaunching")
    return str(told(answer)["error"]["message"])


def test_grow_that_the_record_has_no_room_for_changes_nothing(behind_a_large_one: World) -> None:
    world = behind_a_large_one
    before, calls = world.annex(), len(world.compute.requests)
    said = refused(world.grow(**large()))
    ends = before.created_at + turns.SPOT_FLEET_WINDOW
    assert f"{ends:%H:%M:%S} UTC at the latest" in said
    assert "Nothing was started or changed" in said
    assert world.annex() == before
    assert len(world.compute.requests) == calls
    assert "StillLaunching" in code(world.grow(**large(), dry_run=True))


def test_small_grow_and_another_annex_have_room_beside_it(behind_a_large_one: World) -> None:
    assert behind_a_large_one.grow(count=1).status == 202
    assert behind_a_large_one.start("bar", **large()).status == 202


def test_refused_grow_may_be_asked_again_when_the_earlier_one_is_over(
    behind_a_large_one: World,
) -> None:
    world = behind_a_large_one
    assert world.grow(count=1).status == 202
    body = world.body(**{"grow": True, "duration_seconds": None, "idle_seconds": None, **large()})
    refused(world.post(body))
    for _ in range(17):
        world.sweep()
    first, second = world.annex().launches
    assert first.closed.startswith("given up after fifteen minutes")
    assert second.closed == "complete"
    assert world.post(body).status == 202


def test_record_of_open_requests_stays_below_its_bound_however_many_are_asked_for(
    world: World,
) -> None:
    without_spot(world)
    world.set(max_instances_per_annex=1000, max_instances_per_owner=1000)
    world.start(**large(specifications=1))
    answers = [world.grow(**large(specifications=1)) for _ in range(40)]
    statuses = [one.status for one in answers]
    taken = statuses.index(409)
    assert taken > 5
    assert {*statuses[:taken]} == {202}
    assert {*statuses[taken:]} == {409}
    assert sum(map(packed_bytes, world.annex().launches)) <= OPEN_BYTES


def test_request_too_large_for_any_record_is_bad_input(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_room, "OPEN_BYTES", 1000)
    answer = world.start(**large())
    assert (answer.status, code(answer)) == (400, "BadRequest")
    assert "Use fewer different launch specifications" in told(answer)["error"]["message"]
    assert world.ledger.records == {}


def test_answers_that_open_requests_may_still_get_are_counted(world: World) -> None:
    without_spot(world)
    assert world.start(**world.spot_fleet(1)).status == 202
    world.catalog.known |= {f"m{n}i.large": frozenset({"x86_64"}) for n in range(10, 30)}
    types = [f"m{n}i.large" for n in range(10, 30)]
    world.set(max_instances_per_annex=1000, max_instances_per_owner=1000)
    answers = [world.grow(count=1, instance_types=types) for _ in range(99)]
    waiting = [one for one in world.annex().launches if not one.closed]
    assert sum(len(one.spec.places) for one in waiting) < record_room.ANSWERS_PER_RECORD + 400
    refused(answers[-1])
