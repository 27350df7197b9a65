"""Machines by a Spot Fleet of the user's own: asked for in slots, found as they come, cancelled."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from chalicelib import lifecycle, turns
from chalicelib.errors import AwsUnavailable
from chalicelib.launch import Market, Refusal, RefusalKind, Road
from chalicelib.model import AnnexState
from tests.fakes.spot_fleets import templates
from tests.fakes.world import code, told

if TYPE_CHECKING:
    from tests.fakes.world import World


def test_machines_come_after_the_answer_and_are_counted_in_slots(world: World) -> None:
    world.catalog.known["m7i.2xlarge"] = frozenset({"x86_64"})
    config = templates(
        {"InstanceType": "m7i.2xlarge", "WeightedCapacity": 2, "SubnetId": "subnet-0000000a"}
    )
    answer = world.start(count=None, slots=5, spot_fleet_config=json.dumps(config))
    assert answer.status == 202
    assert (told(answer)["asked"], told(answer)["started"], told(answer)["pending"]) == (5, 0, True)
    assert (told(answer)["annex"]["unit"], told(answer)["annex"]["requested"]) == ("slot", 5)
    world.sweep()
    shown = told(world.show())
    assert len(world.running()) == 3
    assert (shown["started"], shown["requested"]) == (6, 5)
    assert {one["units"] for one in shown["instances"]} == {2}
    assert {one["lifecycle"] for one in shown["instances"]} == {"spot"}


def test_types_that_ec2_chooses_count_one_slot_each(world: World) -> None:
    required = {"VCpuCount": {"Min": 2}, "MemoryMiB": {"Min": 4}}
    config = templates({"InstanceRequirements": required, "SubnetId": "subnet-0000000a"})
    answer = told(world.start(count=None, slots=2, spot_fleet_config=json.dumps(config)))
    assert answer["annex"]["unit"] == "slot"
    world.sweep()
    assert told(world.show())["started"] == 2


def test_complete_request_is_cancelled_and_its_machines_stay(world: World) -> None:
    world.start(**world.spot_fleet(3))
    world.sweep()
    world.sweep()
    (request,) = world.compute.requests.values()
    assert request.done
    assert len(world.running()) == 3
    assert world.annex().launches[0].closed == "complete"


def test_annex_that_ends_cancels_before_anything_can_start(world: World) -> None:
    world.start(**world.spot_fleet(3))
    world.stop()
    (request,) = world.compute.requests.values()
    assert request.done
    assert world.running() == []
    for _ in range(6):
        world.sweep()
    assert world.running() == []
    assert world.annex().state is AnnexState.TERMINATED
    assert world.compute.templates == set()


def test_annex_waits_for_a_machine_that_came_between_list_and_cancellation(world: World) -> None:
    world.start(**world.spot_fleet(1))
    listed = []

    def watch(point: str) -> None:
        if point == "after compute.instances" and not listed:
            listed.append(point)
            world.clock.tick(20)

    world.faults.watch = watch
    world.stop()
    assert listed
    assert world.annex().state is AnnexState.TERMINATING
    assert len(world.annex().living) == 1
    world.sweep()
    assert world.annex().state is AnnexState.TERMINATED
    assert len(world.annex().ended) == 1


def test_request_whose_answer_was_lost_is_asked_again_by_its_token(world: World) -> None:
    lost = []

    def watch(point: str) -> None:
        if point == "after compute.launch" and not lost:
            lost.append(point)
            raise AwsUnavailable("no answer")

    world.faults.watch = watch
    world.start(**world.spot_fleet(3))
    world.sweep()
    world.sweep()
    assert lost
    assert len(world.compute.requests) == 1
    assert len(world.running()) == 3


def test_request_is_cancelled_though_the_repeat_of_its_call_is_refused(world: World) -> None:
    def lose(point: str) -> None:
        if point == "after compute.launch":
            world.faults.watch = None
            raise AwsUnavailable("no answer")

    world.faults.watch = lose
    world.start(**world.spot_fleet(3))
    (request,) = world.compute.requests.values()
    request.made_at += timedelta(minutes=5)  # so long EC2 finds no capacity
    no = Refusal(RefusalKind.FATAL, "UnauthorizedOperation", "no")
    world.compute.launch = lambda _spec, _attempt: no  # type: ignore[method-assign]
    world.sweep()
    assert request.done
    assert world.annex().state is AnnexState.TERMINATED
    assert "UnauthorizedOperation" in world.annex().reason


def test_grow_behind_a_request_that_goes_on_has_its_own_time(world: World) -> None:
    world.compute.spot_free = {("m7i.large", "us-east-1a"): 1}
    world.start(**world.spot_fleet(3))
    answer = world.grow(count=2)
    assert answer.status == 202
    assert told(answer)["pending_seconds"] == (15 + 5) * 60
    (note,) = told(answer)["notes"]
    assert "an earlier request that still goes on" in note
    assert "at 12:15:00 UTC at the latest" in note
    for _ in range(18):
        world.sweep()
    assert len(world.running()) == 3
    first, second = world.annex().launches
    assert (first.closed, second.closed) == (
        "given up after fifteen minutes: 1 of 3 started",
        "complete",
    )


def test_request_that_comes_after_the_annexs_end_is_cancelled_all_the_same(world: World) -> None:
    def silence(point: str) -> None:
        if point == "before compute.launch":
            raise AwsUnavailable("no answer")

    def stop(point: str) -> None:
        if point == "before compute.launch":
            world.faults.watch = None
            world.stop()

    world.faults.watch = silence
    world.start(**world.spot_fleet(3))
    world.faults.watch = stop
    world.sweep(lifecycle.UNSETTLED_GRACE.total_seconds() + 60)
    (request,) = world.compute.requests.values()
    assert request.done
    assert request.machines == ()
    assert world.annex().state is AnnexState.TERMINATED


def test_user_is_told_what_is_not_as_the_configuration_says(world: World) -> None:
    body = world.body(**world.spot_fleet(3, Type="maintain"))
    for _ in range(2):  # the answer to a repeat is the same
        notes = told(world.post(body))["notes"]
        assert any(note.startswith("Type: 'request'") for note in notes)
        assert "TargetCapacity: 3, the slots asked for, not 5." in notes


def test_refusal_names_the_field_and_costs_nothing(world: World) -> None:
    answer = world.start(**world.spot_fleet(3, InstanceInterruptionBehavior="stop"))
    assert (answer.status, code(answer)) == (400, "BadRequest")
    assert told(answer)["error"]["message"].startswith("InstanceInterruptionBehavior: ")
    assert world.ledger.records == {}


def test_what_ec2_could_not_start_is_told_when_it_is_given_up(world: World) -> None:
    world.compute.spot_refusals["m7i.large"] = Refusal(
        RefusalKind.CAPACITY, "launchSpecUnusable", "The price is too low"
    )
    world.start(**world.spot_fleet(3))
    world.clock.tick(turns.SPOT_FLEET_WINDOW.total_seconds())
    world.sweep()
    world.sweep()
    annex = world.annex()
    assert annex.state is AnnexState.TERMINATED
    assert "The price is too low (launchSpecUnusable)." in annex.reason
    assert "given up after fifteen minutes" in annex.reason.lower()


def test_deployment_without_a_fleet_role_says_what_to_do(world: World) -> None:
    world.set(spot_fleet_role_arn="")
    answer = world.start(**world.spot_fleet(3))
    assert (answer.status, code(answer)) == (503, "NotSetUp")
    assert "annex-client setup" in told(answer)["error"]["message"]


def test_caps_hold_for_machines_that_slots_can_be(world: World) -> None:
    assert world.start(**world.spot_fleet(11)).status == 403
    config = templates({"InstanceType": "m7i.xlarge", "WeightedCapacity": 4})
    assert world.start(count=None, slots=40, spot_fleet_config=json.dumps(config)).status == 202


def test_rehearsal_of_a_fleet_starts_nothing(world: World) -> None:
    answer = world.start(**world.spot_fleet(3, Type="maintain"), dry_run=True)
    assert answer.status == 200
    assert any(note.startswith("Type: ") for note in told(answer)["notes"])
    assert world.compute.requests == {}


def test_launch_is_recorded_whole_and_once_closed_takes_little_room(world: World) -> None:
    world.start(**world.spot_fleet(3))
    (launch,) = world.annex().launches
    assert (launch.spec.road, launch.spec.market) == (Road.SPOT_FLEET, Market.SPOT)
    assert launch.spec.spot_fleet is not None
    world.clock.tick(turns.SPOT_FLEET_WINDOW.total_seconds())
    for _ in range(3):
        world.sweep()
    (launch,) = world.annex().launches
    assert launch.closed
    assert launch.spec.spot_fleet is None


@pytest.mark.parametrize("market", ["on-demand", "spot"])
def test_key_pair_must_be_one_that_the_administrator_allows(world: World, market: str) -> None:
    world.set(key_names=("laptop",))
    assert world.start(key_name="laptop", market=market).status == 201
    refused = world.start("bar", key_name="root", market=market)
    assert refused.status == 400
    assert "key_names: laptop" in told(refused)["error"]["message"]
