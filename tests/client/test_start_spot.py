"""Spot machines, slots, and types by what they have: request, question, answer and exit status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from annex_client.exits import Exit
from plane import error
from world import slot

if TYPE_CHECKING:
    from world import FakePlane, World

LEASE = " for 0.83 hours."
IDLE = "  Each instance will terminate after being idle for 0.25 hours."
FALLBACK = "  What spot does not give is started on demand, at the full price."
ASKED = "\nIs that OK?  (Type 'yes' or 'no'): "


def body(plane: FakePlane) -> dict[str, Any]:
    """What was asked for, of the newest request."""
    names = ("count", "slots", "market", "instance_types", "requirements", "max_price", "fallback")
    return {name: value for name, value in plane.sent("POST")[-1].body.items() if name in names}


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("", {"count": 1, "instance_types": ["m7i.large"]}),
        ("--slots 6", {"slots": 6, "instance_types": ["m7i.large"]}),
        ("--spot", {"count": 1, "market": "spot", "instance_types": ["m7i.large"]}),
        (
            "--spot --count 3 --instance-type m7i.large,m7a.large",
            {"count": 3, "market": "spot", "instance_types": ["m7i.large", "m7a.large"]},
        ),
        (
            "--spot --slots 5 --cpus 4.. --memory 8..32",
            {
                "slots": 5,
                "market": "spot",
                "requirements": {
                    "cpus_min": 4,
                    "memory_mib_min": 8192,
                    "memory_mib_max": 32_768,
                },
            },
        ),
        (
            "--count 2 --cpus 4",
            {"count": 2, "requirements": {"cpus_min": 4, "cpus_max": 4}},
        ),
        (
            "--memory 0.5..1.5",
            {"count": 1, "requirements": {"memory_mib_min": 512, "memory_mib_max": 1536}},
        ),
        (
            "--spot --instance-type m7i.large,m7a.large,m7i.large --max-price .05",
            {
                "count": 1,
                "market": "spot",
                "instance_types": ["m7i.large", "m7a.large"],
                "max_price": "0.05",
            },
        ),
        (
            "--spot --max-price 0.05 --fallback on-demand",
            {
                "count": 1,
                "market": "spot",
                "instance_types": ["m7i.large"],
                "max_price": "0.05",
                "fallback": "on-demand",
            },
        ),
    ],
)
def test_the_request_holds_what_was_asked_for_and_nothing_else(
    words: str, asked: dict[str, Any], world: World, plane: FakePlane
) -> None:
    done = world.annex_client("start", "demo", "--yes", *words.split())
    assert done.status == Exit.DONE
    assert body(plane) == asked


@pytest.mark.parametrize(
    ("words", "what", "price"),
    [
        (
            "--spot --count 3 --instance-type m7i.large,m7a.large",
            "Will request 3 spot instances of m7i.large or m7a.large",
            "",
        ),
        ("--spot", "Will request 1 spot instance of m7i.large", ""),
        ("--slots 4", "Will request 4 on-demand slots on m7i.large", ""),
        (
            "--spot --slots 1 --cpus 4..8 --memory 16..",
            "Will request 1 spot slot on machines with 4 to 8 vCPUs and 16 or more GiB of memory",
            "",
        ),
        ("--cpus 4", "Will request 1 on-demand instance with 4 vCPUs", ""),
        (
            "--spot --max-price 0.05",
            "Will request 1 spot instance of m7i.large",
            "  Each spot instance costs at most 0.05 USD an hour.",
        ),
        (
            "--spot --slots 5 --max-price 0.01 --fallback on-demand",
            "Will request 5 spot slots on m7i.large",
            f"  Each spot slot costs at most 0.01 USD an hour.{FALLBACK}",
        ),
    ],
)
def test_the_question_says_market_kind_price_and_what_is_done_without_capacity(
    words: str, what: str, price: str, world: World, plane: FakePlane
) -> None:
    done = world.annex_client("start", "demo", *words.split())
    assert done.out.startswith(what + LEASE + price + IDLE + ASKED)
    assert plane.sent("POST") == []


def test_a_no_names_the_instance_type_only_where_it_was_a_default(world: World) -> None:
    assert "--instance-type" in world.annex_client("start", "demo", "--spot", typed="no\n").out
    words = ("start", "demo", "--spot", "--cpus", "4")
    assert "--instance-type" not in world.annex_client(*words, typed="no\n").out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--count 1 --slots 2", "give one of them"),
        ("--slots 0", "0 slots cannot be started"),
        ("--slots few", "'few' is not a number of slots"),
        ("--spot --instance-type m7i.large --cpus 4", "give one or the other"),
        ("--instance-type m7i.large --memory 4..", "give one or the other"),
        ("--max-price 0.05", "--max-price is for spot machines: add --spot"),
        ("--fallback on-demand", "--fallback is for spot machines: add --spot"),
        ("--spot --fallback spot", "invalid choice"),
        ("--spot --max-price cheap", "is not a price; give USD an hour, like 0.05"),
        ("--spot --max-price -1", "is not a price"),
        ("--spot --max-price 0.00", "would start nothing"),
        ("--spot --max-price 0.0000001", "is not a price"),
        ("--cpus 4..2", "--cpus 4..2 ends before it begins"),
        ("--cpus 0..2", "--cpus takes 1 to 1024"),
        ("--cpus 4..2000", "--cpus takes 1 to 1024"),
        ("--cpus 1.5..2", "--cpus takes whole numbers"),
        ("--cpus ..4", "4 or 4.. or 4..8"),
        ("--cpus many", "4 or 4.. or 4..8"),
        ("--memory 8...16", "takes GiB, a number or a range, 8 or 8.. or 8..32"),
        ("--memory 16GB", "takes GiB, a number or a range"),
        ("--memory 40000", "--memory takes 0.001 to 32768 GiB"),
        ("--memory 0..4", "--memory takes 0.001 to 32768 GiB"),
        ("--memory 0.0001", "--memory takes 0.001 to 32768 GiB"),
        ("--spot --max-price 100000", "below 10000"),
        ("--spot --max-price 0,05", "digits and a dot alone"),
        ("--spot=yes", "--spot: takes no value, but was given 'yes'"),
        ("--spot --legacy --ami-id ami-01234567", "--spot: machines of a --legacy image are"),
        ("--slots 2 --legacy", "--slots: machines of a --legacy image are on-demand machines"),
        ("--slots 2 --spot-fleet-config-file=", "without a name cannot be read"),
        ("--config-dir=", "without a name cannot be read"),
        ("--user-data-file=", "without a name cannot be read"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anybody_is_asked(
    words: str, sentence: str, world: World, plane: FakePlane
) -> None:
    done = world.annex_client("start", "demo", "--yes", *words.split())
    assert done.status == Exit.BAD_INPUT
    assert sentence in done.err
    assert done.out == ""
    assert plane.calls == []
    assert world.tools.calls == []


def test_part_of_the_slots_is_exit_status_6_and_said_in_slots(
    world: World, plane: FakePlane
) -> None:
    plane.capacity, plane.notes = 3, ["m7i.large in us-east-1a: EC2 has none left."]
    done = world.annex_client("start", "demo", "--yes", "--spot", "--slots", "5", "--json")
    assert done.status == Exit.PARTLY
    assert "Annex started with 3 of 5 slots only.\nm7i.large in us-east-1a:" in done.err
    facts = done.json()
    assert (facts["asked"], facts["started"], facts["unit"]) == (5, 3, "slot")
    assert facts["notes"] == plane.notes


def test_no_spot_capacity_at_all_is_refused(world: World, plane: FakePlane) -> None:
    plane.next_answers = [error(409, "NoCapacity", "No spot machine for demo: every zone is full.")]
    done = world.annex_client("start", "demo", "--yes", "--spot")
    assert done.status == Exit.REFUSED
    assert "every zone is full" in done.err


def test_a_fleet_that_goes_on_is_said_to_in_slots(world: World, plane: FakePlane) -> None:
    plane.pending, plane.capacity = True, 2
    done = world.annex_client("start", "demo", "--yes", "--spot", "--slots", "5")
    assert done.status == Exit.DONE
    assert "Annex accepted.  2 of 5 slots are started; AWS is asked again each minute" in done.out
    assert "for 5 minutes at most" in done.out


def test_growing_by_slots_asks_in_slots(world: World, plane: FakePlane) -> None:
    plane.add("demo", machines=2)
    words = ("start", "demo", "--spot", "--slots", "5", "--max-price", "0.1")
    done = world.annex_client(*words, typed="yes\n")
    assert done.out.startswith(
        "demo has 2 machines; add 5 slots more?  Each spot slot costs at most 0.1 USD an hour.\n"
    )
    assert done.status == Exit.DONE
    assert plane.sent("POST")[0].body["grow"] is True


def test_growing_what_is_not_there_says_how_it_is_started(world: World) -> None:
    done = world.annex_client("add", "demo", "--spot", "--slots", "5", "--yes")
    assert done.status == Exit.NOT_FOUND
    assert "'annex-client start demo', without --grow, starts one." in done.err


def test_a_dry_run_counts_in_slots(world: World) -> None:
    done = world.annex_client("start", "demo", "--slots", "5", "--dry-run")
    assert done.out.startswith("Dry run: 5 slots would be started for demo")


def test_waiting_counts_the_slots_of_the_machines_that_have_joined(
    world: World, plane: FakePlane
) -> None:
    def join() -> None:
        ids = [one["instance_id"] for one in plane.annexes["demo"]["instances"]]
        world.pool.machines = [slot(name) for name in ids[: int(world.clock.slept // 4)]]

    world.clock.while_asleep = join
    done = world.annex_client("start", "demo", "--yes", "--spot", "--slots", "5", "--wait")
    assert done.status == Exit.DONE
    assert "Waiting: 4 of 5 slots in the pool (1 booting)" in done.out
    assert "5 of 5 slots of demo are in the pool." in done.out


def test_waiting_does_not_give_up_while_more_may_still_be_started(
    world: World, plane: FakePlane
) -> None:
    """The first machine is there, the second comes minutes after the answer."""
    plane.pending, plane.capacity, plane.weight = True, 1, 1

    def come() -> None:
        annex = plane.annexes["demo"]
        if world.clock.slept > 200 and len(annex["instances"]) == 1:
            plane._launch(annex, {"slots": 1}, 1)
        world.pool.machines = [slot(one["instance_id"]) for one in annex["instances"]]

    world.clock.while_asleep = come
    done = world.annex_client("start", "demo", "--yes", "--spot", "--slots", "2", "--wait")
    assert "2 of 2 slots of demo are in the pool." in done.out
    assert done.status == Exit.DONE


def everybody_joins(world: World, plane: FakePlane) -> None:
    def join() -> None:
        instances = plane.annexes["demo"]["instances"]
        world.pool.machines = [slot(one["instance_id"]) for one in instances]

    world.clock.while_asleep = join


def test_waiting_gives_up_when_nothing_more_can_come(world: World, plane: FakePlane) -> None:
    plane.pending, plane.capacity = True, 1
    everybody_joins(world, plane)
    done = world.annex_client("start", "demo", "--yes", "--spot", "--slots", "2", "--wait")
    assert "1 of 2 slots of demo is in the pool." in done.out
    assert done.status == Exit.PARTLY
    assert 300 <= world.clock.slept < 320


def test_waiting_for_slots_beside_machines_counts_machines(world: World, plane: FakePlane) -> None:
    plane.add("demo", machines=2)
    everybody_joins(world, plane)
    done = world.annex_client("add", "demo", "--slots", "6", "--yes", "--wait", "--json")
    assert done.status == Exit.DONE
    assert "Waiting: 0 of 5 machines in the pool (5 booting)" in done.err
    assert "5 of 5 machines of demo are in the pool." in done.err
    assert (done.json()["joined"], done.json()["unit"]) == (5, "slot")


def test_waiting_for_machines_beside_slots_counts_machines(world: World, plane: FakePlane) -> None:
    plane.add("demo", machines=0)
    plane._launch(plane.annexes["demo"], {"slots": 6}, 6)
    everybody_joins(world, plane)
    done = world.annex_client("add", "demo", "--count", "2", "--yes", "--wait")
    assert done.status == Exit.DONE
    assert "5 of 5 machines of demo are in the pool." in done.out


def test_waiting_in_a_mixed_annex_goes_on_while_slots_may_come(
    world: World, plane: FakePlane
) -> None:
    plane.add("demo", machines=2)
    plane.pending, plane.capacity = True, 2

    def come() -> None:
        annex = plane.annexes["demo"]
        if world.clock.slept > 200 and len(annex["instances"]) == 3:
            plane._launch(annex, {"slots": 4}, 4)
        world.pool.machines = [slot(one["instance_id"]) for one in annex["instances"]]

    world.clock.while_asleep = come
    done = world.annex_client("add", "demo", "--slots", "6", "--yes", "--wait")
    assert "Waiting: 3 of 3 machines in the pool (active)" in done.out
    assert "5 of 5 machines of demo are in the pool." in done.out
    assert done.status == Exit.DONE


def test_repeated_grow_waits_for_what_there_is_and_no_more(world: World, plane: FakePlane) -> None:
    """Its first answer was lost: the machines that are found alive are its own already."""
    plane.add("demo", machines=1)
    plane.next_answers = [None, "drop", *["drop"] * 4]
    words = ("start", "demo", "--grow", "--count", "2", "--wait")
    assert world.annex_client(*words, typed="yes\n").status == Exit.AWS_TROUBLE
    everybody_joins(world, plane)
    done = world.annex_client(*words, typed="yes\n")
    assert "3 of 3 machines of demo are in the pool." in done.out
    assert done.status == Exit.DONE


def test_how_long_aws_goes_on_is_the_control_planes_word(world: World, plane: FakePlane) -> None:
    """A request behind a Spot Fleet waits for that one first."""
    live = plane.add("demo", machines=1)
    queued = {"annex": live, "asked": 2, "started": 0, "pending": True, "pending_seconds": 1190}
    plane.next_answers = [None, (202, {**queued, "notes": ["Annex demo has an earlier request."]})]
    done = world.annex_client("add", "demo", "--count", "2", "--yes")
    assert (
        "0 of 2 machines are started; AWS is asked again each minute, for 20 minutes at most."
        in done.out
    )
    assert "Annex demo has an earlier request." in done.out
