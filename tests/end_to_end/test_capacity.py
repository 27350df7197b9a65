"""What EC2 does not give: all, a part, or more than the quota."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from stage import BAKED, wait_for

if TYPE_CHECKING:
    from stage import Stage

pytestmark = pytest.mark.pool


def test_without_capacity_nothing_runs_and_each_zone_is_named(stage: Stage) -> None:
    with stage.options(capacity={"*": 0}):
        done = stage.annex("start", "Scarce", "--ami-id", BAKED, "--yes")
    done.refused(3, "No machine was started for annex Scarce", "InsufficientInstanceCapacity")
    assert "us-east-1a" in done.err
    assert "us-east-1b" in done.err
    assert not stage.machines("Scarce")
    assert stage.view("Scarce")["state"] in ("terminating", "terminated")
    assert not _templates(stage, "Scarce")


def test_over_the_quota_nothing_runs_and_the_quota_is_named(stage: Stage) -> None:
    with stage.options(vcpu_limit=0):
        done = stage.annex("start", "Overquota", "--ami-id", BAKED, "--yes", "--json")
    done.refused(3, "VcpuLimitExceeded")
    assert done.json()["error"]["code"] == "QuotaExceeded"
    assert not stage.machines("Overquota")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("VcpuLimitExceeded", ("(L-1216C47A)", "asks for more at https://console.aws.amazon.com")),
        ("MaxSpotInstanceCountExceeded", ("(L-34B43A08)",)),
        (
            "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
            ("AWSServiceRoleForEC2Spot", "aws iam create-service-linked-role"),
        ),
        ("OptInRequired", ("https://aws.amazon.com/marketplace/pp?sku=", "--ami-id")),
        (
            "UnauthorizedOperation",
            ("the permission ec2:RunInstances", "an administrator of the AWS account"),
        ),
    ],
)
def test_each_refusal_of_ec2_s_says_what_to_do(
    stage: Stage, code: str, words: tuple[str, ...]
) -> None:
    stage.press("POST", "faults", {"action": "RunInstances", "code": code})
    done = stage.annex("start", "Denied", "--ami-id", BAKED, "--yes")
    done.refused(3, code, "(annex Denied, request ", *words)
    assert not stage.machines("Denied")


def test_a_part_of_what_was_asked_for_is_said_in_numbers(stage: Stage) -> None:
    with stage.options(capacity={"*": 1}):
        done = stage.annex("start", "Partly", "--count", "3", "--ami-id", BAKED, "--yes")
    assert done.status == 6, done.err
    assert "Annex started with 1 of 3 machines only." in done.out
    assert len(stage.machines("Partly")) == 1
    assert "1 of 3 started" in stage.view("Partly")["reason"]
    stage.end("Partly")


def test_what_the_first_zone_lacks_comes_from_all_others_in_one_call(stage: Stage) -> None:
    types = "m7i.large,m7i.xlarge"
    with stage.options(capacity={"us-east-1a/*": 1}):
        done = stage.annex(
            *("start", "Elsewhere", "--count", "2", "--instance-type", types),
            *("--ami-id", BAKED, "--yes"),
        )
    assert done.status == 0, done.err
    machines = stage.view("Elsewhere")["instances"]
    assert sorted(one["zone"] for one in machines) == ["us-east-1a", "us-east-1b"]
    assert {one["instance_type"] for one in machines} == {"m7i.large"}
    assert {one["lifecycle"] for one in machines} == {"on-demand"}
    assert len(_templates(stage, "Elsewhere")) == 1
    ids = {one["instance_id"] for one in machines}
    wait_for(lambda: ids == {*stage.slots("Elsewhere", "EC2InstanceID")}, "both in the pool", 150)
    stage.end("Elsewhere")
    wait_for(lambda: not _templates(stage, "Elsewhere"), "no template is left", 150)


def _templates(stage: Stage, annex: str) -> list[str]:
    """Launch templates of an annex; on demand only a fleet needs any."""
    filters = [{"Name": "tag:htcondor:AnnexName", "Values": [annex]}]
    found = stage.client("ec2").describe_launch_templates(Filters=filters)["LaunchTemplates"]
    return [one["LaunchTemplateName"] for one in found]
