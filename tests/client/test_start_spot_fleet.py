"""The tutorial's Spot Fleet: its own words, its JSON file, and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from annex_client.exits import Exit
from world import slot

if TYPE_CHECKING:
    from world import FakePlane, Result, World

FLEET = (Path(__file__).parents[2] / "examples" / "fleet.json").read_text()
QUESTION = (
    "Will request 5 spot slots for 0.83 hours.  "
    "Each instance will terminate after being idle for 0.25 hours.\n"
    "Is that OK?  (Type 'yes' or 'no'): "
)
STARTED = (
    "Starting annex...\n"
    "Annex started. It will take about six minutes for the new machines to join the pool.\n"
)


@pytest.fixture
def file(world: World) -> str:
    """`~/.condor/fleet.json`, as the tutorial has it."""
    world.condor.mkdir()
    path = world.condor / "fleet.json"
    path.write_text(FLEET)
    return str(path)


def tutorial(world: World, file: str, *more: str, typed: str = "yes\n") -> Result:
    """As it is typed there, $USER being alice."""
    words = ("-annex-name", "SpotAnnexalice", "-slots", "5", "-aws-spot-fleet-config-file", file)
    return world.connect_annex(*words, *more, typed=typed)


def test_the_tutorial_s_spot_fleet_starts_as_it_is_typed(
    world: World, plane: FakePlane, file: str
) -> None:
    done = tutorial(world, file)
    assert done.status == Exit.DONE
    assert done.out == QUESTION + STARTED
    assert done.err == ""
    body = plane.sent("POST")[0].body
    assert (body["name"], body["slots"]) == ("SpotAnnexalice", 5)
    assert body["spot_fleet_config"] == FLEET
    assert (body["duration_seconds"], body["idle_seconds"]) == (3000, 900)
    assert not {"count", "instance_types", "ami_id", "key_name", "security_groups"} & body.keys()


def test_a_request_that_aws_still_works_on_says_for_how_long(
    world: World, plane: FakePlane, file: str
) -> None:
    plane.pending, plane.capacity = True, 0
    done = tutorial(world, file)
    assert done.status == Exit.DONE
    assert done.out == QUESTION + STARTED + (
        "0 of 5 slots are there so far; AWS goes on for 15 minutes at most."
        "  See 'annex-client status SpotAnnexalice'.\n"
    )


def test_part_of_the_slots_is_partly_done(world: World, plane: FakePlane, file: str) -> None:
    plane.capacity = 4
    done = tutorial(world, file, "-yes")
    assert done.status == Exit.PARTLY
    assert "Annex started with 4 of 5 slots only." in done.out


def test_the_old_words_around_it_are_accepted(world: World, plane: FakePlane, file: str) -> None:
    done = tutorial(
        *(world, file, "-aws-spot-fleet", "-yes", "-duration", "2", "-tag", "a", "b", "-no-owner"),
        *("-aws-spot-fleet-lease-function-arn", "arn:aws:lambda:::x"),
    )
    assert done.status == Exit.DONE
    assert done.err.count("\n") == 1
    assert "-aws-spot-fleet-lease-function-arn has no meaning any more" in done.err
    body = plane.sent("POST")[0].body
    assert (body["duration_seconds"], body["tags"]) == (7200, {"a": "b"})


def test_the_file_may_be_named_in_the_configuration(
    world: World, plane: FakePlane, file: str
) -> None:
    world.macros["ANNEX_DEFAULT_SFR_CONFIG_FILE"] = file
    done = world.connect_annex("-annex-name", "demo", "-slots", "5", "-yes")
    assert done.status == Exit.DONE
    assert plane.sent("POST")[0].body["spot_fleet_config"] == FLEET
    world.annex_client("start", "other", "--slots", "5", "--yes")
    assert "spot_fleet_config" not in plane.sent("POST")[1].body


def test_what_the_configuration_says_of_on_demand_machines_is_not_for_a_spot_fleet(
    world: World, plane: FakePlane, file: str
) -> None:
    world.macros["ANNEX_DEFAULT_ODI_IMAGE_ID"] = "ami-cd5f95b0"
    world.macros["ANNEX_DEFAULT_ODI_KEY_NAME"] = "mine"
    world.macros["ANNEX_DEFAULT_ODI_SECURITY_GROUP_IDS"] = "sg-01234567"
    done = tutorial(world, file)
    assert done.err == ""
    assert not {"ami_id", "key_name", "security_groups"} & plane.sent("POST")[0].body.keys()


def test_with_spot_fleet_and_duration_alone_the_lease_is_renewed(
    world: World, plane: FakePlane
) -> None:
    """The predecessor's renewal without the flag turned the lease into an on-demand one."""
    plane.add("demo")
    for more in ((), ("-aws-spot-fleet",)):
        done = world.connect_annex("-annex-name", "demo", "-duration", "2", *more)
        assert done.out.startswith("Lease updated")
    assert plane.sent("POST") == []


def test_slots_on_a_live_annex_grow_it(world: World, plane: FakePlane, file: str) -> None:
    plane.add("SpotAnnexalice", 2)
    done = tutorial(world, file)
    assert done.out.startswith("SpotAnnexalice has 2 machines; add 5 slots more?\n")
    assert plane.sent("POST")[0].body["grow"] is True


def test_annex_client_starts_one_from_a_file_or_standard_input(
    world: World, plane: FakePlane, file: str
) -> None:
    words = ("start", "demo", "--slots", "5", "--spot-fleet-config-file")
    assert world.annex_client(*words, file, typed="yes\n").out == QUESTION + STARTED
    done = world.annex_client("start", "two", *words[2:], "-", "--spot", "--yes", typed=FLEET)
    assert done.out == STARTED
    one, two = (call.body for call in plane.sent("POST"))
    assert one["spot_fleet_config"] == two["spot_fleet_config"] == FLEET
    assert one["market"] == two["market"] == "spot"


def test_standard_input_cannot_hold_the_file_and_the_answer(world: World, plane: FakePlane) -> None:
    words = ("start", "demo", "--slots", "5", "--spot-fleet-config-file", "-")
    done = world.annex_client(*words, typed=FLEET)
    assert done.status == Exit.BAD_INPUT
    assert "add --yes, or name a file" in done.err
    assert plane.calls == []
    assert world.annex_client(*words, "--dry-run", typed=FLEET).status == Exit.DONE


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "give --slots N"),
        ("--count 5", "give --slots N, and no --count"),
        ("--slots 5 --count 5", "give --slots N, and no --count"),
        ("--slots 5 --instance-type m7i.large", "--instance-type: a Spot Fleet's own file says"),
        ("--slots 5 --cpus 4", "--cpus: a Spot Fleet's own file says"),
        ("--slots 5 --max-price 1", "--max-price: a Spot Fleet's own file says"),
        ("--slots 5 --fallback on-demand", "--fallback: a Spot Fleet's own file says"),
        ("--slots 5 --ami-id ami-01234567", "--ami-id: a Spot Fleet's own file says"),
        ("--slots 5 --key-name mine", "--key-name: a Spot Fleet's own file says"),
        ("--slots 5 --user-data-file x", "--user-data-file: a Spot Fleet's own file says"),
    ],
)
def test_what_the_file_says_cannot_be_said_beside_it(
    words: str, sentence: str, world: World, plane: FakePlane, file: str
) -> None:
    done = world.annex_client(
        "start", "demo", "--yes", "--spot-fleet-config-file", file, *words.split()
    )
    assert done.status == Exit.BAD_INPUT
    assert sentence in done.err
    assert plane.calls == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty; the console's button"),
        (b" \n", "is empty"),
        (b'{\n "UserData": "hush" "x"\n}', "(line 2, column 21)"),
        (b'{"a": 1,}', "is not JSON: "),
        (b"{'a': 1}", "(line 1, column 2)"),
        (b'{"a": NaN}', "is not JSON: NaN is no number there"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "is not JSON that anything of AWS would make"),
        (b"[]", "is no Spot Fleet's JSON: that is an object, {...}"),
        (b'"text"', "is no Spot Fleet's JSON"),
        (b"\xff\xfe{}", "is not text (UTF-8), as JSON is"),
        (b'{"a": "' + b"x" * 199_992 + b'"}', "may have 200000 characters"),
    ],
)
def test_a_file_that_cannot_be_one_is_refused_and_not_quoted(
    content: bytes, sentence: str, world: World, plane: FakePlane, file: str
) -> None:
    Path(file).write_bytes(content)
    done = tutorial(world, file)
    assert done.status == Exit.BAD_INPUT
    assert sentence in done.err
    assert done.err.startswith(f"connect_annex: {file} ")
    assert "hush" not in done.out + done.err
    assert plane.calls == []
    assert world.tools.calls == []


def test_a_file_of_exactly_the_limit_and_with_a_byte_order_mark_is_taken(
    world: World, plane: FakePlane, file: str
) -> None:
    Path(file).write_bytes(b'{"a": "' + b"x" * 199_991 + b'"}')
    assert tutorial(world, file).status == Exit.DONE
    Path(file).write_bytes(b"\xef\xbb\xbf{}")
    assert (
        world.connect_annex(
            *("-annex-name", "b", "-slots", "1", "-yes", "-aws-spot-fleet-config-file", file)
        ).status
        == Exit.DONE
    )
    assert plane.sent("POST")[1].body["spot_fleet_config"] == "{}"


def test_a_file_that_is_not_there_is_named(world: World, plane: FakePlane) -> None:
    done = tutorial(world, str(world.home / "nothing.json"))
    assert done.status == Exit.BAD_INPUT
    assert done.err.endswith("nothing.json cannot be read: No such file or directory.\n")
    assert plane.calls == []


def test_the_same_command_after_a_lost_answer_is_the_same_request_and_another_file_is_not(
    world: World, plane: FakePlane, file: str
) -> None:
    plane.next_answers = ["drop"] * 5
    assert tutorial(world, file, "-yes").status == Exit.AWS_TROUBLE
    assert tutorial(world, file, "-yes").status == Exit.DONE
    ids = {call.body["request_id"] for call in plane.sent("POST")}
    assert len(ids) == 1
    assert json.loads(FLEET)["LaunchSpecifications"][0]["InstanceType"] not in "".join(
        path.read_text() for path in world.condor.rglob("requests/*")
    )


def test_waiting_goes_on_as_long_as_the_request_may(
    world: World, plane: FakePlane, file: str
) -> None:
    plane.pending, plane.capacity = True, 2

    def join() -> None:
        instances = plane.annexes["demo"]["instances"]
        world.pool.machines = [slot(one["instance_id"]) for one in instances]

    world.clock.while_asleep = join
    words = ("start", "demo", "--slots", "5", "--spot-fleet-config-file", file, "--yes")
    done = world.annex_client(*words, "--wait", "1200")
    assert done.status == Exit.PARTLY
    assert "2 of 5 slots of demo are in the pool." in done.out
    assert 900 <= world.clock.slept < 920
