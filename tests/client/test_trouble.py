"""Pool, tokens, credentials, control plane in trouble: nothing is started, and why is said."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from annex_client import api
from annex_client.context import Completed
from annex_client.errors import BadInput
from annex_client.exits import Exit
from plane import NOW, error
from world import token

if TYPE_CHECKING:
    from world import FakePlane, World


def test_a_collector_out_of_reach_stops_a_start(world: World, plane: FakePlane) -> None:
    world.pool.unreachable = "The pool's collector (cm) cannot be asked: no route."
    done = world.annex_client("start", "demo", "--yes")
    assert done.status == Exit.POOL_TROUBLE
    assert "cannot be asked" in done.err
    assert plane.calls == []


@pytest.mark.parametrize(
    ("answer", "status", "sentence"),
    [
        (Completed(1, "", "Server will not sign with key annex"), Exit.REFUSED, "setup --pool"),
        (
            Completed(1, "", "AUTHENTICATE:1003:Failed to authenticate; could not connect"),
            Exit.REFUSED,
            "setup --pool",
        ),
        (Completed(1, "", "Failed to connect to schedd"), Exit.POOL_TROUBLE, "condor_q"),
        (Completed(1, "", "Can't find address of local schedd"), Exit.POOL_TROUBLE, "condor_q"),
        (Completed(0, "", ""), Exit.REFUSED, "setup --pool"),
        (Completed(0, "not.a.token", ""), Exit.POOL_TROUBLE, "no token"),
        (Completed(127, "", "no such program"), Exit.POOL_TROUBLE, "not on this host"),
        (Completed(124, "", "no answer within 60 seconds"), Exit.POOL_TROUBLE, "no answer"),
    ],
)
def test_without_a_token_nothing_is_started(
    answer: Completed, status: Exit, sentence: str, world: World, plane: FakePlane
) -> None:
    world.tools.answers["condor_token_fetch"] = answer
    done = world.annex_client("start", "demo", "--yes")
    assert done.status == status
    assert sentence in done.err
    assert plane.calls == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"expires": NOW + timedelta(seconds=3000)}, "Give a shorter --duration"),
        ({"expires": NOW - timedelta(seconds=1)}, "Give a shorter --duration"),
        ({"key": "POOL"}, "with its key 'POOL' instead of 'annex'"),
        ({"scope": ""}, "allows everything instead of"),
        (
            {"scope": "condor:/READ condor:/WRITE condor:/ADVERTISE_STARTD"},
            "WRITE instead of",
        ),
        ({"scope": "condor:/READ condor:/ADVERTISE_STARTD"}, "instead of"),
        ({"subject": "alice"}, "no user@domain"),
    ],
)
def test_a_token_that_is_not_what_was_asked_for_is_not_used(
    options: dict[str, Any], sentence: str, world: World, plane: FakePlane
) -> None:
    world.tools.token_options = options
    for argv in (["start", "demo", "--yes"], ["renew", "demo", "--duration", "1"]):
        done = world.annex_client(*argv)
        assert done.status == Exit.REFUSED
        assert sentence in done.err
        assert token(**options) not in done.err
    assert plane.calls == []


def test_a_token_that_ends_early_enough_for_a_shorter_lease_is_used(world: World) -> None:
    world.tools.token_options = {"expires": NOW + timedelta(seconds=3000)}
    done = world.annex_client("start", "demo", "--yes", "--duration", "0.5")
    assert done.status == Exit.DONE


def test_without_an_admin_token_nothing_is_started(world: World, plane: FakePlane) -> None:
    world.tools.answers["condor_token_create"] = Completed(1, "", "no key")
    done = world.annex_client("start", "demo", "--yes")
    assert done.status == Exit.POOL_TROUBLE
    assert plane.sent("POST") == []
    assert list(world.condor.rglob("*admin*")) == []


def test_missing_credentials_are_said_to_be(
    world: World, plane: FakePlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for argv in (["start", "demo", "--yes"], ["status"], ["renew", "demo", "--duration", "1"]):
        done = world.annex_client(*argv)
        assert done.status == Exit.REFUSED
        assert "~/.condor/publicKeyFile" in done.err
    assert plane.calls == []


def key_files(world: World, mode: int) -> None:
    world.condor.mkdir(exist_ok=True)
    for name, text in (("publicKeyFile", "AKIDFILE\n"), ("privateKeyFile", "fromfile\n")):
        (world.condor / name).write_text(text)
        (world.condor / name).chmod(mode)


def test_the_tutorial_s_key_files_are_used(
    world: World, plane: FakePlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    key_files(world, 0o600)
    assert world.annex_client("status").status == Exit.DONE
    assert "Credential=AKIDFILE/" in plane.calls[0].headers["authorization"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o666])
def test_key_files_readable_by_others_are_refused(
    mode: int, world: World, plane: FakePlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    key_files(world, mode)
    done = world.annex_client("start", "demo", "--yes")
    assert done.status == Exit.REFUSED
    assert "can be read by others" in done.err
    assert "fromfile" not in done.err
    assert plane.calls == []


def test_aws_s_own_ways_come_before_the_key_files(world: World, plane: FakePlane) -> None:
    key_files(world, 0o644)
    assert world.annex_client("status").status == Exit.DONE
    assert "Credential=AKIDEXAMPLE/" in plane.calls[0].headers["authorization"]


@pytest.mark.parametrize(
    ("answer", "status", "sentence"),
    [
        ((403, {"message": "Forbidden"}), Exit.AWS_TROUBLE, "no control plane at the address"),
        (
            (403, {"Message": "User: u is not authorized to perform: execute-api:Invoke"}),
            Exit.REFUSED,
            "htcondor-annex-user",
        ),
        ((403, {"Message": "User is not authorized"}), Exit.REFUSED, "User is not authorized"),
        ((403, {"message": "Missing Authentication Token"}), Exit.REFUSED, "no such route"),
        (error(400, "BadRequest", "bad"), Exit.BAD_INPUT, "bad"),
        (error(404, "NoSuchAnnex", "none"), Exit.NOT_FOUND, "none"),
        (error(409, "AnnexEnding", "ending"), Exit.CONFLICT, "ending"),
        (error(409, "RequestMismatch", "other"), Exit.CONFLICT, "other"),
        (error(503, "NotSetUp", "run setup"), Exit.AWS_TROUBLE, "run setup"),
        ((502, {"message": "Internal server error"}), Exit.AWS_TROUBLE, "HTTP 502"),
        ((504, {"message": "Endpoint request timed out"}), Exit.AWS_TROUBLE, "timed out"),
        ((200, []), Exit.AWS_TROUBLE, "is not the annex's control plane"),
        ((418, {}), Exit.UNEXPECTED, "HTTP 418"),
    ],
)
def test_http_statuses_become_exit_statuses(
    answer: tuple[int, Any], status: Exit, sentence: str, world: World, plane: FakePlane
) -> None:
    plane.next_answers = [answer] * 5
    done = world.annex_client("status")
    assert done.status == status
    assert sentence in done.err


def test_errors_name_annex_and_request_and_are_json_when_asked_for(
    world: World, plane: FakePlane
) -> None:
    told = {"code": "CapExceeded", "message": "Too many.", "annex": "demo", "request_id": "r-1"}
    plane.next_answers = [(403, {"error": told})]
    done = world.annex_client("start", "demo", "--yes", "--json")
    assert done.status == Exit.REFUSED
    assert done.json()["error"] == {
        "code": "CapExceeded",
        "message": "Too many. (annex demo, request r-1)",
        "exit": 3,
        "annex": "demo",
        "request_id": "r-1",
    }
    plane.next_answers = [(403, {"error": told})]
    done = world.annex_client("start", "demo", "--yes")
    assert done.err == "annex-client: Too many. (annex demo, request r-1)\n"


@pytest.mark.parametrize(
    "words",
    [
        ("start", "demo", "--yes"),
        ("renew", "demo", "--duration", "1"),
        ("stop", "demo", "--yes"),
        ("status", "demo"),
    ],
)
@pytest.mark.parametrize(
    "answer",
    [
        *(error(status, "Some", "No machine of annex d.") for status in (400, 403, 404, 409, 503)),
        (502, {"message": "Internal server error"}),
    ],
)
def test_every_command_shows_annex_and_request_of_every_error(
    words: tuple[str, ...], answer: tuple[int, Any], world: World, plane: FakePlane
) -> None:
    if "error" in answer[1]:
        answer[1]["error"]["request_id"] = "gw-7"
    plane.next_answers = [answer] * 5
    done = world.annex_client(*words, "--json")
    told = done.json()["error"]
    assert told["annex"] == "demo"
    sent = (plane.calls[-1].body or {}).get("request_id")
    assert told["request_id"] == ("gw-7" if "error" in answer[1] else sent)
    assert told["message"].endswith(")")
    assert "annex demo" in told["message"].rpartition("(")[2]
    assert str(told["request_id"] or "") in told["message"].rpartition("(")[2]
    assert told["message"] in done.err


def test_an_unanswered_request_is_named_too(world: World, plane: FakePlane) -> None:
    plane.next_answers = ["drop"] * 5
    done = world.annex_client("start", "demo", "--yes")
    assert f"(annex demo, request {plane.calls[0].body['request_id']})" in done.err


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        (
            "https://abc.execute-api.us-east-1.amazonaws.com/api",
            {},
            "https://abc.execute-api.us-east-1.amazonaws.com/api",
        ),
        (
            "https://abc.execute-api.us-east-1.amazonaws.com/api/",
            {"AWS_ENDPOINT_URL_EXECUTE_API": "http://198.51.100.1:4567/"},
            "http://198.51.100.1:4567/abc/api",
        ),
        ("https://annex.example.org/", {}, "https://annex.example.org"),
    ],
)
def test_the_standard_variable_stands_for_the_api_s_host(
    url: str, environ: dict[str, str], expected: str
) -> None:
    assert api.endpoint(url, "us-east-1", environ).url == expected


def test_an_address_in_another_region_is_refused() -> None:
    with pytest.raises(BadInput):
        api.endpoint("https://abc.execute-api.us-east-1.amazonaws.com/api", "us-east-2", {})


def test_unexpected_trouble_is_a_sentence_too(world: World) -> None:
    def broken(_: str) -> str:
        raise RuntimeError("the disk is full of eels")

    done = world.annex_client("status", param=broken)
    assert done.status == Exit.UNEXPECTED
    assert "the disk is full of eels" in done.err
