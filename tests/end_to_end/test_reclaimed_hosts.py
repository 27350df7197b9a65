"""A fleet's machine is a real host, and hears from its own metadata that EC2 takes it back."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from stage import BAKED, PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stage import Stage

pytestmark = pytest.mark.pool

USER_DATA = base64.b64encode(b"#!/bin/sh\necho from the template >/root/ran\n").decode()
READ = """\
import sys, urllib.request as web
at = "http://169.254.169.254/latest/"
life = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
token = web.urlopen(web.Request(at + "api/token", method="PUT", headers=life)).read().decode()
headers = {"X-aws-ec2-metadata-token": token}
print(web.urlopen(web.Request(at + "meta-data/" + sys.argv[1], headers=headers)).read().decode())
"""


@pytest.fixture(scope="module")
def reclaimable(stage: Stage) -> Iterator[str]:
    """A spot machine of an instant fleet, from a launch template."""
    ec2, iam = stage.client("ec2"), stage.client("iam")
    with suppress(iam.exceptions.InvalidInputException):  # there already
        iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")
    data = {
        "ImageId": BAKED,
        "InstanceType": "m7i.large",
        "UserData": USER_DATA,
        "MetadataOptions": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "fleet"}]}
        ],
    }
    made = ec2.create_launch_template(LaunchTemplateName="reclaimable", LaunchTemplateData=data)
    reference = {
        "LaunchTemplateId": made["LaunchTemplate"]["LaunchTemplateId"],
        "Version": "$Latest",
    }
    answer = ec2.create_fleet(
        Type="instant",
        LaunchTemplateConfigs=[{"LaunchTemplateSpecification": reference}],
        TargetCapacitySpecification={
            "TotalTargetCapacity": 1,
            "DefaultTargetCapacityType": "spot",
        },
    )
    assert answer["Errors"] == []
    yield answer["Instances"][0]["InstanceIds"][0]
    ec2.delete_fleets(FleetIds=[answer["FleetId"]], TerminateInstances=True)
    ec2.delete_launch_template(LaunchTemplateName="reclaimable")


def metadata(stage: Stage, instance: str, path: str) -> str:
    """What the machine reads of its own metadata; empty where there is nothing."""
    return stage.on(instance, "python3", "-c", READ, path).out.strip()


def shown(stage: Stage, instance: str) -> Any:
    found = stage.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"]
    return found[0]["Instances"][0]


def test_a_fleets_machine_runs_its_templates_user_data(stage: Stage, reclaimable: str) -> None:
    def ran() -> bool:
        return stage.on(reclaimable, "cat", "/root/ran").out == "from the template\n"

    wait_for(ran, "user data")
    assert metadata(stage, reclaimable, "tags/instance/Name") == "fleet"
    assert metadata(stage, reclaimable, "instance-life-cycle") == "spot"
    assert metadata(stage, reclaimable, "spot/instance-action") == ""


def test_a_reclaimed_machine_reads_its_notice_and_is_shut_down(
    stage: Stage, reclaimable: str
) -> None:
    def interrupt(*words: str) -> None:
        way = [sys.executable, "-m", "local", "interrupt", reclaimable, *words]
        subprocess.run(way, check=True, capture_output=True, timeout=PATIENCE)

    began = time.monotonic()
    interrupt("--rebalance")
    assert "noticeTime" in metadata(stage, reclaimable, "events/recommendations/rebalance")
    # Long enough to be read as well, however slow this computer is.
    took = time.monotonic() - began
    interrupt("--in", f"{5 + 5 * took:.0f}")
    action = json.loads(metadata(stage, reclaimable, "spot/instance-action"))
    assert action["action"] == "terminate"

    def ended() -> bool:
        return bool(shown(stage, reclaimable)["State"]["Name"] == "terminated")

    wait_for(ended, "the end")
    reason = shown(stage, reclaimable)["StateReason"]["Code"]
    assert reason == "Server.SpotInstanceTermination"
