"""Whatever is refused, and wherever it goes wrong: the answer names the annex and the request.

Generated: every class of `chalicelib.errors`, and a defect, raised before every call through every
port that a request makes.
"""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import pytest

from chalicelib import errors
from chalicelib.api import Api, HttpRequest
from tests.fakes.world import ALICE, World, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.api import HttpAnswer

KINDS = [
    *(
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.AnnexError)
    ),
    ZeroDivisionError,
]
REQUEST = "11111111-2222-4333-8444-555555555555"
GATEWAY = "gw-1"


def grown(world: World) -> HttpAnswer:
    return world.grow(request_id=REQUEST, duration_seconds=7200)


# What is called, whether the annex is there before, and the request's id in the answer.
CALLS: dict[str, tuple[Callable[[World], HttpAnswer], bool, str]] = {
    "start": (lambda world: world.start(request_id=REQUEST), False, REQUEST),
    "dry run": (lambda world: world.start(request_id=REQUEST, dry_run=True), False, REQUEST),
    "grow": (grown, True, REQUEST),
    "renew": (lambda world: world.renew(request_id=REQUEST), True, REQUEST),
    "stop": (lambda world: world.stop(), True, GATEWAY),
    "show": (lambda world: world.show(), True, GATEWAY),
}


def prepared(there: bool) -> World:
    world = World()
    if there:
        assert world.start().status == 201
        world.sweep()
    world.faults.disarm()
    return world


def points_of(name: str) -> list[str]:
    call, there, _ = CALLS[name]
    world = prepared(there)
    assert call(world).status < 300
    return world.faults.points


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_at_every_call_names_annex_and_request(
    name: str, kind: type[Exception]
) -> None:
    call, there, request_id = CALLS[name]
    refused = 0
    for position in range(len(points_of(name))):
        world = prepared(there)
        world.faults.at, world.faults.error = position, kind("It went wrong.")
        answer = call(world)
        if answer.status < 300:
            continue  # borne: the sweep, or a second try, sees to it
        refused += 1
        error = told(answer)["error"]
        assert (error["annex"], error["request_id"]) == ("foo", request_id)
        assert error["message"]
        assert "the-annex-token" not in answer.body.decode()
        logged = [fields for event, fields in world.journal.lines if event == "refused"]
        assert logged[-1]["annex"] == "foo"
    assert refused or kind is errors.Conflict


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"count": 11}, "CapExceeded"),
        ({"duration_seconds": 10_000_000}, "CapExceeded"),
        ({"count": 0}, "BadRequest"),
        ({"count": "two"}, "BadRequest"),
        ({"surprise": 1}, "BadRequest"),
        ({"token": None}, "BadRequest"),
        ({"pool": {}}, "BadRequest"),
        ({"identity": "nobody"}, "BadRequest"),
        ({"instance_types": ["m99.large"]}, "BadRequest"),
        ({"subnets": ["subnet-ffffffff"]}, "BadRequest"),
        ({"subnets": ["subnet-0000000c"]}, "BadRequest"),
        ({"ami_id": "ami-00000000"}, "BadRequest"),
        ({"tags": {"aws:x": "y"}}, "BadRequest"),
        ({"user_data": "%%%"}, "BadRequest"),
        ({"grow": True}, "NoSuchAnnex"),
    ],
)
def test_what_is_wrong_with_a_start_is_said_of_its_annex_and_request(
    changes: dict[str, Any], code: str
) -> None:
    error = told(World().start(request_id=REQUEST, **changes))["error"]
    assert (error["code"], error["annex"], error["request_id"]) == (code, "foo", REQUEST)


def test_conflicts_are_named_too() -> None:
    world = prepared(there=True)
    for answer, code in (
        (world.start(request_id=REQUEST), "AlreadyThere"),
        (world.start(request_id=REQUEST, caller="AIDABOB"), "NameTaken"),
        (world.renew(seconds=60, request_id=REQUEST), "BadRequest"),
        (world.renew(request_id=REQUEST, caller="AIDABOB"), "NotOwner"),
    ):
        error = told(answer)["error"]
        assert (error["code"], error["annex"], error["request_id"]) == (code, "foo", REQUEST)


def answered(body: bytes, caller: str | None = ALICE) -> Any:
    request = HttpRequest("POST", "/annexes", {}, body, caller, GATEWAY)
    return told(Api(World().services).answer(request))["error"]


def test_an_unsigned_request_is_named_by_what_it_says() -> None:
    error = answered(json.dumps(World().body(request_id=REQUEST)).encode(), caller=None)
    assert (error["annex"], error["request_id"]) == ("foo", REQUEST)


@pytest.mark.parametrize(
    ("body", "annex", "request_id"),
    [
        (b"", None, GATEWAY),
        (b"{", None, GATEWAY),
        (b"\xff", None, GATEWAY),
        (b"[1]", None, GATEWAY),
        (b'{"name": "foo"}', "foo", GATEWAY),
        (b'{"name": "foo", "request_id": "x"}', "foo", GATEWAY),
        (f'{{"request_id": "{REQUEST}"}}'.encode(), None, REQUEST),
        (b'{"name": {"token": "the-annex-token"}}', None, GATEWAY),
        (b'{"name": "the annex\'s token", "request_id": 3}', None, GATEWAY),
    ],
)
def test_a_body_that_cannot_be_read_is_named_as_far_as_it_can(
    body: bytes, annex: str | None, request_id: str
) -> None:
    error = answered(body)
    assert error["code"] == "BadRequest"
    assert (error["annex"], error["request_id"]) == (annex, request_id)
    assert "token" not in str(error["annex"])
