"""Launch templates and instant fleets as the EC2 API reference has them; moto has little of it."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.account.support import IMAGE, LocalAccount, Machines, code

pytestmark = pytest.mark.account

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
USER_DATA = base64.b64encode(b"#!/bin/sh\ntrue\n").decode()
TAGS = [
    {"ResourceType": kind, "Tags": [{"Key": "from", "Value": "template"}]}
    for kind in ("instance", "volume")
]


class Fleets:
    """A template and fleets of it, by the administrator."""

    def __init__(self, account: LocalAccount) -> None:
        self.account = account
        self.ec2 = account.client("ec2")
        account.client("iam").create_service_linked_role(AWSServiceName="spot.amazonaws.com")

    def template(self, name: str = "t-1", **changes: Any) -> str:
        data = {"ImageId": IMAGE, "InstanceType": "m7i.large", "UserData": USER_DATA, **changes}
        made = self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
        return str(made["LaunchTemplate"]["LaunchTemplateId"])

    def request(self, template: str, *overrides: dict[str, Any], **changes: Any) -> dict[str, Any]:
        target = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"}
        return {
            "Type": "instant",
            "LaunchTemplateConfigs": [
                {
                    "LaunchTemplateSpecification": {
                        "LaunchTemplateId": template,
                        "Version": "$Latest",
                    },
                    "Overrides": list(overrides),
                }
            ],
            "TargetCapacitySpecification": {**target, **changes.pop("target", {})},
            **changes,
        }

    def start(self, template: str, *overrides: dict[str, Any], **changes: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.ec2.create_fleet(
            **self.request(template, *overrides, **changes)
        )
        return made


@pytest.fixture
def fleets(account: LocalAccount) -> Fleets:
    return Fleets(account)


def ids(answer: dict[str, Any]) -> list[str]:
    return [each for some in answer["Instances"] for each in some["InstanceIds"]]


def places(machines: Machines) -> list[tuple[str, str]]:
    return sorted(
        (each["InstanceType"], each["Placement"]["AvailabilityZone"]) for each in machines.all()
    )


def at(zone: str, instance_type: str = "m7i.large", **more: Any) -> dict[str, Any]:
    return {"InstanceType": instance_type, "AvailabilityZone": zone, **more}


def test_a_fleets_machine_is_what_its_template_says(fleets: Fleets, machines: Machines) -> None:
    """CreateFleet: LaunchTemplateAndOverrides; tags of the template and of the request."""
    iam = fleets.account.client("iam")
    profile = iam.create_instance_profile(InstanceProfileName="p")["InstanceProfile"]["Arn"]
    template = fleets.template(
        IamInstanceProfile={"Arn": profile},
        InstanceInitiatedShutdownBehavior="terminate",
        MetadataOptions={"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
        NetworkInterfaces=[{"DeviceIndex": 0, "AssociatePublicIpAddress": True}],
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20}}],
        TagSpecifications=TAGS,
    )
    own = {"ResourceType": "instance", "Tags": [{"Key": "own", "Value": "x"}]}
    answer = fleets.start(template, at("us-east-1b"), TagSpecifications=[own])
    assert answer["Errors"] == []
    (instance_id,) = ids(answer)
    instance = machines.becomes(instance_id, "running")
    tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
    assert tags == {
        "from": "template",
        "own": "x",
        "aws:ec2:fleet-id": answer["FleetId"],
        "aws:ec2launchtemplate:id": template,
        "aws:ec2launchtemplate:version": "1",
    }
    assert instance["InstanceLifecycle"] == "spot"
    assert instance["SpotInstanceRequestId"].startswith("sir-")
    assert instance["Placement"]["AvailabilityZone"] == "us-east-1b"
    assert instance["IamInstanceProfile"]["Arn"] == profile
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert instance["PublicIpAddress"]
    shown = fleets.account.press(f"metadata/{instance_id}", method="GET")
    assert shown["user-data"] == USER_DATA
    assert shown["meta-data"]["instance-life-cycle"] == "spot"
    assert shown["meta-data"]["tags"]["instance"] == {"from": "template", "own": "x"}
    volume = machines.ec2.describe_volumes(
        Filters=[{"Name": "attachment.instance-id", "Values": [instance_id]}]
    )["Volumes"][0]
    assert (volume["Size"], volume["Tags"]) == (20, [{"Key": "from", "Value": "template"}])
    fleets.account.press("power", {"instance_id": instance_id, "event": "powered_off"})
    machines.becomes(instance_id, "terminated")


def test_the_same_token_starts_one_fleet(fleets: Fleets, machines: Machines) -> None:
    """CreateFleet, ClientToken; "Ensuring idempotency in Amazon EC2 API requests"."""
    template = fleets.template()
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: fleets.start(template, ClientToken="c"), range(4)))
    assert len({each["FleetId"] for each in answers}) == 1
    assert len({each for answer in answers for each in ids(answer)}) == 1
    assert len(machines.all()) == 1
    other = {"TotalTargetCapacity": 2}
    refused = code(lambda: fleets.start(template, ClientToken="c", target=other))
    assert refused == "IdempotentParameterMismatch"
    lost = {"action": "CreateFleet", "code": "InternalError", "times": 1, "after": True}
    fleets.account.press("faults", lost)
    assert code(lambda: fleets.start(template, ClientToken="d")) == "InternalError"
    assert len(ids(fleets.start(template, ClientToken="d"))) == 1
    assert len(machines.all()) == 2


def test_what_one_pool_lacks_comes_from_the_next_and_is_told(
    fleets: Fleets, machines: Machines
) -> None:
    """CreateFleet: Errors at HTTP status 200, one for each pool that failed."""
    fleets.account.press(
        "options", {"capacity": {"us-east-1a/m7i.large": 1, "us-east-1b/m7i.large/spot": 0}}
    )
    options = {"AllocationStrategy": "capacity-optimized-prioritized"}
    overrides = [at(zone, Priority=priority) for priority, zone in enumerate(ZONES)]
    answer = fleets.start(
        fleets.template(), *overrides[:2], SpotOptions=options, target={"TotalTargetCapacity": 3}
    )
    assert len(ids(answer)) == 1
    told = {
        (
            each["ErrorCode"],
            each["Lifecycle"],
            each["LaunchTemplateAndOverrides"]["Overrides"]["AvailabilityZone"],
        )
        for each in answer["Errors"]
    }
    assert len(answer["Errors"]) == 2
    assert told == {("InsufficientInstanceCapacity", "spot", zone) for zone in ZONES[:2]}
    answer = fleets.start(fleets.template("t-2"), *overrides, target={"TotalTargetCapacity": 3})
    assert len(ids(answer)) == 3
