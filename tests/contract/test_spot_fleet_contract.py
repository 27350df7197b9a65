"""Spot Fleets of users' own configurations, from the JSON to the machines, as EC2 takes them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chalicelib.ec2_catalog import EC2Catalog
from chalicelib.ec2_compute import EC2Compute
from chalicelib.ids import AnnexId
from chalicelib.launch import Attempt, Launched, LaunchSpec, Market, Refusal, RefusalKind, Road
from chalicelib.spot_fleet_config import spot_fleet
from chalicelib.spot_fleet_template import Terms
from chalicelib.tags import annex_tags
from tests.account.support import eventually
from tests.fakes import spot_fleets as fleets
from tests.fakes.spot_fleets import VALID, spec, specs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chalicelib.model import Instance
    from tests.account.support import LocalAccount
    from tests.contract.conftest import Account

POLICIES = Path(__file__).parents[2] / ".chalice"
MANAGED = "arn:aws:iam::aws:policy/service-role/AmazonEC2SpotFleetTaggingRole"
# EC2 knows neither such kernels nor a placement group that nobody made.
NOT_THERE = (
    "groups by name, monitoring, placement group, kernel",
    "a public address where the subnet gives none",
)
USER_DATA = b"#!/bin/sh\n"


@dataclass(frozen=True)
class Bench:
    """An account with what the tables' JSON speaks of, under the account's own ids."""

    ec2: Any
    compute: EC2Compute
    catalog: EC2Catalog
    deployment: str
    role: str
    profile: str
    ids: Mapping[str, str]

    def spec(self, config: Any, annex_id: str = "annex-1", slots: int = 5) -> LaunchSpec:
        text = json.dumps(config)
        for made_up, real in self.ids.items():
            text = text.replace(made_up, real)
        tags = annex_tags(self.deployment, "foo", annex_id, "alice@pool", now())
        terms = Terms(
            slots=slots,
            now=now(),
            fleet_role=self.role,
            profile_arn=self.profile,
            key_names=None,
            our_tags=tags,
            user_tags={},
            compose=lambda part: part or USER_DATA,
            default_image=lambda: self.ids[fleets.IMAGE],
        )
        found = spot_fleet(text, terms, self.catalog)
        return LaunchSpec(
            image_id="",
            root_device="",
            root_gib=0,
            places=found.places,
            security_groups=(),
            instance_profile_arn=self.profile,
            key_name=None,
            tags=tuple(sorted(tags.items())),
            user_data=b"",
            road=Road.SPOT_FLEET,
            market=Market.SPOT,
            weights=found.weights,
            spot_fleet=found.fleet,
        )

    def attempt(self, annex_id: str = "annex-1", slots: int = 5) -> Attempt:
        return Attempt(f"{self.deployment}-{annex_id}-1-0", None, slots, now(), market=Market.SPOT)

    def request(self, config: Any, annex_id: str = "annex-1", slots: int = 5) -> str:
        attempt = self.attempt(annex_id, slots)
        outcome = self.compute.launch(self.spec(config, annex_id, slots), attempt)
        assert isinstance(outcome, Launched), outcome
        assert (outcome.machines, outcome.final) == ((), False)
        return outcome.fleet_id

    def machines(self, count: int, annex_id: str = "annex-1") -> list[Instance]:
        def all_of_them() -> list[Instance]:
            found = self.compute.instances(AnnexId(annex_id))
            return found if len(found) == count else []

        return list(eventually(all_of_them))

    def state(self, fleet_id: str) -> str:
        found = self.ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[fleet_id])
        return str(found["SpotFleetRequestConfigs"][0]["SpotFleetRequestState"])

    def cancel(self, *known: str, annex_id: str = "annex-1", terminate: bool) -> set[str]:
        return set(self.compute.cancel_requests(AnnexId(annex_id), known, terminate=terminate))


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def fleet_role(account: Account, name: str, service: str = "spotfleet.amazonaws.com") -> str:
    iam = account.client("iam")
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        ],
    }
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    iam.attach_role_policy(RoleName=name, PolicyArn=MANAGED)
    return str(made["Role"]["Arn"])


@pytest.fixture
def bench(account: Account) -> Bench:
    ec2 = account.client("ec2")
    for service in ("spot.amazonaws.com", "spotfleet.amazonaws.com"):
        try:
            account.client("iam").create_service_linked_role(AWSServiceName=service)
        except account.client("iam").exceptions.InvalidInputException:
            pass
    images = {one["Architecture"]: one for one in ec2.describe_images()["Images"]}
    # Other tests make networks of their own.
    ours = [{"Name": "default-for-az", "Values": ["true"]}]
    found = ec2.describe_subnets(Filters=ours)["Subnets"]
    subnets = {one["AvailabilityZone"]: one for one in found}
    vpc = subnets["us-east-1a"]["VpcId"]
    group = ec2.create_security_group(GroupName=account.name, Description="test", VpcId=vpc)
    key = f"{account.name}-laptop"
    ec2.create_key_pair(KeyName=key)
    x86 = images["x86_64"]
    root = next(
        one for one in x86["BlockDeviceMappings"] if one["DeviceName"] == x86["RootDeviceName"]
    )
    snapshot = ec2.create_snapshot(
        VolumeId=ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    )
    ids = {
        fleets.IMAGE: x86["ImageId"],
        fleets.ARM_IMAGE: images["arm64"]["ImageId"],
        fleets.ROOT_SNAPSHOT: root["Ebs"]["SnapshotId"],
        "snap-0000000000000009a": snapshot["SnapshotId"],
        fleets.SUBNET_A: subnets["us-east-1a"]["SubnetId"],
        fleets.SUBNET_B: subnets["us-east-1b"]["SubnetId"],
        "sg-0000000a": group["GroupId"],
        '"laptop"': json.dumps(key),
        "/dev/xvda": x86["RootDeviceName"],
        '"VolumeSize": 8': f'"VolumeSize": {root["Ebs"]["VolumeSize"]}',
    }
    role = fleet_role(account, f"{account.name}-spot-fleet")
    profile = account.profile()[0]
    ids |= {fleets.ROLE: role, fleets.PROFILE: profile}
    ids[fleets.CONSOLE_ROLE] = role.replace(
        f"{account.name}-spot-fleet", "aws-ec2-spot-fleet-tagging-role"
    )
    ids["arn:aws:iam::123456789012:role/aws-ec2-spot-fleet-role"] = role.replace(
        f"{account.name}-spot-fleet", "aws-ec2-spot-fleet-role"
    )
    ids |= user_templates(ec2, account.name, ids)
    return Bench(
        ec2,
        EC2Compute(ec2, account.name),
        EC2Catalog(ec2, account.client("ssm")),
        account.name,
        role,
        profile,
        ids,
    )


def user_templates(ec2: Any, prefix: str, ids: Mapping[str, str]) -> dict[str, str]:
    """Launch templates like those of the table; names of tests are their own."""
    found = {}
    for name, version in (("mine", "1"), ("full", "1"), ("lt-0000000000000001a", "2")):
        text = json.dumps(fleets.TEMPLATES[name, version])
        for made_up, real in ids.items():
            text = text.replace(made_up, real)
        data = json.loads(text)
        data.pop("Operator", None)
        data.get("MetadataOptions", {}).pop("State", None)
        made = ec2.create_launch_template(
            LaunchTemplateName=f"{prefix}-{name}", LaunchTemplateData=data
        )["LaunchTemplate"]
        ec2.create_launch_template_version(
            LaunchTemplateName=f"{prefix}-{name}", LaunchTemplateData=data
        )
        found[json.dumps(name)] = json.dumps(
            made["LaunchTemplateId"] if name.startswith("lt-") else made["LaunchTemplateName"]
        )
    return found


@pytest.mark.parametrize("name", [name for name in VALID if name not in NOT_THERE])
def test_ec2_takes_what_becomes_of_every_good_configuration(bench: Bench, name: str) -> None:
    fleet_id = bench.request(VALID[name][0], "annex-1", 6)
    try:
        assert fleet_id.startswith("sfr-")
        assert bench.state(fleet_id) in ("submitted", "active")
    finally:
        bench.cancel(fleet_id, terminate=True)


def test_machines_come_with_all_that_leases_need(bench: Bench) -> None:
    fleet_id = bench.request(specs(spec(SubnetId=fleets.SUBNET_A, WeightedCapacity=2)), slots=3)
    found = bench.machines(2)  # rounded up
    for one in found:
        assert one.client_token == bench.attempt().client_token
        assert one.annex_id == "annex-1"
        assert one.lease_tag is not None
        assert (one.lifecycle, one.instance_type, one.zone) == ("spot", "m7i.large", "us-east-1a")
    machine = bench.ec2.describe_instances(InstanceIds=[found[0].instance_id])["Reservations"][0][
        "Instances"
    ][0]
    assert machine["IamInstanceProfile"]["Arn"] == bench.profile
    assert machine["MetadataOptions"]["HttpTokens"] == "required"
    assert machine["MetadataOptions"]["InstanceMetadataTags"] == "enabled"
    assert machine["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"] is True
    attributes = {
        name: bench.ec2.describe_instance_attribute(InstanceId=found[0].instance_id, Attribute=name)
        for name in ("instanceInitiatedShutdownBehavior", "userData", "disableApiTermination")
    }
    shutdown = attributes["instanceInitiatedShutdownBehavior"]
    assert shutdown["InstanceInitiatedShutdownBehavior"] == {"Value": "terminate"}
    assert base64.b64decode(attributes["userData"]["UserData"]["Value"]) == USER_DATA
    assert attributes["disableApiTermination"]["DisableApiTermination"] == {"Value": False}
    bench.cancel(fleet_id, terminate=True)


def test_user_data_of_a_template_reaches_the_machine(bench: Bench) -> None:
    config = specs(spec(SubnetId=fleets.SUBNET_A, UserData=fleets.SCRIPT))
    fleet_id = bench.request(config, slots=1)
    (found,) = bench.machines(1)
    told = bench.ec2.describe_instance_attribute(InstanceId=found.instance_id, Attribute="userData")
    assert told["UserData"]["Value"] == fleets.SCRIPT
    bench.cancel(fleet_id, terminate=True)


def test_repeated_request_is_the_same_request(bench: Bench) -> None:
    config, attempt = specs(spec(SubnetId=fleets.SUBNET_A)), bench.attempt(slots=1)
    frozen = bench.spec(config, slots=1)
    first = bench.compute.launch(frozen, attempt)
    assert isinstance(first, Launched)
    assert bench.compute.launch(frozen, attempt) == first
    bench.machines(1)
    assert len(templates_of(bench)) == 1
    bench.cancel(first.fleet_id, terminate=True)


def test_cancelled_request_starts_nothing_and_its_machines_stay(bench: Bench) -> None:
    fleet_id = bench.request(specs(spec(SubnetId=fleets.SUBNET_A)), slots=2)
    bench.machines(2)
    for _ in range(2):  # cancelling twice is cancelling once
        assert bench.cancel(fleet_id, terminate=False) == {bench.attempt().client_token}
    assert bench.state(fleet_id) == "cancelled_running"
    assert all(one.state.is_endable for one in bench.machines(2))


def test_cancelled_request_ends_its_machines_when_asked_to(bench: Bench) -> None:
    fleet_id = bench.request(specs(spec(SubnetId=fleets.SUBNET_A)), slots=2)
    bench.machines(2)
    bench.cancel(fleet_id, terminate=True)
    assert not any(one.state.is_endable for one in bench.machines(2))


def test_what_ec2_did_not_start_is_told_when_the_request_is_cancelled(bench: Bench) -> None:
    fleet_id = bench.request(specs(spec(SubnetId=fleets.SUBNET_A, SpotPrice="0.0001")), slots=2)

    def history() -> list[Any]:
        told = bench.ec2.describe_spot_fleet_request_history(
            SpotFleetRequestId=fleet_id, StartTime=now() - timedelta(hours=1)
        )
        return [one["EventInformation"]["EventSubType"] for one in told["HistoryRecords"]]

    eventually(lambda: "launchSpecUnusable" in history())
    found = bench.compute.cancel_requests(AnnexId("annex-1"), [fleet_id], terminate=False)
    (said,) = found[bench.attempt().client_token]
    assert (said.kind, said.code) == (RefusalKind.CAPACITY, "launchSpecUnusable")
    assert said.where == f"Spot Fleet {fleet_id}"
    assert "m7i.large" in said.message


def test_request_is_found_by_its_tags_and_no_other_is(bench: Bench) -> None:
    config = specs(spec(SubnetId=fleets.SUBNET_A))
    mine, other = bench.request(config, "annex-1", 1), bench.request(config, "annex-12", 1)
    assert bench.cancel(terminate=True) == {bench.attempt().client_token}
    assert bench.state(mine).startswith("cancelled")
    assert bench.state(other) in ("submitted", "active")
    assert bench.cancel(annex_id="annex-2", terminate=True) == set()
    bench.cancel(other, annex_id="annex-12", terminate=True)


def test_request_that_is_long_gone_is_no_error(bench: Bench) -> None:
    gone = "sfr-00000000-0000-4000-8000-000000000000"
    assert bench.cancel(gone, "fleet-1", terminate=True) == set()


def test_templates_go_with_their_annex(bench: Bench) -> None:
    config = specs(
        spec(SubnetId=fleets.SUBNET_A), spec(InstanceType="c7i.large", EbsOptimized=True)
    )
    fleet_id = bench.request(config, slots=1)
    bench.request(config, "annex-12", 1)
    assert len(templates_of(bench)) == 4
    bench.cancel(fleet_id, terminate=True)
    bench.compute._templates.clear(AnnexId("annex-1"))
    left = templates_of(bench)
    assert {tag["Value"] for one in left for tag in one["Tags"] if tag["Key"].endswith("Id")} == {
        "annex-12"
    }
    bench.compute._templates.remove("lt-0123456789abcdef0")  # gone is gone
    bench.cancel(annex_id="annex-12", terminate=True)


def test_rehearsal_makes_nothing(bench: Bench) -> None:
    config = specs(spec(SubnetId=fleets.SUBNET_A))
    assert bench.compute.rehearse(bench.spec(config), bench.attempt()) is None
    assert templates_of(bench) == []


def test_refusal_of_the_request_is_definite(bench: Bench, account: Account) -> None:
    name = f"{account.name}-other"
    other = fleet_role(account, name, "ec2.amazonaws.com")
    wrong = Bench(
        **{**vars(bench), "role": other, "ids": {**bench.ids, fleets.CONSOLE_ROLE: other}}
    )
    outcome = wrong.compute.launch(
        wrong.spec(specs(spec(SubnetId=fleets.SUBNET_A))), wrong.attempt()
    )
    assert isinstance(outcome, Refusal)
    assert outcome.kind is RefusalKind.FATAL


def test_field_that_this_sdk_does_not_know_is_a_definite_refusal(bench: Bench) -> None:
    frozen = bench.spec(specs(spec(SubnetId=fleets.SUBNET_A)))
    assert frozen.spot_fleet is not None
    config = json.dumps({**json.loads(frozen.spot_fleet.config), "NewerThanThis": True})
    newer = {**{name: getattr(frozen, name) for name in frozen.__slots__}}
    newer["spot_fleet"] = type(frozen.spot_fleet)(frozen.spot_fleet.templates, config)
    outcome = bench.compute.launch(LaunchSpec(**newer), bench.attempt())
    assert isinstance(outcome, Refusal)
    assert (outcome.kind, outcome.code) == (RefusalKind.FATAL, "ParamValidation")
    assert "NewerThanThis" in outcome.message


def test_versions_of_launch_templates_are_read(bench: Bench) -> None:
    name = json.loads(bench.ids['"mine"'])
    bench.ec2.create_launch_template_version(
        LaunchTemplateName=name, LaunchTemplateData={"InstanceType": "c7i.large"}
    )
    read = bench.catalog.launch_template
    for version, kind in (("1", "m7i.large"), ("$Default", "m7i.large"), ("$Latest", "c7i.large")):
        found = read(name=name, version=version)
        assert found is not None
        assert found["InstanceType"] == kind
    template_id = json.loads(bench.ids['"lt-0000000000000001a"'])
    by_id = read(template_id=template_id, version="2")
    assert by_id is not None
    assert by_id["InstanceType"] == "c7i.large"
    assert read(name=name, version="99") is None
    assert read(name=f"{name}-none", version="1") is None
    assert read(template_id="lt-0123456789abcdef0", version="1") is None


@pytest.mark.parametrize("function", ["api", "sweep"])
def test_policies_allow_a_fleet_of_the_deployment_and_no_other(
    bench: Bench, account: Account, local_account: LocalAccount, function: str
) -> None:
    """With the functions' own policies, which know the deployment by its real name."""
    iam, name = account.client("iam"), "htcondor-annex"
    try:
        role = fleet_role(account, f"{name}-spot-fleet")
        profile = Account_of(account, name).profile()[0]
    except iam.exceptions.EntityAlreadyExistsException:
        role = iam.get_role(RoleName=f"{name}-spot-fleet")["Role"]["Arn"]
        profile = iam.get_instance_profile(InstanceProfileName=f"{name}-instance")[
            "InstanceProfile"
        ]["Arn"]
    statements = json.loads((POLICIES / f"policy-{function}.json").read_text())["Statement"]
    user = local_account.user(f"{account.name}-{function}", *statements)
    ec2 = local_account.client("ec2", user)
    annex_id = f"annex-{account.name}"
    ids = {**bench.ids, fleets.ROLE: role, fleets.PROFILE: profile}
    allowed = Bench(ec2, EC2Compute(ec2, name), bench.catalog, name, role, profile, ids)
    config = specs(spec(SubnetId=fleets.SUBNET_A), IamFleetRole=role)
    fleet_id = allowed.request(config, annex_id, 1)
    try:
        (machine,) = allowed.machines(1, annex_id)
        # Another role, and a fleet without the tag.
        other = Bench(**{**vars(allowed), "role": bench.role})
        refused = other.compute.launch(
            other.spec({**config, "IamFleetRole": bench.role}, f"{annex_id}2", 1),
            other.attempt(f"{annex_id}2", 1),
        )
        assert isinstance(refused, Refusal)
        assert refused.code == "UnauthorizedOperation"
        untagged = Bench(**{**vars(allowed), "deployment": "other"})
        refused = untagged.compute.launch(
            untagged.spec(config, f"{annex_id}3", 1), untagged.attempt(f"{annex_id}3", 1)
        )
        assert isinstance(refused, Refusal)
        assert refused.code == "UnauthorizedOperation"
        foreign = bench.request(specs(spec(SubnetId=fleets.SUBNET_A)), slots=1)
        with pytest.raises(ec2.exceptions.ClientError, match="UnauthorizedOperation"):
            ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[foreign], TerminateInstances=True)
        bench.cancel(foreign, terminate=True)
    finally:
        assert allowed.cancel(fleet_id, annex_id=annex_id, terminate=True)
    assert not allowed.compute.instance(machine.instance_id).state.is_endable  # type: ignore[union-attr]
    for one in (annex_id, f"{annex_id}2"):
        allowed.compute._templates.clear(AnnexId(one))


def Account_of(account: Account, name: str) -> Account:  # noqa: N802
    return type(account)(account.client, name, account.account)


def templates_of(bench: Bench) -> list[Any]:
    found = bench.ec2.describe_launch_templates(
        Filters=[{"Name": "tag:htcondor:AnnexDeployment", "Values": [bench.deployment]}]
    )
    return list(found["LaunchTemplates"])


def test_time_is_up_a_quarter_of_an_hour_after_the_attempt(bench: Bench) -> None:
    attempt = bench.attempt()
    asked = bench.compute._spot_fleets.request(bench.spec(specs()), attempt)
    assert asked["ValidUntil"] == attempt.called_at + timedelta(minutes=15)
    assert asked["TargetCapacity"] == 5
    assert asked["ClientToken"] == attempt.client_token
