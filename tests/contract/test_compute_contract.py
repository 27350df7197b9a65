"""What EC2 promises, and what the fake promises in its stead."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.stub import Stubber

from chalicelib.ec2_compute import EC2Compute
from chalicelib.ec2_request import run_instances_request
from chalicelib.errors import AwsUnavailable
from chalicelib.ids import AnnexId, InstanceId
from chalicelib.launch import Attempt, LaunchSpec, Place, Refusal, RefusalKind
from chalicelib.model import Instance, InstanceState
from chalicelib.tags import annex_tags
from tests.account.support import eventually
from tests.fakes.compute import FakeCompute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chalicelib.ports import Compute
    from tests.contract.conftest import Account
    from tests.fakes.world import FakeClock

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Bench:
    """A compute, and a launch that it takes."""

    compute: Compute
    deployment: str
    place: Place
    image_id: str
    profile: str
    group: str

    def spec(self, annex_id: str = "annex-1", name: str = "foo") -> LaunchSpec:
        tags = annex_tags(self.deployment, name, annex_id, "alice@pool", NOW)
        return LaunchSpec(
            image_id=self.image_id,
            root_device="/dev/xvda",
            root_gib=8,
            places=(self.place,),
            security_groups=(self.group,),
            instance_profile_arn=self.profile,
            key_name=None,
            tags=tuple(sorted(tags.items())),
            user_data=b"#!/bin/sh\n",
        )

    def attempt(self, token: str, count: int = 1) -> Attempt:
        # An account that honours client tokens remembers those of other tests.
        return Attempt(f"{self.deployment}-{token}", self.place, count, NOW)

    def launch(self, token: str, annex_id: str = "annex-1", count: int = 1) -> list[InstanceId]:
        outcome = self.compute.launch(self.spec(annex_id), self.attempt(token, count))
        assert not isinstance(outcome, Refusal), outcome
        return [instance_id for instance_id, _ in outcome.machines]

    def one(self, instance_id: InstanceId) -> Instance:
        found = self.compute.instance(instance_id)
        assert found is not None
        return found


def _ec2_bench(account: Account) -> Bench:
    ec2 = account.client("ec2")
    subnet = next(
        one for one in ec2.describe_subnets()["Subnets"] if one["AvailabilityZone"] == "us-east-1a"
    )
    group = ec2.create_security_group(
        GroupName=account.name, Description="test", VpcId=subnet["VpcId"]
    )["GroupId"]
    image = next(one for one in ec2.describe_images()["Images"] if one["Architecture"] == "x86_64")
    return Bench(
        EC2Compute(ec2, account.name),
        account.name,
        Place("m7i.large", subnet["SubnetId"], "us-east-1a", public_address=True),
        image["ImageId"],
        account.profile()[0],
        group,
    )


@pytest.fixture(params=["fake", "ec2"])
def bench(request: pytest.FixtureRequest, clock: FakeClock) -> Bench:
    if request.param == "fake":
        place = Place("m7i.large", "subnet-1", "us-east-1a", public_address=True)
        compute = FakeCompute(clock, "annex-fake")
        return Bench(compute, "annex-fake", place, "ami-1", "arn", "sg-1")
    return _ec2_bench(request.getfixturevalue("account"))


def test_launched_machine_is_found_with_all_it_was_given(bench: Bench) -> None:
    (instance_id,) = bench.launch("token-1")
    (found,) = bench.compute.instances(AnnexId("annex-1"))
    assert found.instance_id == instance_id
    assert found.annex_id == "annex-1"
    assert found.client_token == f"{bench.deployment}-token-1"
    assert found.lease_tag == NOW
    assert found.instance_type == "m7i.large"
    assert found.zone == "us-east-1a"
    assert found.lifecycle == "on-demand"
    assert found.launched_at.tzinfo is not None
    assert found.state in (InstanceState.PENDING, InstanceState.RUNNING)
    assert found.private_dns_name


def test_machines_are_found_by_exact_annex_id(bench: Bench) -> None:
    bench.launch("token-1", "annex-1")
    bench.launch("token-2", "annex-12")
    assert [one.annex_id for one in bench.compute.instances(AnnexId("annex-1"))] == ["annex-1"]
    assert len(bench.compute.instances()) == 2
    assert bench.compute.instances(AnnexId("annex-")) == []


def test_ended_machine_is_shown_as_ended(bench: Bench, clock: FakeClock) -> None:
    (instance_id,) = bench.launch("token-1")
    assert bench.compute.terminate([instance_id]) == {}
    assert not bench.one(instance_id).state.is_endable
    clock.tick(60)
    eventually(lambda: bench.one(instance_id).state is InstanceState.TERMINATED)


def test_same_call_twice_starts_nothing_more(bench: Bench) -> None:
    """EC2 API Reference, 'Ensuring idempotency in Amazon EC2 API requests'."""
    first = bench.launch("token-1", count=2)
    assert bench.launch("token-1", count=2) == first
    assert len(bench.compute.instances()) == 2


def test_same_token_for_another_request_is_spent(bench: Bench) -> None:
    bench.launch("token-1")
    outcome = bench.compute.launch(bench.spec(name="bar"), bench.attempt("token-1"))
    assert isinstance(outcome, Refusal)
    assert outcome.kind is RefusalKind.SPENT
    assert len(bench.compute.instances()) == 1


def test_token_whose_machines_were_ended_is_spent(bench: Bench) -> None:
    (instance_id,) = bench.launch("token-1")
    bench.compute.terminate([instance_id])
    outcome = bench.compute.launch(bench.spec(), bench.attempt("token-1"))
    assert isinstance(outcome, Refusal)
    assert outcome.kind is RefusalKind.SPENT
    assert len(bench.compute.instances()) == 1


def test_ending_twice_is_ending_once(bench: Bench) -> None:
    (instance_id,) = bench.launch("token-1")
    bench.compute.terminate([instance_id])
    assert bench.compute.terminate([instance_id]) == {}


def test_id_that_does_not_exist_keeps_no_machine_alive(bench: Bench) -> None:
    ids = [*bench.launch("token-1"), *bench.launch("token-2")]
    unknown = InstanceId("i-0123456789abcdef0")
    assert bench.compute.terminate([ids[0], unknown, ids[1]]) == {}
    assert not any(one.state.is_endable for one in bench.compute.instances())


def test_lease_tag_is_moved(bench: Bench) -> None:
    (instance_id,) = bench.launch("token-1")
    later = NOW + timedelta(hours=2)
    bench.compute.tag_lease([instance_id], later)
    assert bench.one(instance_id).lease_tag == later


def test_lease_tag_of_a_machine_that_is_gone_is_no_error(bench: Bench) -> None:
    (instance_id,) = bench.launch("token-1")
    later = NOW + timedelta(hours=2)
    bench.compute.tag_lease([InstanceId("i-0123456789abcdef0"), instance_id], later)
    assert bench.one(instance_id).lease_tag == later


def test_rehearsal_starts_nothing(bench: Bench) -> None:
    assert bench.compute.rehearse(bench.spec(), bench.attempt("token-1")) is None
    assert bench.compute.instances() == []


def test_unknown_machine_is_none(bench: Bench) -> None:
    assert bench.compute.instance(InstanceId("i-0123456789abcdef0")) is None


def test_machine_is_found_by_its_id_whatever_else_is_asked_for(bench: Bench) -> None:
    (one,), (two,) = bench.launch("token-1"), bench.launch("token-2", "annex-2")
    unknown = InstanceId("i-0123456789abcdef0")
    found = bench.compute.by_id([one, unknown, two])
    assert {each.instance_id for each in found} == {one, two}
    assert bench.compute.by_id([unknown]) == []
    assert bench.compute.by_id([]) == []


def test_machine_is_found_by_its_id_though_it_has_no_tag(account: Account) -> None:
    bench = _ec2_bench(account)
    (instance_id,) = bench.launch("token-1")
    tags = [{"Key": key} for key, _ in bench.spec().tags]
    account.client("ec2").delete_tags(Resources=[instance_id], Tags=tags)
    assert bench.compute.instances() == []
    assert [one.instance_id for one in bench.compute.by_id([instance_id])] == [instance_id]


# What only the adapter does: the request, and EC2's many ways to say no


def test_request_asks_for_everything_a_machine_must_be() -> None:
    place = Place("m7i.large", "subnet-1", "us-east-1a", public_address=False)
    bench = Bench(FakeCompute, "d", place, "ami-1", "arn:profile", "sg-1")  # type: ignore[arg-type]
    request = run_instances_request(bench.spec(), bench.attempt("token-1", 3))
    assert request["ClientToken"] == "d-token-1"
    assert (request["MinCount"], request["MaxCount"]) == (1, 3)
    assert request["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert request["MetadataOptions"] == {
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
        "HttpEndpoint": "enabled",
        "InstanceMetadataTags": "enabled",
    }
    (disk,) = request["BlockDeviceMappings"]
    assert disk["Ebs"]["Encrypted"] is True
    assert disk["Ebs"]["DeleteOnTermination"] is True
    (network,) = request["NetworkInterfaces"]
    assert network["AssociatePublicIpAddress"] is False
    assert network["Groups"] == ["sg-1"]
    assert {one["ResourceType"] for one in request["TagSpecifications"]} == {"instance", "volume"}
    assert "KeyName" not in request
    keyed = run_instances_request(replace(bench.spec(), key_name="mine"), bench.attempt("t"))
    assert keyed["KeyName"] == "mine"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("InsufficientInstanceCapacity", RefusalKind.CAPACITY),
        ("InsufficientFreeAddressesInSubnet", RefusalKind.CAPACITY),
        ("Unsupported", RefusalKind.CAPACITY),
        ("VcpuLimitExceeded", RefusalKind.QUOTA),
        ("InstanceLimitExceeded", RefusalKind.QUOTA),
        ("MaxSpotInstanceCountExceeded", RefusalKind.QUOTA),
        ("UnauthorizedOperation", RefusalKind.FATAL),
        ("AuthFailure.ServiceLinkedRoleCreationNotPermitted", RefusalKind.FATAL),
        ("InvalidKeyPair.NotFound", RefusalKind.FATAL),
        ("OptInRequired", RefusalKind.FATAL),
        ("IdempotentParameterMismatch", RefusalKind.SPENT),
        ("IdempotentInstanceTerminated", RefusalKind.SPENT),
    ],
)
def test_each_refusal_is_sorted_by_how_far_it_reaches(
    account: Account, code: str, kind: RefusalKind
) -> None:
    outcome = _launched(account, code, 400)
    assert isinstance(outcome, Refusal)
    assert (outcome.kind, outcome.code) == (kind, code)


@pytest.mark.parametrize(
    ("code", "status"),
    [("InternalError", 500), ("RequestLimitExceeded", 503), ("Unavailable", 503), ("Odd", 500)],
)
def test_unclear_answers_leave_the_outcome_open(account: Account, code: str, status: int) -> None:
    with pytest.raises(AwsUnavailable):
        _launched(account, code, status)


def test_capacity_is_a_refusal_though_ec2_says_500(account: Account) -> None:
    assert isinstance(_launched(account, "InsufficientInstanceCapacity", 500), Refusal)


def test_encoded_authorization_messages_are_not_passed_on(account: Account) -> None:
    outcome = _launched(
        account,
        "UnauthorizedOperation",
        403,
        "You are not authorized. Encoded authorization failure message: abcdef012345",
    )
    assert isinstance(outcome, Refusal)
    assert outcome.message == "You are not authorized"


def _launched(account: Account, code: str, status: int, message: str = "no") -> Any:
    ec2 = account.client("ec2")
    place = Place("m7i.large", "subnet-1", "us-east-1a", public_address=True)
    bench = Bench(EC2Compute(ec2, "d"), "d", place, "ami-1", "arn:aws:iam::1:x", "sg-1")
    with Stubber(ec2) as stub:
        stub.add_client_error("run_instances", code, message, status)
        return bench.compute.launch(bench.spec(), bench.attempt("t"))


class Ec2:
    """TerminateInstances as EC2 has it: one bad id, and nothing ends."""

    def __init__(self, bad: Mapping[InstanceId, str], *, named: bool) -> None:
        self.bad = bad
        self.named = named
        self.ended: set[str] = set()
        self.calls = 0

    def terminate_instances(self, InstanceIds: list[InstanceId]) -> None:  # noqa: N803  boto3's name
        self.calls += 1
        for one in InstanceIds:
            if one in self.bad:
                message = f"The instance '{one}' may not be ended" if self.named else "Not today"
                error: Any = {"Error": {"Code": self.bad[one], "Message": message}}
                raise ClientError(error, "TerminateInstances")
        self.ended |= set(InstanceIds)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("code", ["OperationNotPermitted", "InvalidInstanceID.NotFound"])
def test_bad_ids_keep_no_other_machine_alive(*, named: bool, code: str) -> None:
    ids = [InstanceId(f"i-{number:017x}") for number in range(500)]
    bad = {ids[3]: code, ids[250]: code, ids[251]: code}
    ec2 = Ec2(bad, named=named)
    refused = EC2Compute(ec2, "d").terminate(ids)  # type: ignore[arg-type]
    assert ec2.ended == set(ids) - set(bad)
    assert set(refused) == (set() if code.startswith("Invalid") else set(bad))
    assert ec2.calls < 60


def test_throttled_batch_keeps_no_other_batch_from_its_turn() -> None:
    ids = [InstanceId(f"i-{number:017x}") for number in range(500)]

    class Throttled(Ec2):
        def terminate_instances(self, InstanceIds: list[InstanceId]) -> None:  # noqa: N803
            if ids[0] in InstanceIds:
                raise ReadTimeoutError(endpoint_url="ec2")
            super().terminate_instances(InstanceIds)

    ec2 = Throttled({}, named=True)
    refused = EC2Compute(ec2, "d").terminate(ids)  # type: ignore[arg-type]
    assert set(refused) == set(ids[:200])
    assert ec2.ended == set(ids[200:])


def test_more_than_a_page_of_machines_is_listed(account: Account) -> None:
    bench = _ec2_bench(account)
    ec2 = account.client("ec2")
    for number in range(12):
        bench.launch(f"token-{number}")
    pages = ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 5})
    assert sum(1 for _ in pages) > 1  # the account does page
    assert len(bench.compute.instances()) == 12
