"""EC2 Fleets of type instant, as the fake has them and as EC2 (strict) takes them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from chalicelib.ec2_catalog import EC2Catalog
from chalicelib.ec2_compute import EC2Compute
from chalicelib.ids import AnnexId, AnnexName, CallerId, RequestId
from chalicelib.launch import (
    Attempt,
    Launch,
    Launched,
    LaunchSpec,
    Market,
    Place,
    Refusal,
    RefusalKind,
    Requirements,
    Road,
)
from chalicelib.model import Annex
from chalicelib.tags import annex_tags
from tests.fakes.compute import FakeCompute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from chalicelib.ports import Compute
    from tests.account.support import LocalAccount
    from tests.contract.conftest import Account
    from tests.fakes.world import FakeClock

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TYPES = ("m7i.large", "m7i.xlarge")


@dataclass(frozen=True)
class Bench:
    """A compute, and how to take capacity from it: what each (type, zone) has left on spot."""

    compute: Compute
    deployment: str
    places: tuple[Place, ...]
    image_id: str
    profile: str
    group: str
    limit: Callable[[Mapping[tuple[str, str], int]], None]

    def spec(self, **changes: Any) -> LaunchSpec:
        tags = annex_tags(self.deployment, "foo", "annex-1", "alice@pool", NOW)
        plain = LaunchSpec(
            image_id=self.image_id,
            root_device="/dev/xvda",
            root_gib=8,
            places=self.places,
            security_groups=(self.group,),
            instance_profile_arn=self.profile,
            key_name=None,
            tags=tuple(sorted(tags.items())),
            user_data=b"#!/bin/sh\n",
            road=Road.FLEET,
            market=Market.SPOT,
        )
        return replace(plain, **changes)

    def attempt(self, count: int = 2, market: Market = Market.SPOT) -> Attempt:
        return Attempt(f"{self.deployment}-1-0", None, count, NOW, market=market)

    def launched(self, spec: LaunchSpec, attempt: Attempt) -> Launched:
        outcome = self.compute.launch(spec, attempt)
        assert isinstance(outcome, Launched), outcome
        return outcome


@pytest.fixture(params=["fake", "ec2"])
def bench(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Bench]:
    if request.param == "fake":
        fake = FakeCompute(clock, "annex-fake")
        places = tuple(
            Place(one, f"subnet-{zone}", f"us-east-1{zone}", public_address=zone == "a")
            for one in TYPES
            for zone in "ab"
        )
        yield Bench(fake, "annex-fake", places, "ami-1", "arn", "sg-1", fake.spot_free.update)
        return
    account: Account = request.getfixturevalue("account")
    local: LocalAccount = request.getfixturevalue("local_account")
    ec2 = account.client("ec2")
    # Other tests make networks of their own.
    ours = [{"Name": "default-for-az", "Values": ["true"]}]
    found = ec2.describe_subnets(Filters=ours)["Subnets"]
    subnets = {one["AvailabilityZone"]: one for one in found}
    places = tuple(
        Place(one, subnets[zone]["SubnetId"], zone, public_address=zone == "us-east-1a")
        for one in TYPES
        for zone in ("us-east-1a", "us-east-1b")
    )
    group = ec2.create_security_group(
        GroupName=account.name, Description="t", VpcId=subnets["us-east-1a"]["VpcId"]
    )["GroupId"]
    image = next(one for one in ec2.describe_images()["Images"] if one["Architecture"] == "x86_64")
    iam = account.client("iam")
    with suppress(iam.exceptions.InvalidInputException):  # an earlier test made it
        iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")

    def limit(left: Mapping[tuple[str, str], int]) -> None:
        capacity = {f"{zone}/{one}/spot": number for (one, zone), number in left.items()}
        local.press("options", {"capacity": capacity})

    yield Bench(
        EC2Compute(ec2, account.name),
        account.name,
        places,
        image["ImageId"],
        account.profile()[0],
        group,
        limit,
    )
    local.press("options", {"capacity": {}})


def test_fleet_answers_with_spot_machines_that_carry_the_attempts_token(bench: Bench) -> None:
    outcome = bench.launched(bench.spec(), bench.attempt())
    assert (len(outcome.machines), outcome.final) == (2, True)
    assert outcome.fleet_id.startswith("fleet-")
    found = bench.compute.instances(AnnexId("annex-1"))
    assert {one.instance_id for one in found} == {one for one, _ in outcome.machines}
    assert {one.client_token for one in found} == {bench.attempt().client_token}
    assert {one.lifecycle for one in found} == {"spot"}


def test_repeated_fleet_starts_nothing_more(bench: Bench) -> None:
    first = bench.launched(bench.spec(), bench.attempt())
    again = bench.launched(bench.spec(), bench.attempt())
    assert dict(again.machines) == dict(first.machines)
    assert again.fleet_id == first.fleet_id
    assert len(bench.compute.instances()) == 2


def test_machines_count_for_their_weights(bench: Bench) -> None:
    weights = (("m7i.large", 2), ("m7i.xlarge", 4))
    places = tuple(one for one in bench.places if one.instance_type == "m7i.xlarge")
    spec = bench.spec(weights=weights, places=places)
    outcome = bench.launched(spec, bench.attempt(8))
    assert [units for _, units in outcome.machines] == [4, 4]


def test_capacity_elsewhere_is_used(bench: Bench) -> None:
    none = {(one.instance_type, one.zone): 0 for one in bench.places[:3]}
    bench.limit(none)
    outcome = bench.launched(bench.spec(), bench.attempt())
    assert len(outcome.machines) == 2
    (last,) = {one.instance_type for one in bench.compute.instances()}
    assert last == "m7i.xlarge"


def test_no_capacity_is_told_for_each_type_and_zone(bench: Bench) -> None:
    bench.limit({(one.instance_type, one.zone): 0 for one in bench.places})
    outcome = bench.launched(bench.spec(), bench.attempt())
    assert outcome.machines == ()
    assert {no.where for no in outcome.refusals} == {
        f"{one.instance_type} in {one.zone}" for one in bench.places
    }
    assert {no.kind for no in outcome.refusals} == {RefusalKind.CAPACITY}


def test_the_same_launch_goes_on_demand_with_its_next_attempt(bench: Bench) -> None:
    bench.limit({(one.instance_type, one.zone): 0 for one in bench.places})
    spec = bench.spec(fallback=True)
    assert bench.launched(spec, bench.attempt()).machines == ()
    second = replace(bench.attempt(market=Market.ON_DEMAND), client_token=f"{bench.deployment}-1-1")
    outcome = bench.launched(spec, second)
    assert len(outcome.machines) == 2
    (lifecycle,) = {one.lifecycle for one in bench.compute.instances()}
    assert lifecycle == "on-demand"


def test_other_places_of_a_launch_on_demand_are_one_fleet(bench: Bench) -> None:
    """The order of places is that of the request, whatever they cost."""
    places = (bench.places[2], *bench.places[:2])  # a larger type first
    spec = bench.spec(road=Road.RUN_INSTANCES, market=Market.ON_DEMAND, places=places)
    attempt = bench.attempt(market=Market.ON_DEMAND)
    outcome = bench.launched(spec, attempt)
    assert dict(bench.launched(spec, attempt).machines) == dict(outcome.machines)
    found = bench.compute.instances(AnnexId("annex-1"))
    assert {one.instance_id for one in found} == {one for one, _ in outcome.machines}
    assert {(one.instance_type, one.zone, one.lifecycle) for one in found} == {
        (places[0].instance_type, places[0].zone, "on-demand")
    }
    assert {one.client_token for one in found} == {attempt.client_token}
    assert outcome.fleet_id.startswith("fleet-")


def test_one_type_twice_in_a_zone_is_no_fleet(bench: Bench) -> None:
    spec = bench.spec(places=(bench.places[0], bench.places[0]))
    outcome = bench.compute.launch(spec, bench.attempt())
    assert isinstance(outcome, Refusal)
    assert (outcome.kind, outcome.code) == (RefusalKind.FATAL, "InvalidFleetConfig")


def test_rehearsal_starts_nothing(bench: Bench) -> None:
    assert bench.compute.rehearse(bench.spec(), bench.attempt()) is None
    assert bench.compute.instances() == []


def test_nothing_of_a_fleet_stays_behind(bench: Bench, account: Account) -> None:
    outcome = bench.launched(bench.spec(), bench.attempt())
    ended = [one for one, _ in outcome.machines]
    bench.compute.terminate(ended)
    bench.compute.clear(_annex(bench, outcome))
    if not isinstance(bench.compute, EC2Compute):
        return
    ec2 = account.client("ec2")
    tagged = [{"Name": "tag:htcondor:AnnexDeployment", "Values": [bench.deployment]}]
    assert ec2.describe_launch_templates(Filters=tagged)["LaunchTemplates"] == []
    (fleet,) = ec2.describe_fleets(FleetIds=[outcome.fleet_id])["Fleets"]
    assert fleet["FleetState"].startswith("deleted")


def test_annex_of_many_fleets_comes_to_its_end(bench: Bench) -> None:
    outcome = bench.launched(bench.spec(), bench.attempt())
    bench.compute.terminate([one for one, _ in outcome.machines])
    annex = _annex(bench, outcome)
    (launch,) = annex.launches
    more = tuple(
        replace(launch.attempts[0], client_token=f"{number}", fleet_id=f"fleet-{number:032x}")
        for number in range(30)
    )
    bench.compute.clear(replace(annex, launches=(replace(launch, attempts=more),)))


def test_receipt_that_is_gone_keeps_no_annex_from_its_end(
    bench: Bench, account: Account, local_account: LocalAccount
) -> None:
    if not isinstance(bench.compute, EC2Compute):
        return  # the fake asks for no rights
    outcome = bench.launched(bench.spec(), bench.attempt())
    bench.compute.terminate([one for one, _ in outcome.machines])
    tagged = {"StringEquals": {"aws:ResourceTag/htcondor:AnnexDeployment": bench.deployment}}
    user = local_account.user(
        f"{account.name}-fleets",
        {
            "Effect": "Allow",
            "Action": ["ec2:DeleteFleets", "ec2:DeleteLaunchTemplate"],
            "Resource": "*",
            "Condition": tagged,
        },
        {"Effect": "Allow", "Action": "ec2:DescribeLaunchTemplates", "Resource": "*"},
    )
    annex = _annex(bench, outcome)
    (launch,) = annex.launches
    gone = replace(launch.attempts[0], client_token="gone", fleet_id=f"fleet-{0:032x}")
    attempts = (gone, *launch.attempts)
    EC2Compute(local_account.client("ec2", user), bench.deployment).clear(
        replace(annex, launches=(replace(launch, attempts=attempts),))
    )
    (fleet,) = account.client("ec2").describe_fleets(FleetIds=[outcome.fleet_id])["Fleets"]
    assert fleet["FleetState"].startswith("deleted")


def test_template_is_all_that_a_machine_must_be(bench: Bench, account: Account) -> None:
    if not isinstance(bench.compute, EC2Compute):
        return  # the fake has no templates to look into
    outcome = bench.launched(bench.spec(), bench.attempt(1))
    ((instance_id, _),) = outcome.machines
    ec2 = account.client("ec2")
    (shown,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"]
    assert shown["MetadataOptions"]["HttpTokens"] == "required"
    assert shown["IamInstanceProfile"]["Arn"] == bench.profile
    volumes = ec2.describe_volumes(
        Filters=[{"Name": "attachment.instance-id", "Values": [instance_id]}]
    )["Volumes"]
    assert all(volume["Encrypted"] for volume in volumes)
    data = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
    assert data["UserData"]["Value"]


def test_forbidden_fleet_is_a_refusal(bench: Bench) -> None:
    if not isinstance(bench.compute, EC2Compute):
        return
    outcome = bench.compute.launch(
        bench.spec(security_groups=("sg-0123456789abcdef0",)), bench.attempt()
    )
    no = outcome.refusals[0] if isinstance(outcome, Launched) else outcome
    assert isinstance(no, Refusal)
    assert no.kind is RefusalKind.FATAL


def test_types_are_found_by_what_they_have(account: Account) -> None:
    catalog = EC2Catalog(account.client("ec2"), account.client("ssm"))
    found = catalog.types_with(Requirements((2, 2), (8192, 8192)), "x86_64")
    assert "m7i.large" in found
    assert not {"m7i.xlarge", "m7g.large", "t3.large"} & set(found)
    assert {kind.vcpus for kind in catalog.types(found).values()} == {2}


def _annex(bench: Bench, outcome: Launched) -> Annex:
    attempt = replace(
        bench.attempt(), settled=True, fleet_id=outcome.fleet_id, started=(outcome.machines[0][0],)
    )
    return Annex(
        annex_id=AnnexId("annex-1"),
        name=AnnexName("foo"),
        caller=CallerId("AIDA"),
        identity="alice@pool",
        created_at=NOW,
        lease_expires_at=NOW,
        idle_seconds=900,
        retire_seconds=300,
        config_key="config/x.json",
        launches=(Launch(RequestId("r"), 1, 2, NOW, bench.spec(), attempts=(attempt,)),),
    )
