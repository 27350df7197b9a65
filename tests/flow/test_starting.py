"""POST /annexes, without grow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chalicelib.errors import AwsUnavailable
from chalicelib.launch import Market, Refusal, RefusalKind
from chalicelib.model import AnnexState, Subnet
from tests.fakes.world import BOB, code, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.world import World


def test_start_gives_the_machines_asked_for(world: World) -> None:
    answer = world.start(count=3)
    assert answer.status == 201
    body = told(answer)
    assert (body["asked"], body["started"], body["pending"]) == (3, 3, False)
    assert body["annex"]["state"] == "active"
    assert len(body["annex"]["instances"]) == 3
    assert len(world.running()) == 3


def test_order_is_record_then_configuration_then_attempt_then_ec2(world: World) -> None:
    world.start()
    order = [one for one in world.faults.points if one.startswith("before")]
    writes = [
        one.removeprefix("before ")
        for one in order
        if one.split(".")[1] in ("create", "save", "write", "launch")
    ]
    assert writes[:5] == [
        "ledger.create",
        "configs.write",
        "ledger.save",
        "ledger.save",
        "compute.launch",
    ]


def test_whole_request_is_in_the_ledger_before_the_call(world: World) -> None:
    seen = []

    def watch(point: str) -> None:
        if point == "before compute.launch":
            launch = world.annex().launches[0]
            seen.append((launch.spec.user_data, launch.attempts[-1].client_token))

    world.faults.watch = watch
    world.start()
    assert seen
    assert seen[0][0]
    assert seen[0][1].startswith(world.annex().annex_id)


def test_every_machine_carries_the_tags(world: World) -> None:
    world.start(tags={"project": "stars"})
    annex = world.annex()
    machine = world.compute.machines[world.running()[0]]
    assert machine.tags == {
        "htcondor:AnnexName": "foo",
        "htcondor:AnnexId": annex.annex_id,
        "htcondor:AnnexOwner": "alice@pool.example",
        "htcondor:AnnexDeployment": "htcondor-annex",
        "htcondor:LeaseExpiration": "2026-11-24T13:00:00Z",
        "Name": "annex foo",
        "project": "stars",
    }


def test_configuration_is_found_only_by_its_secret_key(world: World) -> None:
    world.start(admin=None)
    annex = world.annex()
    assert annex.config_key.startswith("config/")
    assert len(annex.config_key) == len("config/") + 32 + len(".json")
    assert annex.annex_id not in annex.config_key
    configuration = world.configuration()
    assert configuration is not None
    assert configuration.token == "the-annex-token"
    assert configuration.owners == ("alice@pool.example",)


def test_no_secret_reaches_ledger_log_tags_or_user_data(world: World) -> None:
    key = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I="
    admin = {"key_name": "annex-foo-admin", "identity": "admin@foo.annex", "key": key}
    answer = world.start(admin=admin)
    assert answer.status == 201
    everything = repr(
        (world.ledger.records, world.journal.lines, world.compute.machines, answer.body)
    )
    assert "the-annex-token" not in everything
    assert key not in everything
    assert "the-annex-token" not in repr(world.configuration())
    assert world.annex().config_key not in repr(world.journal.lines)


def test_same_request_twice_gets_the_first_answer_and_no_second_machine(world: World) -> None:
    body = world.body()
    first, second = world.post(body), world.post({**body, "token": "fetched-anew"})
    assert (first.status, second.status) == (201, 201)
    assert told(first)["annex"]["annex_id"] == told(second)["annex"]["annex_id"]
    assert len(world.running()) == 2


def test_same_request_id_for_something_else_is_refused(world: World) -> None:
    body = world.body()
    world.post(body)
    answer = world.post({**body, "count": 3})
    assert (answer.status, code(answer)) == (409, "RequestMismatch")
    assert len(world.running()) == 2


def test_request_repeated_after_its_annex_ended_starts_nothing(world: World) -> None:
    body = world.body()
    world.post(body)
    world.stop()
    world.sweep()
    assert world.annex().state is AnnexState.TERMINATED
    world.post(body)
    assert world.compute.running() == []


def test_taken_name_is_refused_and_nothing_else_is_told(world: World) -> None:
    world.start()
    answer = world.start(caller=BOB)
    assert (answer.status, code(answer)) == (409, "NameTaken")
    assert "alice" not in answer.body.decode()
    assert "machine" not in answer.body.decode()


def test_own_live_name_asks_for_grow(world: World) -> None:
    world.start()
    answer = world.start()
    assert (answer.status, code(answer)) == (409, "AlreadyThere")
    assert len(world.running()) == 2


def test_name_of_an_ending_annex_is_not_free_yet(world: World) -> None:
    world.start()
    world.stop()
    answer = world.start()
    assert code(answer) == "AnnexEnding"


def test_name_is_free_after_the_end(world: World) -> None:
    world.start()
    before = world.annex().annex_id
    world.stop()
    world.sweep()
    assert world.start(caller=BOB).status == 201
    assert world.annex().annex_id != before


def test_partial_capacity_is_told_by_type_and_zone(world: World) -> None:
    world.compute.free = {("m7i.large", "us-east-1a"): 1, ("m7i.large", "us-east-1b"): 1}
    answer = world.start(count=5)
    body = told(answer)
    assert answer.status == 201
    assert (body["asked"], body["started"]) == (5, 2)
    assert any("EC2 gave 1 of 5" in note for note in body["notes"])
    assert any("2 of 5 started" in note for note in body["notes"])


def test_other_zones_then_other_types_are_asked_for_in_one_call(world: World) -> None:
    world.compute.free = {("m7i.large", "us-east-1a"): 0, ("m7i.large", "us-east-1b"): 1}
    answer = world.start(count=2, instance_types=["m7i.large", "m7i.xlarge"])
    assert told(answer)["started"] == 2
    first, others = world.annex().attempts
    assert (first.place.instance_type, first.place.zone) == ("m7i.large", "us-east-1a")
    assert (others.place, others.market, others.got) == (None, Market.ON_DEMAND, 2)
    assert first.client_token != others.client_token
    places = {(one.instance_type, one.zone) for one in world.compute.running()}
    assert places == {("m7i.large", "us-east-1b"), ("m7i.xlarge", "us-east-1a")}


def test_room_in_the_first_place_takes_one_call_and_leaves_machines_alone(world: World) -> None:
    world.start(count=2, instance_types=["m7i.large", "m7i.xlarge"])
    (attempt,) = world.annex().attempts
    assert attempt.place is not None
    assert not world.compute.templates


def test_subnets_of_one_zone_are_never_in_one_fleet(world: World) -> None:
    """EC2 refuses such a fleet; the second subnet's addresses may be what is left."""
    for subnet in ("subnet-0000000d", "subnet-0000000e"):
        world.catalog.networks[subnet] = Subnet(subnet, "us-east-1d", "public")
    world.set(subnets=("subnet-0000000a", "subnet-0000000d", "subnet-0000000e"))
    world.compute.free = {("m7i.large", "us-east-1a"): 0, ("m7i.large", "us-east-1d"): 0}
    answer = world.start()
    assert (answer.status, code(answer)) == (409, "NoCapacity")
    assert len(world.annex().attempts) == 3
    assert "InvalidFleetConfig" not in told(answer)["error"]["message"]


@pytest.mark.parametrize("market", ["on-demand", "spot"])
def test_more_places_than_a_fleet_takes_are_refused_before_anything_is_recorded(
    world: World, market: str
) -> None:
    types = [f"m{number}i.large" for number in range(20)]
    zones = [f"subnet-{number:08x}" for number in range(16)]
    world.catalog.known = dict.fromkeys(types, frozenset({"x86_64"}))
    for number, subnet in enumerate(zones):
        world.catalog.networks[subnet] = Subnet(subnet, f"us-east-1-zone-{number}", "public")
    answer = world.start(instance_types=types, subnets=zones, market=market)
    assert (answer.status, code(answer)) == (400, "BadRequest")
    assert "20 instance types in 16 zones are 320 places" in told(answer)["error"]["message"]
    assert world.ledger.records == {}
    assert world.start(instance_types=types, subnets=zones[:15], market=market).status == 201


def test_no_capacity_at_all_leaves_nothing(world: World) -> None:
    world.compute.free = {("m7i.large", "us-east-1a"): 0, ("m7i.large", "us-east-1b"): 0}
    answer = world.start()
    assert (answer.status, code(answer)) == (409, "NoCapacity")
    assert "us-east-1a" in told(answer)["error"]["message"]
    assert world.annex().state is AnnexState.TERMINATED
    assert world.configs.objects == {}
    assert world.compute.machines == {}
    assert world.start(name="foo", instance_types=["m7i.xlarge"]).status == 201


def test_quota_is_named_and_other_zones_are_not_asked(world: World) -> None:
    world.compute.refusals["m7i.large"] = Refusal(
        RefusalKind.QUOTA, "VcpuLimitExceeded", "You have requested more vCPU capacity"
    )
    answer = world.start()
    assert (answer.status, code(answer)) == (409, "QuotaExceeded")
    assert "VcpuLimitExceeded" in told(answer)["error"]["message"]
    assert len(world.annex().attempts) == 1


@pytest.mark.parametrize(
    ("ec2", "ours"),
    [
        ("UnauthorizedOperation", "Forbidden"),
        ("OptInRequired", "Forbidden"),
        ("InvalidKeyPair.NotFound", "BadRequest"),
    ],
)
def test_fatal_refusal_ends_the_launch_at_once(world: World, ec2: str, ours: str) -> None:
    world.compute.refusals["m7i.large"] = Refusal(RefusalKind.FATAL, ec2, "no")
    assert code(world.start()) == ours
    assert len(world.annex().attempts) == 1
    assert world.annex().state is AnnexState.TERMINATED


def test_unanswered_call_is_repeated_with_its_token_by_the_sweep(world: World) -> None:
    world.faults.watch = _no_answer("after compute.launch")
    answer = world.start()
    assert answer.status == 202
    assert told(answer)["pending"] is True
    world.faults.disarm()
    world.sweep()
    assert len(world.running()) == 2
    assert world.annex().state is AnnexState.ACTIVE
    assert world.annex().launches[0].closed == "complete"


def test_launch_is_given_up_after_five_minutes_and_says_so(world: World) -> None:
    world.faults.watch = _no_answer("before compute.launch")
    world.start()
    for _ in range(12):
        world.sweep()
    annex = world.annex()
    assert annex.state is AnnexState.TERMINATED
    assert "given up after five minutes" in annex.launches[0].closed.lower()
    assert "given up" in told(world.show())["reason"].lower()


def test_configuration_written_after_the_annex_was_finished_is_deleted_again(
    world: World,
) -> None:
    """The request was so slow that the sweep took it for dead, and ended the annex meanwhile."""
    slept: list[int] = []

    def watch(point: str) -> None:
        if point == "before configs.write" and not slept:
            slept.append(1)
            world.sweep(120)
            assert world.annex().state is AnnexState.TERMINATED

    world.faults.watch = watch
    assert code(world.start()) == "AnnexEnding"
    assert world.configs.objects == {}
    assert world.compute.machines == {}


def test_stop_between_decision_and_attempt_launches_nothing(world: World) -> None:
    stopped: list[int] = []

    def watch(point: str) -> None:
        if point == "before ledger.save" and world.annex().written_generation and not stopped:
            stopped.append(1)
            world.stop()

    world.faults.watch = watch
    assert code(world.start()) == "AnnexEnding"
    assert world.compute.machines == {}


def test_pool_out_of_reach_is_a_note_and_no_refusal(world: World) -> None:
    world.reach.notes = ["cm.pool.example port 9618 cannot be reached from AWS."]
    answer = world.start()
    assert answer.status == 201
    assert world.reach.notes[0] in told(answer)["notes"]


def test_dry_run_writes_and_starts_nothing(world: World) -> None:
    answer = world.start(dry_run=True)
    assert answer.status == 200
    assert told(answer)["started"] == 0
    assert world.ledger.records == {}
    assert world.ledger.requests == {}
    assert world.compute.machines == {}


def test_dry_run_tells_what_ec2_would_refuse(world: World) -> None:
    world.compute.refusals["m7i.large"] = Refusal(RefusalKind.QUOTA, "VcpuLimitExceeded", "no")
    assert code(world.start(dry_run=True)) == "QuotaExceeded"


def test_two_starts_of_one_owner_at_once_cannot_both_pass_the_cap(world: World) -> None:
    world.set(max_instances_per_owner=3)
    raced: list[int] = []

    def watch(point: str) -> None:
        if point == "after ledger.annexes" and not raced:
            raced.append(1)
            world.start(name="second", count=2)

    world.faults.watch = watch
    answer = world.start(name="first", count=2)
    assert (answer.status, code(answer)) == (403, "CapExceeded")
    assert len(world.compute.running()) == 2


def test_two_people_starting_one_name_at_once_get_one_annex(world: World) -> None:
    raced: list[int] = []

    def watch(point: str) -> None:
        if point == "before ledger.create" and not raced:
            raced.append(1)
            assert world.start(caller=BOB).status == 201

    world.faults.watch = watch
    assert code(world.start()) == "NameTaken"
    assert len(world.compute.running()) == 2


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [
        ({"name": "-x"}, 400, "name"),
        ({"name": "a" * 65}, 400, "name"),
        ({"count": 0}, 400, "count"),
        ({"count": 1_000_000}, 400, "count"),
        ({"count": 11}, 403, "max_instances_per_annex"),
        ({"duration_seconds": -1}, 400, "duration_seconds"),
        ({"duration_seconds": 90000}, 403, "max_lease_seconds"),
        ({"duration_seconds": None}, 400, "duration_seconds"),
        ({"idle_seconds": 4000}, 400, "idle"),
        ({"instance_types": ["m9.huge"]}, 400, "m9.huge"),
        ({"instance_types": ["m*"]}, 400, "m*"),
        ({"instance_types": ["m7i.large", "m7g.large"]}, 400, "architecture"),
        ({"ami_id": "ami-0123456789abcdef9"}, 400, "ami-0123456789abcdef9"),
        ({"ami_id": "ami-0123456789abcdef1"}, 400, "arm64"),
        ({"subnets": ["subnet-0000000c"]}, 400, "subnet-0000000c"),
        ({"subnets": ["subnet-0000000d"]}, 400, "subnet-0000000d"),
        ({"tags": {"a b": "c"}}, 400, "a b"),
        ({"tags": {"htcondor:AnnexId": "x"}}, 400, "htcondor:AnnexId"),
        ({"tags": {"aws:x": "x"}}, 400, "aws:x"),
        ({"config_files": {"a.config": "x" * 300_000}}, 400, "256 KiB"),
        ({"config_files": {"../a": "x"}}, 400, "../a"),
        ({"user_data": "no base64!"}, 400, "base64"),
        ({"surprise": 1}, 400, "surprise"),
        ({"pool": None}, 400, "pool"),
        ({"request_id": "x"}, 400, "request_id"),
    ],
)
def test_bad_input_is_a_sentence_and_costs_nothing(
    world: World, changes: dict[str, Any], status: int, word: str
) -> None:
    answer = world.start(**changes)
    assert answer.status == status
    error = told(answer)["error"]
    assert word in error["message"]
    assert "the-annex-token" not in error["message"]
    assert world.ledger.records == {}
    assert world.compute.machines == {}
    assert world.configs.objects == {}


def test_unsigned_request_is_refused(world: World) -> None:
    answer = world.start(caller="")
    assert (answer.status, code(answer)) == (403, "Forbidden")


def test_every_refusal_names_annex_and_request(world: World) -> None:
    world.start()
    body = world.body()
    error = told(world.post(body))["error"]
    assert (error["annex"], error["request_id"]) == ("foo", body["request_id"])


def test_public_address_only_where_the_way_out_is_an_internet_gateway(world: World) -> None:
    world.start()
    places = world.annex().attempts[0].place
    assert places.public_address is True
    world.start(name="bar", subnets=["subnet-0000000b"])
    assert world.annex("bar").attempts[0].place.public_address is False


def _no_answer(where: str) -> Callable[[str], None]:
    def watch(point: str) -> None:
        if point == where:
            raise AwsUnavailable("no answer")

    return watch
