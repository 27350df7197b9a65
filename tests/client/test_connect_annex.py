"""The tutorial's and condor_annex's own command lines, as they were typed."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from annex_client.exits import Exit
from test_start import QUESTION, STARTED

if TYPE_CHECKING:
    from world import FakePlane, World

# As the tutorial has it, $USER being alice.
TUTORIAL = (
    *("-count", "1", "-annex-name", "MyFirstAnnexalice", "-duration", "0.83", "-idle", "0.25"),
    *("-aws-on-demand-ami-id", "ami-cd5f95b0"),
)


def test_the_tutorial_s_first_annex_starts_as_it_is_typed(world: World, plane: FakePlane) -> None:
    done = world.connect_annex(*TUTORIAL, typed="yes\n")
    assert done.status == Exit.DONE
    assert done.out == QUESTION + STARTED
    assert "the default image is used instead" in done.err
    body = plane.sent("POST")[0].body
    assert body["name"] == "MyFirstAnnexalice"
    assert (body["duration_seconds"], body["idle_seconds"]) == (2988, 900)


def test_the_defaults_are_the_predecessor_s(world: World, plane: FakePlane) -> None:
    world.connect_annex("-annex-name", "demo", "-count", "1", "-yes")
    body = plane.sent("POST")[0].body
    assert (body["duration_seconds"], body["idle_seconds"]) == (3000, 900)


def test_every_option_that_still_means_something_is_carried_over(
    world: World, plane: FakePlane
) -> None:
    keys = []
    for name in ("public", "private"):
        path = world.home / name
        path.write_text("KEY\n")
        path.chmod(0o600)
        keys.append(str(path))
    (world.home / "config").mkdir()
    (world.home / "config" / "a").write_text("A = b\n")
    done = world.connect_annex(
        *("-annex-name", "demo", "-count", "2", "-duration", "1", "-idle", "0.5", "-yes"),
        *("-tag", "project", "x", "-tag", "who", "me", "-config-dir", str(world.home / "config")),
        *("-owner", "alice,bob", "-aws-region", "us-east-1", "-aws-user-data", "#!/bin/sh"),
        *("-request-id", "mine", "-aws-s3-config-path", "bucket/key", "-aws-on-demand"),
        *("-aws-on-demand-instance-type", "c7i.large", "-aws-on-demand-ami-id", "ami-01234567"),
        *("-aws-on-demand-security-group-ids", "sg-01234567", "-aws-on-demand-key-name", "k"),
        *("-aws-on-demand-lease-function-arn", "arn:aws:lambda:::x"),
        *("-aws-access-key-file", keys[0], "-aws-secret-key-file", keys[1]),
    )
    assert done.status == Exit.DONE
    assert "-aws-s3-config-path has no meaning any more" in done.err
    assert "-aws-on-demand-lease-function-arn has no meaning any more" in done.err
    body = plane.sent("POST")[0].body
    assert body["tags"] == {"project": "x", "who": "me"}
    assert body["owners"] == ["alice@pool.example", "bob@pool.example"]
    assert body["user_data"] == "IyEvYmluL3No"
    assert body["config_files"] == {"a": "A = b\n"}
    assert body["instance_types"] == ["c7i.large"]
    assert body["ami_id"] == "ami-01234567"
    assert uuid.UUID(body["request_id"]).version == 5
    assert "Credential=KEY/" in plane.calls[0].headers["authorization"]


def test_no_owner_swallows_nothing(world: World, plane: FakePlane) -> None:
    """The predecessor's -no-owner took the next word with it."""
    done = world.connect_annex("-no-owner", "-annex-name", "demo", "-count", "1", "-yes")
    assert done.status == Exit.DONE
    assert plane.sent("POST")[0].body["any_owner"] is True


def test_name_and_duration_alone_renew(world: World, plane: FakePlane) -> None:
    plane.add("demo")
    done = world.connect_annex("-annex-name", "demo", "-duration", "2")
    assert done.status == Exit.DONE
    assert done.out.startswith("Lease updated")
    assert plane.sent("POST") == []


def test_renewing_what_never_was_is_not_found(world: World) -> None:
    """The predecessor said 'Lease updated.' and left a rule behind."""
    done = world.connect_annex("-annex-name", "demo", "-duration", "2")
    assert done.status == Exit.NOT_FOUND


def test_name_and_count_on_a_live_annex_grow_it(world: World, plane: FakePlane) -> None:
    plane.add("demo", 1)
    done = world.connect_annex("-annex-name", "demo", "-count", "2", "-yes")
    assert done.status == Exit.DONE
    assert plane.sent("POST")[0].body["grow"] is True
    assert "duration_seconds" not in plane.sent("POST")[0].body


def test_status_in_all_its_forms(world: World, plane: FakePlane) -> None:
    plane.add("demo", 1)
    assert "demo" in world.connect_annex("-status").out
    assert "demo: active" in world.connect_annex("-status", "-annex-name", "demo").out
    assert "demo: active" in world.connect_annex("status", "-annex", "demo").out
    ads = world.connect_annex("-annex-name", "demo", "-status", "-classad").out
    assert 'AnnexName = "demo"\n' in ads
    assert 'InstanceID = "i-' in ads
    assert "Joined = false\n" in ads


def test_off_stops_the_annex(world: World, plane: FakePlane) -> None:
    plane.add("demo", 1)
    assert world.connect_annex("off", "-annex-name", "demo", "-yes").status == Exit.DONE
    assert plane.annexes["demo"]["state"] == "terminated"


def test_check_setup_prints_the_tutorial_s_lines(world: World, plane: FakePlane) -> None:
    names = ("configuration bucket", "Lambda functions", "instance profile", "security group")
    plane.components = [{"name": name, "ok": True, "detail": ""} for name in (*names, "ledger")]
    done = world.connect_annex("-check-setup")
    assert done.out == (
        "Checking for configuration bucket... OK.\n"
        "Checking for Lambda functions... OK.\n"
        "Checking for instance profile... OK.\n"
        "Checking for security group... OK.\n"
        "Your setup looks OK.\n"
    )
    assert done.status == Exit.DONE


def test_check_setup_says_what_to_do_about_what_is_wrong(world: World, plane: FakePlane) -> None:
    plane.components = [
        {"name": "configuration bucket", "ok": False, "detail": "It is gone: run setup."},
        {"name": "schedule", "ok": False, "detail": "It is off."},
    ]
    done = world.annex_client("check-setup", "--json")
    assert done.status == Exit.AWS_TROUBLE
    assert "Checking for configuration bucket... not OK: It is gone: run setup." in done.err
    assert "Checking for schedule... not OK: It is off." in done.err
    assert done.json()["ok"] is False


def test_check_setup_waits_for_a_new_deployment_s_first_sweep(
    world: World, plane: FakePlane
) -> None:
    plane.components = [{"name": "Lambda functions", "ok": True, "detail": ""}]
    plane.sweep_finished_at = None

    def sweep() -> None:
        plane.sweep_finished_at = "2026-11-24T16:00:10Z"

    world.clock.while_asleep = sweep
    done = world.annex_client("check-setup")
    assert done.status == Exit.DONE
    assert "Waiting for the sweep's first run" in done.out


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([*TUTORIAL[:-2], "-aws-spot-fleet"], "give -slots N instead"),
        (["-annex-name", "a", "-count", "1", "-slots", "5"], "give -slots N instead"),
        (["-annex-name", "a", "-slots", "5"], "A Spot Fleet needs its JSON"),
        (["-annex-name", "a", "-slots", "0", "-aws-spot-fleet"], "0 slots cannot be started"),
        (["-annex-name", "a", "-aws-spot-fleet"], "Give -slots N to start"),
        (["-annex-name", "a", "-slots", "5", "-aws-spot-fleet-config-file", "-"], "add -yes"),
        (["-annex-name", "a", "-slots", "5", "-aws-on-demand"], "give -count N instead"),
        (
            ["-annex-name", "a", "-slots", "5", "-aws-on-demand-instance-type", "m7i.large"],
            "-aws-on-demand-instance-type is not for a Spot Fleet",
        ),
        (["-annex-name", "a", "-slots", "5", "-aws-user-data", "x"], "own JSON says that"),
        (["-annex-name", "a", "-count", "1", "-aws-ec2-url", "http://x"], "AWS_ENDPOINT_URL_EC2"),
        (["-annex-name", "a", "-count", "1", "-aws-events-url", "x"], "URL_EVENTBRIDGE"),
        (["-annex-name", "a", "-count", "1", "-aws-lambda-url", "x"], "AWS_ENDPOINT_URL_LAMBDA"),
        (["-annex-name", "a", "-count", "1", "-aws-s3-url", "x"], "AWS_ENDPOINT_URL_S3"),
        (
            ["-annex-name", "a", "-count", "1", "-aws-on-demand-instance-profile-arn", "arn:x"],
            "cannot be chosen any more",
        ),
        (["-annex-name", "a", "-count", "0"], "at least 1"),
        (["-annex-name", "a", "-count", "1", "-duration", "-1"], "above 0"),
        (["-annex-name", "_", "-count", "1"], "cannot be an annex's name"),
        (["-annex-name", "a"], "-count N to start"),
        (["-count", "1"], "Give the annex's name"),
        (["-annex-name"], "needs a value"),
        (["-annex-name", "-count", "1"], "needs a value"),
        (["-tag", "a"], "needs a value"),
        (["-tag", "a/b", "1"], "EC2 would fail every launch"),
        (["-nosuch"], "There is no option -nosuch"),
        (["start"], "not understood"),
        (["-annex-name", "a", "-count", "1", "-owner", "a", "-no-owner"], "exclude one another"),
        (["-annex-name", "a", "-count", "1", "-aws-access-key-file", "x"], "go together"),
        (["-annex-name", "a", "-slots", "5", "-aws-on-demand"], "everything else here for a Spot"),
        (["-annex-name", "a", "-count", "1", "-config-dir", ""], "without a name"),
        (["off", "a", "-count", "1"], "-count has no meaning with off"),
        (["status", "-slots", "5"], "-slots has no meaning with status"),
        (["-status", "-annex-name", "a", "-tag", "b", "c"], "-tag has no meaning with -status"),
        (["-setup", "one"], "two key files"),
        (["-setup", "from", "here"], "FROM INSTANCE"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_sentence(
    argv: list[str], sentence: str, world: World, plane: FakePlane
) -> None:
    done = world.connect_annex(*argv)
    assert done.status == Exit.BAD_INPUT
    assert sentence in done.err
    assert plane.calls == []


def test_the_deployed_profile_may_be_named(world: World) -> None:
    world.macros["ANNEX_DEFAULT_ODI_INSTANCE_PROFILE_ARN"] = "arn:ours"
    done = world.connect_annex(
        *("-annex-name", "demo", "-count", "1", "-yes"),
        *("-aws-on-demand-instance-profile-arn", "arn:ours"),
    )
    assert done.status == Exit.DONE


def test_the_same_word_is_always_the_same_request(world: World, plane: FakePlane) -> None:
    for _ in range(2):
        world.connect_annex("-annex-name", "demo", "-count", "1", "-yes", "-request-id", "mine")
        plane.annexes.clear()
    first, second = plane.sent("POST")
    assert first.body["request_id"] == second.body["request_id"]


def test_a_start_given_again_with_its_request_id_does_not_grow(
    world: World, plane: FakePlane
) -> None:
    for _ in range(2):
        done = world.connect_annex(
            *("-annex-name", "demo", "-count", "2", "-yes", "-request-id", "mine")
        )
        assert done.status == Exit.DONE
    assert len(plane.annexes["demo"]["instances"]) == 2


def test_growing_given_again_with_its_request_id_grows_once(world: World, plane: FakePlane) -> None:
    plane.add("demo", 1)
    for _ in range(2):
        world.connect_annex("-annex-name", "demo", "-count", "2", "-yes", "-request-id", "mine")
    assert len(plane.annexes["demo"]["instances"]) == 3


def test_off_and_status_take_a_bare_name(world: World, plane: FakePlane) -> None:
    plane.add("demo", 1)
    assert world.connect_annex("status", "demo").status == Exit.DONE
    assert world.connect_annex("off", "demo", "-yes").status == Exit.DONE
    assert plane.annexes["demo"]["state"] == "terminated"


def test_classads_of_all_annexes_leave_out_those_that_are_over(
    world: World, plane: FakePlane
) -> None:
    plane.add("one", 1)
    plane.add("two", 2)
    plane.add("three", 1, state="terminated")
    out = world.connect_annex("-status", "-classad").out
    assert out.count('AnnexName = "one"') == 1
    assert out.count('AnnexName = "two"') == 2
    assert "three" not in out


def test_a_key_file_that_is_not_there_is_named_in_words(world: World) -> None:
    done = world.connect_annex("-setup", "public", "private")
    assert done.status == Exit.REFUSED
    assert done.err.endswith("public cannot be read: No such file or directory.\n")


def test_help_and_nothing_at_all_show_the_usage(world: World) -> None:
    for argv in ([], ["-help"], ["--help"]):
        done = world.connect_annex(*argv)
        assert done.status == Exit.DONE
        assert done.out.startswith("usage: connect_annex -setup")
