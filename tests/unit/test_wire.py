"""The wire and its schema."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from chalicelib import wire
from tests.fakes.world import World, told

SCHEMA = Path(__file__).parents[2] / "schema" / "wire.json"


def test_schema_is_the_one_made_from_the_structs() -> None:
    """`python -m chalicelib.wire` prints it."""
    assert json.loads(SCHEMA.read_text()) == json.loads(json.dumps(wire.schema()))


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("StartAnswer", lambda world: world.start()),
        ("AnnexView", lambda world: (world.start(), world.show())[1]),
        ("RenewAnswer", lambda world: (world.start(), world.renew())[1]),
        ("AnnexView", lambda world: (world.start(), world.stop())[1]),
        ("AnnexList", lambda world: (world.start(), world.call("GET", "/annexes", {}))[1]),
        ("SetupReport", lambda world: world.call("GET", "/setup", {})),
        ("ErrorAnswer", lambda world: world.show()),
    ],
)
def test_every_answer_is_what_the_schema_says(name: str, answer) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    world = World()
    schema = {**json.loads(SCHEMA.read_text()), "$ref": f"#/$defs/{name}"}
    jsonschema.validate(told(answer(world)), schema)


@pytest.mark.parametrize("name", ["a", "A.b_c-d", "9" * 64])
def test_names_that_are_names(name: str) -> None:
    assert msgspec.convert(name, wire.Name) == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "a\n", "ä", "a" * 65, "a*"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(name, wire.Name)


def test_secrets_are_in_no_representation() -> None:
    world = World()
    body = world.body(
        admin={"key_name": "annex-foo-admin", "identity": "a@b", "key": "k" * 40}, token="secret"
    )
    request = msgspec.convert(body, wire.StartRequest)
    assert "secret" not in repr(request)
    assert "kkkk" not in repr((request, request.admin))
    assert "secret" not in repr(
        msgspec.convert(
            {"request_id": body["request_id"], "duration_seconds": 60, "token": "secret"},
            wire.RenewRequest,
        )
    )
