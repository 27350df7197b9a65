"""What EC2 shows of fleets, requests, templates and volumes, and how it lets go of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber

from chalicelib.ec2_leftovers import EC2Leftovers
from chalicelib.errors import AwsUnavailable, Forbidden
from chalicelib.ids import AnnexId
from chalicelib.model import Leftover, LeftoverKind
from chalicelib.tags import annex_tags
from local.iam.policy import Need, allows
from tests.fakes.leftovers import IN_EC2, FakeLeftovers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chalicelib.ports import Leftovers
    from tests.account.support import LocalAccount
    from tests.contract.conftest import Account
    from tests.fakes.world import FakeClock

LEASE_END = datetime(2026, 11, 24, 12, tzinfo=UTC)
kinds = pytest.mark.parametrize("kind", IN_EC2)
# Ids as EC2 makes them, of things that are not there.
UNKNOWN = {
    LeftoverKind.SPOT_FLEET: "sfr-00000000-0000-0000-0000-000000000000",
    LeftoverKind.FLEET: "fleet-00000000-0000-0000-0000-000000000000",
    LeftoverKind.SPOT_REQUEST: "sir-00000000",
    LeftoverKind.TEMPLATE: "lt-00000000000000000",
    LeftoverKind.VOLUME: "vol-00000000000000000",
}


@dataclass(frozen=True)
class FakeMaker:
    """Makes things in memory; those of others are not shown at all."""

    port: FakeLeftovers
    deployment: str = "d"

    def make(self, kind: LeftoverKind, tags: Mapping[str, str]) -> str:
        if tags.get("htcondor:AnnexDeployment") != self.deployment:
            return "foreign"
        return self.port.make(kind, tags)


@dataclass(frozen=True)
class Ec2Maker:
    """Makes things in EC2."""

    port: Leftovers
    account: Account

    @property
    def deployment(self) -> str:
        return self.account.name

    def make(self, kind: LeftoverKind, tags: Mapping[str, str]) -> str:
        make = self.template if kind is LeftoverKind.TEMPLATE else self.volume
        return make(self.account.client("ec2"), tags)

    def template(self, ec2: Any, tags: Mapping[str, str]) -> str:
        number = len(ec2.describe_launch_templates(MaxResults=200)["LaunchTemplates"])
        made = ec2.create_launch_template(
            LaunchTemplateName=f"{self.deployment}-{number}",
            LaunchTemplateData={"ImageId": self._image(ec2), "InstanceType": "m7i.large"},
            TagSpecifications=_specification("launch-template", tags),
        )
        return str(made["LaunchTemplate"]["LaunchTemplateId"])

    def volume(self, ec2: Any, tags: Mapping[str, str]) -> str:
        made = ec2.create_volume(
            AvailabilityZone="us-east-1a", Size=1, TagSpecifications=_specification("volume", tags)
        )
        return str(made["VolumeId"])

    @staticmethod
    def _image(ec2: Any) -> str:
        images = ec2.describe_images()["Images"]
        return str(next(one["ImageId"] for one in images if one["Architecture"] == "x86_64"))


def _specification(kind: str, tags: Mapping[str, str]) -> list[dict[str, Any]]:
    if not tags:
        return []
    pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
    return [{"ResourceType": kind, "Tags": pairs}]


# The local account's own fleets and requests are not EC2's in every field: those are asked of EC2's
# answers below.
REAL = (LeftoverKind.TEMPLATE, LeftoverKind.VOLUME)
SIDES = [("fake", one) for one in IN_EC2] + [("ec2", one) for one in REAL]
sides = pytest.mark.parametrize(("side", "kind"), SIDES)


@pytest.fixture
def maker(request: pytest.FixtureRequest, side: str, clock: FakeClock) -> FakeMaker | Ec2Maker:
    if side == "fake":
        return FakeMaker(FakeLeftovers(clock))
    account: Account = request.getfixturevalue("account")
    return Ec2Maker(EC2Leftovers(account.client("ec2"), account.name), account)


def tags_of(maker: FakeMaker | Ec2Maker, annex_id: str = "annex-1") -> dict[str, str]:
    return annex_tags(maker.deployment, "foo", annex_id, "alice@pool", LEASE_END)


@sides
def test_thing_is_found_with_what_its_tags_say(
    maker: FakeMaker | Ec2Maker, kind: LeftoverKind
) -> None:
    made = maker.make(kind, tags_of(maker))
    (found,) = maker.port.found(kind)
    assert (found.kind, found.resource_id) == (kind, made)
    assert (found.annex_id, found.lease_tag) == ("annex-1", LEASE_END)
    assert found.made_at.tzinfo is not None


@sides
def test_things_of_others_are_not_found(maker: FakeMaker | Ec2Maker, kind: LeftoverKind) -> None:
    maker.make(kind, {"Name": "theirs"})
    maker.make(kind, {**tags_of(maker), "htcondor:AnnexDeployment": f"{maker.deployment}-2"})
    assert maker.port.found(kind) == []


@sides
def test_removed_thing_is_found_no_more_and_the_next_one_is(
    maker: FakeMaker | Ec2Maker, kind: LeftoverKind
) -> None:
    first, second = (maker.make(kind, tags_of(maker, name)) for name in ("annex-1", "annex-2"))
    thing = next(one for one in maker.port.found(kind) if one.resource_id == first)
    maker.port.remove(thing)
    assert [one.resource_id for one in maker.port.found(kind)] == [second]


@sides
def test_removing_what_is_gone_is_no_error(maker: FakeMaker | Ec2Maker, kind: LeftoverKind) -> None:
    maker.port.remove(Leftover(kind, UNKNOWN[kind], LEASE_END))
    maker.make(kind, tags_of(maker))
    (thing,) = maker.port.found(kind)
    maker.port.remove(thing)
    maker.port.remove(thing)
    assert maker.port.found(kind) == []


# What EC2 alone can show


@pytest.fixture
def ec2_maker(account: Account) -> Ec2Maker:
    return Ec2Maker(EC2Leftovers(account.client("ec2"), account.name), account)


def ec2_volumes(ec2: Any) -> list[str]:
    return [one["VolumeId"] for one in ec2.describe_volumes()["Volumes"]]


def test_volume_of_a_machine_is_not_left_over(ec2_maker: Ec2Maker) -> None:
    ec2 = ec2_maker.account.client("ec2")
    volume = ec2_maker.volume(ec2, tags_of(ec2_maker))
    image = ec2_maker._image(ec2)
    (machine,) = ec2.run_instances(
        ImageId=image, InstanceType="m7i.large", MinCount=1, MaxCount=1,
        Placement={"AvailabilityZone": "us-east-1a"},
    )["Instances"]  # fmt: skip
    ec2.attach_volume(VolumeId=volume, InstanceId=machine["InstanceId"], Device="/dev/sdf")
    assert ec2_maker.port.found(LeftoverKind.VOLUME) == []
    assert volume in ec2_volumes(ec2)
    ec2.terminate_instances(InstanceIds=[machine["InstanceId"]])


def test_many_templates_are_all_found(ec2_maker: Ec2Maker) -> None:
    for _ in range(20):
        ec2_maker.template(ec2_maker.account.client("ec2"), tags_of(ec2_maker))
    assert len(ec2_maker.port.found(LeftoverKind.TEMPLATE)) == 20


@dataclass(frozen=True)
class Shown:
    """How EC2 shows a kind of request: the call, the names, the states in which it may launch."""

    call: str
    answers: str
    resource_id: str
    state: str
    living: tuple[str, ...]
    over: tuple[str, ...]
    filtered: bool = False


SHOWN = {
    LeftoverKind.SPOT_FLEET: Shown(
        "describe_spot_fleet_requests", "SpotFleetRequestConfigs", "SpotFleetRequestId",
        "SpotFleetRequestState", ("submitted", "active", "modifying"),
        ("cancelled", "failed", "cancelled_running", "cancelled_terminating"),
    ),
    LeftoverKind.FLEET: Shown(
        "describe_fleets", "Fleets", "FleetId",
        "FleetState", ("submitted", "active", "modifying"),
        ("deleted", "failed", "deleted_running", "deleted_terminating"),
    ),
    LeftoverKind.SPOT_REQUEST: Shown(
        "describe_spot_instance_requests", "SpotInstanceRequests", "SpotInstanceRequestId",
        "State", ("open", "active", "disabled"), ("closed", "cancelled", "failed"), filtered=True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(SHOWN))
def test_requests_are_found_on_all_pages_by_tag_and_by_what_they_may_still_launch(
    account: Account, kind: LeftoverKind
) -> None:
    """API reference, DescribeSpotFleetRequests, DescribeFleets, DescribeSpotInstanceRequests."""
    shown, ec2 = SHOWN[kind], account.client("ec2")

    def view(resource_id: str, state: str, deployment: str = "d", **more: Any) -> dict[str, Any]:
        tags = annex_tags(deployment, "foo", "annex-1", "alice@pool", LEASE_END)
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        named = {shown.resource_id: resource_id, shown.state: state, "Tags": pairs}
        return {**named, "CreateTime": LEASE_END, **more}

    living = [view(f"living-{one}", one) for one in shown.living]
    others = [view(f"over-{one}", one) for one in shown.over]
    others.append(view("foreign", "active", "d2"))
    others.append({**view("untagged", "active"), "Tags": []})
    if kind is LeftoverKind.FLEET:
        others.append(view("instant", "active", Type="instant"))
    ours = {"Filters": [{"Name": "tag:htcondor:AnnexDeployment", "Values": ["d"]}]}
    asked: dict[str, Any] = ours if shown.filtered else {}
    with Stubber(ec2) as stub:
        stub.add_response(shown.call, {shown.answers: others, "NextToken": "more"}, asked)
        stub.add_response(shown.call, {shown.answers: living}, {**asked, "NextToken": "more"})
        found = EC2Leftovers(ec2, "d").found(kind)
    assert [one.resource_id for one in found] == [f"living-{one}" for one in shown.living]
    assert {(one.annex_id, one.lease_tag, one.made_at) for one in found} == {
        ("annex-1", LEASE_END, LEASE_END)
    }


@pytest.mark.parametrize(
    ("kind", "request_"),
    [
        (LeftoverKind.SPOT_FLEET, {"SpotFleetRequestIds": ["x"], "TerminateInstances": False}),
        (LeftoverKind.FLEET, {"FleetIds": ["x"], "TerminateInstances": False}),
        (LeftoverKind.SPOT_REQUEST, {"SpotInstanceRequestIds": ["x"]}),
    ],
)
def test_requests_are_cancelled_without_their_machines(
    account: Account, kind: LeftoverKind, request_: dict[str, Any]
) -> None:
    ec2 = account.client("ec2")
    with Stubber(ec2) as stub:
        stub.add_response(REMOVALS[kind], {}, request_)
        EC2Leftovers(ec2, "d").remove(Leftover(kind, "x", LEASE_END))
        stub.assert_no_pending_responses()


REMOVALS = {
    LeftoverKind.SPOT_REQUEST: "cancel_spot_instance_requests",
    LeftoverKind.TEMPLATE: "delete_launch_template",
    LeftoverKind.VOLUME: "delete_volume",
    LeftoverKind.SPOT_FLEET: "cancel_spot_fleet_requests",
    LeftoverKind.FLEET: "delete_fleets",
}


@kinds
@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("UnauthorizedOperation", Forbidden),
        ("RequestLimitExceeded", AwsUnavailable),
        ("VolumeInUse", AwsUnavailable),
    ],
)
def test_what_ec2_refuses_is_told(
    account: Account, kind: LeftoverKind, code: str, raised: type[Exception]
) -> None:
    ec2 = account.client("ec2")
    thing = Leftover(kind, UNKNOWN[kind], LEASE_END, AnnexId("annex-1"))
    with Stubber(ec2) as stub:
        stub.add_client_error(REMOVALS[kind], code, "no")
        with pytest.raises(raised, match=str(kind)):
            EC2Leftovers(ec2, "d").remove(thing)


@pytest.mark.parametrize(
    ("kind", "answers", "identifier", "gone"),
    [
        (
            LeftoverKind.SPOT_FLEET,
            "UnsuccessfulFleetRequests",
            "SpotFleetRequestId",
            ("fleetRequestIdDoesNotExist", "fleetRequestNotInCancellableState"),
        ),
        (
            LeftoverKind.FLEET,
            "UnsuccessfulFleetDeletions",
            "FleetId",
            ("fleetIdDoesNotExist", "fleetNotInDeletableState"),
        ),
    ],
)
def test_refusal_within_a_good_answer_is_told_too(
    account: Account, kind: LeftoverKind, answers: str, identifier: str, gone: tuple[str, ...]
) -> None:
    """API reference, CancelSpotFleetRequests and DeleteFleets: errors come by the id."""
    ec2 = account.client("ec2")
    thing = Leftover(kind, UNKNOWN[kind], LEASE_END)
    with Stubber(ec2) as stub:
        for code in (*gone, "unexpectedError"):
            error = {"Code": code, "Message": "no"}
            answer = {answers: [{identifier: thing.resource_id, "Error": error}]}
            stub.add_response(REMOVALS[kind], answer)
        for _ in gone:
            EC2Leftovers(ec2, "d").remove(thing)
        with pytest.raises(AwsUnavailable, match="unexpectedError"):
            EC2Leftovers(ec2, "d").remove(thing)


def test_things_are_shown_by_their_id_but_for_configurations() -> None:
    key = "config/0123456789abcdef0123456789abcdef.json"
    thing = Leftover(LeftoverKind.CONFIGURATION, key, LEASE_END - timedelta(hours=1))
    shown = f"{thing} {thing!r} {replace(thing, annex_id=AnnexId('annex-1'))}"
    assert "0123456789abcdef" not in shown
    assert "annex-1" in shown
    assert str(Leftover(LeftoverKind.VOLUME, "vol-1", LEASE_END)) == "volume vol-1"


# What the sweep's own policy lets it do, by the local account's IAM and by its words

POLICY = json.loads(
    (Path(__file__).parents[2] / ".chalice" / "policy-sweep.json").read_text(encoding="utf-8")
)


def test_sweeps_policy_is_enough_for_its_own_and_for_no_one_elses(
    account: Account, local_account: LocalAccount
) -> None:
    user = local_account.user(f"{account.name}-sweep", *POLICY["Statement"])
    port = EC2Leftovers(local_account.client("ec2", user), "htcondor-annex")
    maker = Ec2Maker(port, account)
    for kind in IN_EC2:
        port.found(kind)
    for kind in REAL:
        made = maker.make(kind, annex_tags("htcondor-annex", "a", "annex-1", "a@b", LEASE_END))
        (own,) = port.found(kind)
        assert own.resource_id == made
        foreign = maker.make(kind, tags_of(maker))
        with pytest.raises(Forbidden):
            port.remove(Leftover(kind, foreign, LEASE_END))
        port.remove(own)
        assert port.found(kind) == []


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("CancelSpotFleetRequests", "spot-fleet-request/sfr-1"),
        ("DeleteFleets", "fleet/fleet-1"),
        ("CancelSpotInstanceRequests", "spot-instances-request/sir-1"),
        ("DeleteLaunchTemplate", "launch-template/lt-1"),
        ("DeleteVolume", "volume/vol-1"),
    ],
)
def test_sweep_may_remove_what_carries_the_deployments_tag_alone(
    action: str, resource: str
) -> None:
    def allowed(**tags: str) -> bool:
        context = {f"aws:ResourceTag/htcondor:{key}": value for key, value in tags.items()}
        arn = f"arn:aws:ec2:us-east-1:123456789012:{resource}"
        return allows([POLICY], Need(f"ec2:{action}", arn, context))

    assert allowed(AnnexDeployment="htcondor-annex")
    assert not allowed(AnnexDeployment="another")
    assert not allowed(AnnexName="foo", AnnexId="annex-1")
    assert not allowed()
