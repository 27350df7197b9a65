"""A user's Spot Fleet becomes ours, or is refused by the name of a field."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.errors import BadRequest, NotSetUp
from chalicelib.model import Image, Subnet
from chalicelib.spot_fleet_config import Translated, spot_fleet
from chalicelib.spot_fleet_template import Terms
from tests.fakes import spot_fleets as fleets
from tests.fakes.spot_fleets import INVALID, VALID, spec, specs, templates
from tests.fakes.world import FakeCatalog

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def _compose(part: bytes | None) -> bytes:
    if part is not None and not part.startswith(b"#"):
        raise BadRequest("of no kind that cloud-init knows.")
    return b"ours:" + (part or b"")


TERMS = Terms(
    slots=5,
    now=NOW,
    fleet_role=fleets.ROLE,
    profile_arn=fleets.PROFILE,
    key_names=("laptop",),
    our_tags={"htcondor:AnnexId": "annex-1", "Name": "annex foo"},
    user_tags={"who": "alice"},
    compose=_compose,
    default_image=lambda: fleets.IMAGE,
)


def catalog() -> FakeCatalog:
    made = FakeCatalog()
    made.known["c7i.large"] = frozenset({"x86_64"})
    made.images = {
        fleets.IMAGE: Image(fleets.IMAGE, "x86_64", "/dev/xvda", 8, fleets.ROOT_SNAPSHOT),
        fleets.ARM_IMAGE: Image(fleets.ARM_IMAGE, "arm64", "/dev/xvda", 8),
        fleets.ODD_IMAGE: Image(fleets.ODD_IMAGE, "x86_64_mac", "/dev/xvda", 8),
    }
    made.networks[fleets.BARE] = Subnet(fleets.BARE, "us-east-1a", "public", gives_addresses=False)
    made.templates = dict(fleets.TEMPLATES)
    return made


def translated(config: Any, terms: Terms = TERMS) -> Translated:
    text = config if isinstance(config, str) else json.dumps(config)
    return spot_fleet(text, terms, catalog())


def made(config: Any, terms: Terms = TERMS) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The configuration and its templates."""
    fleet = translated(config, terms).fleet
    return json.loads(fleet.config), [json.loads(one) for one in fleet.templates]


def one(config: Any) -> dict[str, Any]:
    """The only template."""
    (template,) = made(config)[1]
    return template


@pytest.mark.parametrize("name", VALID)
def test_fleet_that_aws_takes_becomes_templates_and_overrides(name: str) -> None:
    config, overrides, weights = VALID[name]
    fleet, its_templates = made(config)
    found = fleet["LaunchTemplateConfigs"]
    assert [each.get("Overrides", []) for each in found] == overrides
    assert [each["Template"] for each in found] == list(range(len(its_templates)))
    assert dict(translated(config).weights) == weights
    assert "LaunchSpecifications" not in fleet


@pytest.mark.parametrize("name", VALID)
def test_what_leases_and_safety_hang_on_is_ours_in_every_template(name: str) -> None:
    fleet, its_templates = made(VALID[name][0])
    assert fleet["IamFleetRole"] == fleets.ROLE
    assert fleet["Type"] == "request"
    assert fleet["TerminateInstancesWithExpiration"] is False
    assert fleet["ReplaceUnhealthyInstances"] is False
    for ours in ("TargetCapacity", "ValidFrom", "ValidUntil", "ClientToken"):
        assert ours not in fleet
    for template in its_templates:
        assert template["IamInstanceProfile"] == {"Arn": fleets.PROFILE}
        assert template["InstanceInitiatedShutdownBehavior"] == "terminate"
        assert (
            template["MetadataOptions"].items()
            >= {
                "HttpTokens": "required",
                "HttpPutResponseHopLimit": 1,
                "HttpEndpoint": "enabled",
                "InstanceMetadataTags": "enabled",
            }.items()
        )
        assert base64.b64decode(template["UserData"]).startswith(b"ours:")
        for never in ("DisableApiTermination", "DisableApiStop", "HibernationOptions", "Operator"):
            assert never not in template
        disks = {disk["DeviceName"]: disk.get("Ebs") for disk in template["BlockDeviceMappings"]}
        assert disks["/dev/xvda"]["Encrypted"] is True
        assert all(disk["DeleteOnTermination"] for disk in disks.values() if disk)
        assert all(each["DeleteOnTermination"] for each in template.get("NetworkInterfaces", []))
        tagged = {each["ResourceType"]: tags_of(each) for each in template["TagSpecifications"]}
        for kind in ("instance", "volume"):
            assert tagged[kind]["htcondor:AnnexId"] == "annex-1"
            assert tagged[kind]["who"] == "alice"


@pytest.mark.parametrize("name", INVALID)
def test_what_cannot_be_honoured_is_refused_by_its_field(name: str) -> None:
    config, begins = INVALID[name]
    with pytest.raises(BadRequest) as refusal:
        translated(config)
    assert refusal.value.message.startswith(begins)
    assert refusal.value.message.endswith(".")


def test_requirements_never_choose_a_type_that_counts_otherwise_where_it_is_named() -> None:
    config = specs(
        spec(WeightedCapacity=2, SubnetId=fleets.SUBNET_A),
        spec(
            InstanceType=None,
            InstanceRequirements={"VCpuCount": {"Min": 2}, "MemoryMiB": {"Min": 4}},
            KeyName="laptop",
        ),
    )
    named, chosen = made(config)[0]["LaunchTemplateConfigs"]
    assert named["Overrides"][0]["InstanceType"] == "m7i.large"
    (override,) = chosen["Overrides"]
    assert override["InstanceRequirements"]["ExcludedInstanceTypes"] == ["m7i.large"]
    (note,) = [one for one in translated(config).notes if one.startswith("InstanceRequirements")]
    assert "without m7i.large" in note


def test_requirements_of_a_template_leave_such_a_type_out_where_nothing_overrides_them() -> None:
    described = {"LaunchTemplateName": "described", "Version": "1"}
    heavy = {"InstanceType": "m7i.large", "WeightedCapacity": 2}
    config = templates(heavy)
    config["LaunchTemplateConfigs"].append({"LaunchTemplateSpecification": described})
    required = made(config)[1][1]["InstanceRequirements"]
    assert required["ExcludedInstanceTypes"] == ["m7i.large"]
    overridden = templates(heavy, name="described")
    assert "ExcludedInstanceTypes" not in one(overridden)["InstanceRequirements"]
    assert not any("InstanceRequirements" in note for note in translated(overridden).notes)


def test_there_are_many_cases() -> None:
    assert len(VALID) + len(INVALID) >= 20


def test_without_a_fleet_role_nothing_is_translated() -> None:
    with pytest.raises(NotSetUp, match="spot_fleet_role_arn"):
        translated(specs(), replace(TERMS, fleet_role=""))


def test_user_is_told_what_is_ours_to_say() -> None:
    told = " ".join(translated(VALID["what the console downloads today"][0]).notes)
    for what in ("Type: 'request'", "ValidUntil: 15 minutes", "TerminateInstancesWithExpiration:"):
        assert what in told
    assert f"IamFleetRole: {fleets.ROLE}" in told
    assert "Encrypted: true everywhere" in told
    assert "ValidFrom" not in told  # it has passed and says nothing


def test_nobody_is_told_what_is_as_it_was() -> None:
    config = specs(
        spec(IamInstanceProfile={"Arn": fleets.PROFILE}),
        Type="request",
        IamFleetRole=fleets.ROLE,
        TerminateInstancesWithExpiration=False,
    )
    assert translated(config).notes == ()


def test_template_is_told_by_its_version() -> None:
    told = translated(templates(name="full")).notes
    for what in ("DisableApiTermination", "InstanceInitiatedShutdownBehavior"):
        assert any(note.startswith(f"Version 1 of full.{what}: ") for note in told)
    assert not any("DisableApiStop" in note for note in told)


def test_target_capacity_is_the_slots() -> None:
    assert "TargetCapacity: 5, the slots asked for, not 20." in (
        translated(specs(TargetCapacity=20)).notes
    )


def test_disks_keep_what_the_user_says_of_them() -> None:
    disks = {
        disk["DeviceName"]: disk for disk in one(templates(name="full"))["BlockDeviceMappings"]
    }
    assert disks["/dev/xvda"]["Ebs"] == {
        "DeleteOnTermination": True,
        "Encrypted": True,
        "VolumeSize": 30,
        "VolumeType": "gp3",
    }
    # A snapshot's own encryption stands: EC2 takes none besides.
    assert disks["/dev/xvdb"]["Ebs"] == {
        "DeleteOnTermination": True,
        "SnapshotId": "snap-0000000000000009a",
    }
    assert disks["/dev/xvdc"]["Ebs"] == {
        "DeleteOnTermination": True,
        "Encrypted": True,
        "VolumeSize": 100,
    }
    assert disks["/dev/xvdd"] == {"DeviceName": "/dev/xvdd", "NoDevice": ""}


def test_snapshot_is_encrypted_when_the_user_says_so() -> None:
    disk = {"SnapshotId": "snap-0000000000000009a", "Encrypted": True, "KmsKeyId": "key-1"}
    template = one(specs(spec(BlockDeviceMappings=[{"DeviceName": "/dev/xvdb", "Ebs": disk}])))
    assert template["BlockDeviceMappings"][0]["Ebs"] == {**disk, "DeleteOnTermination": True}


def test_user_data_of_each_specification_is_merged_into_its_own() -> None:
    _, (first, second) = made(VALID["user data of the user's own"][0])
    assert base64.b64decode(first["UserData"]) == b"ours:#!/bin/sh\necho mine\n"
    assert base64.b64decode(second["UserData"]) == b"ours:"


def test_groups_go_by_id_where_there_is_one() -> None:
    template = one(VALID["groups by name, monitoring, placement group, kernel"][0])
    assert template["SecurityGroupIds"] == ["sg-0000000a"]
    assert template["SecurityGroups"] == ["open"]
    assert template["Placement"] == {"GroupName": "near", "Tenancy": "default"}
    assert (template["KernelId"], template["RamDiskId"]) == ("aki-1", "ari-1")
    assert template["Monitoring"] == {"Enabled": True}
    assert template["EbsOptimized"] is True


def test_user_may_name_machines_but_not_speak_in_our_name() -> None:
    named = spec(
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "mine"}]},
            {"ResourceType": "volume", "Tags": [{"Key": "who", "Value": "bob"}]},
        ]
    )
    tagged = {
        each["ResourceType"]: tags_of(each) for each in one(specs(named))["TagSpecifications"]
    }
    assert tagged["instance"]["Name"] == "mine"
    assert tagged["volume"]["Name"] == "annex foo"
    assert tagged["volume"]["who"] == "alice"  # the request's own word is the last


def test_request_is_tagged_as_ours() -> None:
    fleet, _ = made(VALID["tags for the request"][0])
    (tagged,) = fleet["TagSpecifications"]
    assert tagged["ResourceType"] == "spot-fleet-request"
    assert tags_of(tagged) == {
        "htcondor:AnnexId": "annex-1",
        "Name": "annex foo",
        "who": "alice",
        "cost center": "7",
    }


def test_configuration_too_large_for_the_ledger_is_refused() -> None:
    listed = [
        spec(KernelId=f"aki-{number}", UserData=base64.b64encode(b"#" * 12_000).decode())
        for number in range(30)
    ]
    with pytest.raises(BadRequest, match="bytes with the annex's user data in each of its 30"):
        translated(specs(*listed))


def test_tutorial_s_image_is_replaced_by_the_default() -> None:
    config = specs(
        spec(
            ImageId="ami-cd5f95b0",
            BlockDeviceMappings=[
                {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "snap-0000000000000017a"}},
                {"DeviceName": "/dev/xvdb", "Ebs": {"VolumeSize": 8}},
            ],
        ),
        IamFleetRole=fleets.ROLE,
    )
    template = one(config)
    assert template["ImageId"] == fleets.IMAGE
    disks = {disk["DeviceName"]: disk["Ebs"] for disk in template["BlockDeviceMappings"]}
    assert disks["/dev/xvda"] == {"DeleteOnTermination": True, "Encrypted": True}
    assert disks["/dev/xvdb"]["VolumeSize"] == 8
    assert any("the tutorial's image" in note for note in translated(config).notes)


def test_same_request_gives_the_same_bytes() -> None:
    config = VALID["what the console downloads today"][0]
    assert translated(config) == translated(config)


def tags_of(specified: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in specified["Tags"]}
