"""Starting and growing: words, request, key, token, waiting."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from annex_client.exits import Exit
from plane import NOW, error, instance
from world import slot

if TYPE_CHECKING:
    from world import FakePlane, World

QUESTION = (
    "Will request 1 m7i.large on-demand instance for 0.83 hours.  "
    "Each instance will terminate after being idle for 0.25 hours.\n"
    "Is that OK?  (Type 'yes' or 'no'): "
)
STARTED = (
    "Starting annex...\n"
    "Annex started. It will take about three minutes for the new machines to join the pool.\n"
)


def test_start_asks_in_the_tutorial_s_words_and_starts_on_yes(world: World) -> None:
    done = world.annex_client("start", "demo", "--count", "1", typed="yes\n")
    assert done.out == QUESTION + STARTED
    assert done.err == ""
    assert done.status == Exit.DONE


def test_several_machines_are_asked_for_in_the_plural(world: World) -> None:
    done = world.annex_client(
        *(
            "start",
            "demo",
            "--count",
            "3",
            "--duration",
            "2",
            "--instance-type",
            "c7i.large,m7i.large",
        ),
        typed="yes\n",
    )
    assert "3 c7i.large or m7i.large on-demand instances for 2.00 hours" in done.out


def test_anything_but_yes_starts_nothing(world: World, plane: FakePlane) -> None:
    for typed in ("no\n", "\n", "", "yes please\n"):
        done = world.annex_client("start", "demo", typed=typed)
        assert done.status == Exit.UNEXPECTED
        assert "Not starting an annex; you did not confirm." in done.out
    assert plane.sent("POST") == []
    assert list(world.condor.rglob("*admin*")) == []


def test_the_request_says_who_and_where(world: World, plane: FakePlane) -> None:
    world.annex_client("start", "demo", "--yes", "--duration", "0.83", "--idle", "0.25")
    body = plane.sent("POST")[0].body
    assert body["identity"] == "alice@pool.example"
    assert body["owners"] == ["alice@pool.example"]
    assert body["pool"] == {
        "collector_host": "cm.pool.example:9618",
        "trust_domain": "pool.example",
        "access_points": ["ap.pool.example:9618"],
    }
    assert (body["duration_seconds"], body["idle_seconds"]) == (2988, 900)


def test_what_ec2_s_warning_means_is_said_at_the_start_alone(
    world: World, plane: FakePlane
) -> None:
    words = ("start", "demo", "--spot", "--on-rebalance", "retire")
    assert world.annex_client(*words, "--yes").status == Exit.DONE
    assert world.annex_client("start", "plain", "--yes").status == Exit.DONE
    assert [call.body.get("on_rebalance") for call in plane.sent("POST")] == ["retire", None]
    for more in (("--grow", "--yes"), ()):
        done = world.annex_client(*words, *more)
        assert done.status == Exit.BAD_INPUT
        assert "set when an annex is started" in done.err


def test_yes_asks_nothing_and_calls_aws_once(world: World, plane: FakePlane) -> None:
    done = world.annex_client("start", "demo", "--yes")
    assert done.out == STARTED
    assert [call.method for call in plane.calls] == ["POST"]


def test_the_token_is_fetched_for_lease_and_margin_with_three_rights(world: World) -> None:
    world.annex_client("start", "demo", "--yes", "--duration", "1")
    assert world.tools.calls[0] == (
        *("condor_token_fetch", "-key", "annex", "-lifetime", "7200"),
        *("-authz", "READ", "-authz", "ADVERTISE_STARTD", "-authz", "ADVERTISE_MASTER"),
    )


def test_the_annex_token_is_sent_and_never_shown_or_stored(world: World, plane: FakePlane) -> None:
    done = world.annex_client("start", "demo", "--yes", "--json")
    token = plane.sent("POST")[0].body["token"]
    assert token not in done.out + done.err
    assert world.secrets_on_disk(token) == []


def test_the_admin_key_is_private_and_its_token_lies_where_condor_off_looks(
    world: World, plane: FakePlane
) -> None:
    world.annex_client("start", "demo", "--yes")
    key = world.condor / "annex" / "keys" / "annex-demo-admin"
    token = world.condor / "tokens.d" / "annex-demo-admin"
    assert key.stat().st_mode & 0o777 == 0o600
    assert token.stat().st_mode & 0o777 == 0o600
    admin = plane.sent("POST")[0].body["admin"]
    assert base64.b64decode(admin["key"]) == key.read_bytes()
    assert (admin["key_name"], admin["identity"]) == ("annex-demo-admin", "admin@demo.annex")
    create = next(c for c in world.tools.calls if c[0] == "condor_token_create")
    assert create[1:5] == ("-identity", "admin@demo.annex", "-key", "annex-demo-admin")
    assert {"_CONDOR_SEC_PASSWORD_DIRECTORY": str(key.parent)} in world.tools.environs


def test_owners_may_be_bare_names_or_anybody(world: World, plane: FakePlane) -> None:
    world.annex_client("start", "one", "--yes", "--owner", "alice,bob@else.where")
    world.annex_client("start", "two", "--yes", "--no-owner")
    one, two = (call.body for call in plane.sent("POST"))
    assert one["owners"] == ["alice@pool.example", "bob@else.where"]
    assert two["any_owner"] is True
    assert "owners" not in two


def test_config_folder_user_data_and_tags_travel_with_the_request(
    world: World, plane: FakePlane
) -> None:
    folder = world.home / "config.d"
    folder.mkdir()
    (folder / "10-mine.config").write_text("FOO = bar\n")
    (folder / ".hidden").write_text("no\n")
    script = world.home / "script"
    script.write_text("#!/bin/sh\n")
    world.annex_client(
        *("start", "demo", "--yes", "--config-dir", str(folder), "--user-data-file", str(script)),
        *("--tag", "project=x", "--tag", "b=", "--key-name", "mine", "--ami-id", "ami-01234567"),
        *("--subnet", "subnet-01234567", "--security-group", "sg-01234567,sg-89abcdef"),
    )
    body = plane.sent("POST")[0].body
    assert body["config_files"] == {"10-mine.config": "FOO = bar\n"}
    assert base64.b64decode(body["user_data"]) == b"#!/bin/sh\n"
    assert body["tags"] == {"project": "x", "b": ""}
    assert body["security_groups"] == ["sg-01234567", "sg-89abcdef"]


def test_the_tutorial_s_image_is_answered_with_one_sentence(world: World, plane: FakePlane) -> None:
    done = world.annex_client("start", "demo", "--yes", "--ami-id", "ami-cd5f95b0")
    assert done.err.count("\n") == 1
    assert "ami-cd5f95b0 is the tutorial's image of 2017" in done.err
    assert "ami_id" not in plane.sent("POST")[0].body


def test_growing_names_what_is_there_and_what_is_added(world: World, plane: FakePlane) -> None:
    plane.add("demo", machines=5)
    done = world.annex_client("start", "demo", "--count", "5", typed="yes\n")
    assert done.out.startswith("demo has 5 machines; add 5 more?")
    body = plane.sent("POST")[0].body
    assert body["grow"] is True
    assert "duration_seconds" not in body  # growing leaves the lease alone


def test_growing_without_a_question_needs_grow_beside_yes(world: World, plane: FakePlane) -> None:
    plane.add("demo", machines=5)
    done = world.annex_client("start", "demo", "--yes")
    assert done.status == Exit.CONFLICT
    assert "With --grow" in done.err
    assert len(plane.annexes["demo"]["instances"]) == 5
    done = world.annex_client("start", "demo", "--yes", "--grow")
    assert done.status == Exit.DONE
    assert len(plane.annexes["demo"]["instances"]) == 6


def test_add_is_a_growing_start_and_create_a_plain_one(world: World, plane: FakePlane) -> None:
    assert world.annex_client("add", "demo", "--yes").status == Exit.NOT_FOUND
    assert world.annex_client("create", "demo", "--yes").status == Exit.DONE
    assert world.annex_client("add", "demo", "--yes").status == Exit.DONE
    assert len(plane.annexes["demo"]["instances"]) == 2


def test_a_refused_start_on_a_live_name_keeps_its_admin_key(world: World, plane: FakePlane) -> None:
    world.annex_client("start", "demo", "--yes")
    key = (world.condor / "annex" / "keys" / "annex-demo-admin").read_bytes()
    assert world.annex_client("start", "demo", "--yes").status == Exit.CONFLICT
    assert (world.condor / "annex" / "keys" / "annex-demo-admin").read_bytes() == key
    assert plane.sent("POST")[0].body["admin"] == plane.sent("POST")[1].body["admin"]


def test_a_refused_first_start_leaves_no_key_behind(world: World, plane: FakePlane) -> None:
    plane.next_answers = [error(403, "CapExceeded", "The cap of 3 machines is reached for demo.")]
    done = world.annex_client("start", "demo", "--yes")
    assert done.status == Exit.REFUSED
    assert "The cap of 3 machines is reached" in done.err
    assert list(world.condor.rglob("*admin*")) == []
    assert list(world.condor.rglob("*.json")) == []


def test_part_of_the_machines_is_exit_status_6_and_said(world: World, plane: FakePlane) -> None:
    plane.capacity = 2
    done = world.annex_client("start", "demo", "--yes", "--count", "5")
    assert done.status == Exit.PARTLY
    assert "Annex started with 2 of 5 machines only." in done.out


def test_no_capacity_is_refused_and_quota_as_well(world: World, plane: FakePlane) -> None:
    plane.capacity = 0
    assert world.annex_client("start", "demo", "--yes").status == Exit.REFUSED
    plane.next_answers = [
        error(409, "QuotaExceeded", "VcpuLimitExceeded for demo: raise L-1216C47A")
    ]
    done = world.annex_client("start", "demo", "--yes")
    assert done.status == Exit.REFUSED
    assert "VcpuLimitExceeded" in done.err


def test_a_launch_that_goes_on_is_said_to(world: World, plane: FakePlane) -> None:
    plane.pending, plane.capacity = True, 0
    done = world.annex_client("start", "demo", "--yes")
    assert done.status == Exit.DONE
    assert "0 of 1 machine are started" in done.out
    assert "annex-client status demo" in done.out


def test_a_dry_run_checks_everything_and_starts_nothing(world: World, plane: FakePlane) -> None:
    done = world.annex_client("start", "demo", "--dry-run")
    assert done.status == Exit.DONE
    assert "Nothing was started." in done.out
    assert plane.sent("POST")[0].body["dry_run"] is True
    assert plane.annexes == {}
    assert list(world.condor.rglob("*admin*")) == []


def test_a_dry_run_for_a_live_annex_is_one_of_growing(world: World, plane: FakePlane) -> None:
    plane.add("demo", 2)
    assert world.annex_client("start", "demo", "--dry-run").status == Exit.DONE
    assert plane.sent("POST")[0].body["grow"] is True
    assert len(plane.annexes["demo"]["instances"]) == 2


def test_json_is_one_object_on_standard_output(world: World) -> None:
    done = world.annex_client("start", "demo", "--json", typed="yes\n")
    assert done.json()["name"] == "demo"
    assert done.json()["started"] == 1
    assert "Is that OK?" in done.err


def test_waiting_ends_when_the_machines_are_in_the_collector(
    world: World, plane: FakePlane
) -> None:
    def join() -> None:
        ids = [one["instance_id"] for one in plane.annexes["demo"]["instances"]]
        world.pool.machines = [slot(name) for name in ids[: int(world.clock.slept // 4)]]

    world.clock.while_asleep = join
    done = world.annex_client("start", "demo", "--yes", "--count", "2", "--wait")
    assert done.status == Exit.DONE
    assert "Waiting: 1 of 2 machines in the pool (1 booting)" in done.out
    assert "2 of 2 machines of demo are in the pool." in done.out


@pytest.mark.parametrize(
    ("count", "told"), [("1", "1 has not joined since its"), ("2", "2 have not joined since their")]
)
def test_waiting_speaks_of_one_machine_and_of_several(
    count: str, told: str, world: World, plane: FakePlane
) -> None:
    def configured() -> None:
        for one in plane.annexes["demo"]["instances"]:
            one["phase"] = "configured"

    world.clock.while_asleep = configured
    done = world.annex_client("start", "demo", "--yes", "--count", count, "--wait", "60")
    assert f"({told} launch at 16:00:00 UTC)" in done.out


def test_an_ad_of_somebody_else_is_no_machine_of_mine(world: World, plane: FakePlane) -> None:
    def impostor() -> None:
        ids = [one["instance_id"] for one in plane.annexes["demo"]["instances"]]
        world.pool.machines = [slot(ids[0], identity="mallory@pool.example")]

    world.clock.while_asleep = impostor
    done = world.annex_client("start", "demo", "--yes", "--wait", "10")
    assert done.status == Exit.TIMED_OUT


def test_waiting_too_long_says_that_the_annex_goes_on(world: World, plane: FakePlane) -> None:
    done = world.annex_client("start", "demo", "--yes", "--wait", "60")
    assert done.status == Exit.TIMED_OUT
    assert "After 60 seconds 0 of 1 machine of demo have joined." in done.err
    assert "annex-client stop demo" in done.err
    assert plane.annexes["demo"]["state"] == "active"


def test_waiting_ends_early_when_the_machines_have_died(world: World, plane: FakePlane) -> None:
    def die() -> None:
        plane.annexes["demo"]["instances"] = [
            instance("i-00000000000000000", "terminated", reason="HTCondor could not be installed")
        ]

    world.clock.while_asleep = die
    done = world.annex_client("start", "demo", "--yes", "--wait")
    assert done.status == Exit.PARTLY
    assert "i-00000000000000000: HTCondor could not be installed" in done.out


def test_ctrl_c_while_waiting_loses_nothing(world: World, plane: FakePlane) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    world.clock.while_asleep = interrupt
    done = world.annex_client("start", "demo", "--yes", "--wait")
    assert done.status == Exit.INTERRUPTED
    assert "The annex goes on" in done.err
    assert plane.annexes["demo"]["state"] == "active"
    assert (world.condor / "tokens.d" / "annex-demo-admin").exists()


def test_ctrl_c_at_the_question_starts_nothing(world: World, plane: FakePlane) -> None:
    done = world.annex_client("start", "demo", typed=None)
    assert done.status == Exit.INTERRUPTED
    assert "Interrupted at the question: nothing was done." in done.err
    assert plane.sent("POST") == []


def test_an_answer_that_takes_hours_gets_a_fresh_token(world: World, plane: FakePlane) -> None:
    world.clock.moment = NOW
    context = world.context("yes\n")
    reading = context.stdin.readline

    def slow(size: int = -1) -> str:
        world.clock.sleep(7200)
        return reading(size)

    context.stdin.readline = slow  # type: ignore[method-assign]
    done = world.annex_client("start", "demo", stdin=context.stdin)
    assert done.status == Exit.DONE
    assert [call[0] for call in world.tools.calls].count("condor_token_fetch") == 2
    assert len(plane.sent("POST")) == 1
