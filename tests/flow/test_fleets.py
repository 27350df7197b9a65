"""Machines by EC2 Fleet: spot, slots, types by what they have."""

from __future__ import annotations

import pytest

from chalicelib.errors import AwsUnavailable
from chalicelib.launch import Market, Refusal, RefusalKind, Road
from chalicelib.model import AnnexState
from tests.fakes.world import World, code, told

NO_CAPACITY = Refusal(RefusalKind.CAPACITY, "InsufficientInstanceCapacity", "There is none")
TOO_LOW = Refusal(RefusalKind.CAPACITY, "SpotMaxPriceTooLow", "The price is too low")


def no_answer(point: str) -> None:
    """EC2 has done it, and nobody hears of it."""
    if point == "after compute.launch":
        raise AwsUnavailable("no answer")


def test_spot_machines_come_by_one_call_for_all_types_and_zones(world: World) -> None:
    answer = world.start(market="spot", instance_types=["m7i.large", "m7i.xlarge"])
    assert answer.status == 201
    (attempt,) = world.annex().attempts
    assert (attempt.place, attempt.market) == (None, Market.SPOT)
    assert world.annex().launches[0].spec.road is Road.FLEET
    assert {one["lifecycle"] for one in told(world.show())["instances"]} == {"spot"}


def test_capacity_of_another_type_makes_up_for_the_first(world: World) -> None:
    world.compute.free = {("m7i.large", "us-east-1a"): 1, ("m7i.large", "us-east-1b"): 0}
    answer = world.start(count=3, market="spot", instance_types=["m7i.large", "m7i.xlarge"])
    assert (told(answer)["started"], told(answer)["asked"]) == (3, 3)


def test_what_single_types_and_zones_lack_is_told_once_each(world: World) -> None:
    world.compute.spot_refusals = {"m7i.large": NO_CAPACITY, "m7i.xlarge": TOO_LOW}
    answer = world.start(market="spot", instance_types=["m7i.large", "m7i.xlarge"])
    assert (answer.status, code(answer)) == (409, "NoCapacity")
    said = told(answer)["error"]["message"]
    for where in ("m7i.large in us-east-1a", "m7i.large in us-east-1b"):
        assert said.count(f"{where}: There is none (InsufficientInstanceCapacity).") == 1
    assert said.count("m7i.xlarge in us-east-1a: The price is too low (SpotMaxPriceTooLow).") == 1
    assert world.compute.running() == []


def test_part_of_a_fleet_is_n_of_m(world: World) -> None:
    world.compute.free = {("m7i.large", "us-east-1a"): 1, ("m7i.large", "us-east-1b"): 1}
    answer = told(world.start(count=3, market="spot"))
    assert (answer["started"], answer["asked"], answer["pending"]) == (2, 3, False)
    shown = told(world.show())
    assert (shown["started"], shown["requested"], shown["unit"]) == (2, 3, "machine")


def test_on_demand_machines_come_instead_only_when_asked_for(world: World) -> None:
    world.compute.spot_refusals = {"m7i.large": NO_CAPACITY}
    world.start("plain", market="spot")
    assert world.running("plain") == []
    answer = told(world.start("patient", market="spot", fallback="on-demand"))
    assert answer["started"] == 2
    markets = [one.market for one in world.annex("patient").attempts]
    assert markets == [Market.SPOT, Market.ON_DEMAND]
    lifecycles = {one["lifecycle"] for one in told(world.show("patient"))["instances"]}
    assert lifecycles == {"on-demand"}


def test_nothing_comes_instead_of_what_is_forbidden(world: World) -> None:
    world.compute.spot_refusals = {
        "m7i.large": Refusal(RefusalKind.FATAL, "UnauthorizedOperation", "no")
    }
    answer = world.start(market="spot", fallback="on-demand")
    assert answer.status == 403
    assert ". The control plane lacks a permission" in told(answer)["error"]["message"]
    assert world.compute.running() == []


def test_one_bad_type_keeps_nothing_from_coming_instead(world: World) -> None:
    bad = Refusal(RefusalKind.FATAL, "InvalidParameterValue", "It has no such disk")
    world.compute.spot_refusals = {"m7i.large": bad, "m7i.xlarge": NO_CAPACITY}
    types = ["m7i.large", "m7i.xlarge"]
    plain = world.start("plain", market="spot", instance_types=types)
    assert (plain.status, code(plain)) == (409, "NoCapacity")
    patient = world.start("patient", market="spot", fallback="on-demand", instance_types=types)
    assert told(patient)["started"] == 2
    where = "m7i.large in us-east-1b: It has no such disk (InvalidParameterValue)."
    assert where in told(patient)["notes"]


def test_slots_are_vcpus_and_machines_count_for_theirs(world: World) -> None:
    answer = told(world.start(count=None, slots=6, instance_types=["m7i.xlarge"]))
    assert (answer["started"], answer["asked"]) == (8, 6)  # EC2 rounds up to whole machines
    shown = told(world.show())
    assert (shown["unit"], shown["requested"]) == ("slot", 6)
    assert [one["units"] for one in shown["instances"]] == [4, 4]


def test_annex_of_slots_and_machines_is_counted_in_machines(world: World) -> None:
    world.start(count=None, slots=4)
    world.grow(count=1)
    shown = told(world.show())
    assert len(shown["instances"]) == 3
    assert (shown["unit"], shown["requested"], shown["started"]) == ("machine", 3, 3)
    world.grow("foo", count=None, slots=3, instance_types=["m7i.xlarge"])
    shown = told(world.show())
    assert (shown["unit"], shown["requested"], shown["started"]) == ("machine", 4, 4)


def test_caps_count_machines_not_slots(world: World) -> None:
    world.set(max_instances_per_annex=5, max_instances_per_owner=5)
    assert world.start(count=None, slots=10).status == 201
    answer = world.start("more", count=None, slots=2)
    assert code(answer) == "CapExceeded"
    assert "max_instances_per_owner" in told(answer)["error"]["message"]


def test_types_are_found_by_what_they_have(world: World) -> None:
    asked = {"cpus_min": 4, "memory_mib_min": 8192}
    world.start(market="spot", requirements=asked)
    (machine, _) = told(world.show())["instances"]
    assert machine["instance_type"] == "m7i.xlarge"
    answer = world.start("none", market="spot", requirements={"cpus_min": 512})
    assert (answer.status, code(answer)) == (400, "BadRequest")
    assert "widen the range" in told(answer)["error"]["message"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"slots": 4}, "either"),
        ({"count": None}, "either"),
        ({"max_price": "0.05"}, "spot"),
        ({"fallback": "on-demand"}, "spot"),
        ({"on_rebalance": "retire"}, "the only ones that EC2 warns of so"),
        ({"requirements": {"cpus_min": 2}, "instance_types": ["m7i.large"]}, "or"),
    ],
)
def test_what_makes_no_sense_is_refused(
    world: World, changes: dict[str, object], said: str
) -> None:
    answer = world.start(**changes)
    assert (answer.status, code(answer)) == (400, "BadRequest")
    assert said in told(answer)["error"]["message"]


def test_a_fleet_whose_answer_was_lost_is_asked_again_by_its_token(world: World) -> None:
    world.faults.watch = no_answer
    world.start(count=2, market="spot")
    world.faults.disarm()
    world.compute.visible_after = world.compute.visible_after.max  # nothing to adopt
    world.sweep()
    assert len(world.annex().living) == 2
    assert len(world.compute.launches) == 1


def test_machines_of_an_unanswered_fleet_are_found_by_their_tag(world: World) -> None:
    world.faults.watch = no_answer
    world.start(count=None, slots=4, instance_types=["m7i.xlarge"])
    world.faults.disarm()
    world.clock.tick(10)  # too early to ask again
    world.services.sweep.run()
    (attempt,) = world.annex().attempts
    assert (len(attempt.started), attempt.units) == (1, (4,))


def test_launch_templates_go_with_their_annex(world: World) -> None:
    world.start(market="spot")
    assert world.compute.templates
    world.stop()
    for _ in range(3):
        world.sweep()
    assert world.annex().state is AnnexState.TERMINATED
    assert not world.compute.templates
