"""Names, settings, policies: what the deployment is told, and what it is allowed."""

from __future__ import annotations

import ast
import fnmatch
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chalicelib.errors import NotSetUp
from chalicelib.settings import Deployment, read_settings

ROOT = Path(__file__).parents[2]
ARN = "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:htcondor-annex-dev-sweep"


def policy(name: str) -> list[dict[str, Any]]:
    document = json.loads((ROOT / ".chalice" / f"policy-{name}.json").read_text())
    return list(document["Statement"])


def test_names_follow_from_the_functions_own_arn() -> None:
    deployment = Deployment.of("htcondor-annex", ARN)
    assert deployment.region == "us-gov-west-1"
    assert deployment.partition == "aws-us-gov"
    assert deployment.bucket == "htcondor-annex-123456789012-us-gov-west-1"
    assert deployment.table == "htcondor-annex-ledger"
    assert deployment.function() == "htcondor-annex-dev"
    assert deployment.function("sweep") == "htcondor-annex-dev-sweep"


def test_arn_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="function"):
        Deployment.of("htcondor-annex", "arn:aws:s3:us-east-1:1:bucket:x")


def test_settings_have_defaults_and_ignore_what_they_do_not_know() -> None:
    text = json.dumps(
        {
            "subnets": ["subnet-1"],
            "security_group": "sg-1",
            "instance_profile_arn": "arn",
            "instance_role_id": "AROA",
            "max_lease_seconds": 60,
            "from_a_newer_client": 1,
        }
    )
    settings = read_settings("/x", text)
    assert settings.max_lease_seconds == 60
    assert settings.max_instances_per_annex == 100


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"subnets": 1}'])
def test_settings_that_cannot_be_read_name_the_parameter(text: str) -> None:
    with pytest.raises(NotSetUp, match="/htcondor-annex/settings"):
        read_settings("/htcondor-annex/settings", text)


TAG = "htcondor:AnnexDeployment"
_PLACED = "image snapshot subnet security-group key-pair launch-template placement-group"


@pytest.mark.parametrize("name", ["api", "sweep", "interruption"])
def test_no_policy_says_everything(name: str) -> None:
    for statement in policy(name):
        assert statement["Effect"] == "Allow"
        assert not any("*" in action for action in statement["Action"])
        if statement["Resource"] == "*":
            read = ("ec2:Describe", "ec2:Get")
            assert all(action.startswith(read) for action in statement["Action"])


def statements(name: str, action: str) -> list[dict[str, Any]]:
    return [one for one in policy(name) if action in one["Action"]]


@pytest.mark.parametrize("name", ["api", "sweep", "interruption"])
def test_machines_are_ended_by_their_tag_alone(name: str) -> None:
    (terminate,) = statements(name, "ec2:TerminateInstances")
    assert terminate["Condition"] == {"StringEquals": {f"aws:ResourceTag/{TAG}": "htcondor-annex"}}
    assert all("Condition" in one for one in statements(name, "ec2:CreateTags"))


@pytest.mark.parametrize("name", ["api", "sweep"])
def test_machines_are_launched_with_their_tag_and_one_role(name: str) -> None:
    launched = [one for one in statements(name, "ec2:RunInstances") if ":instance/" in str(one)]
    assert [one["Condition"] for one in launched] == [
        {"StringEquals": {f"aws:RequestTag/{TAG}": "htcondor-annex"}}
    ]
    assert [one["Condition"] for one in statements(name, "ec2:CreateLaunchTemplate")] == [
        {"StringEquals": {f"aws:RequestTag/{TAG}": "htcondor-annex"}}
    ]
    handed = {
        arn.rpartition("/")[2]: one["Condition"]["StringEquals"]["iam:PassedToService"]
        for one in statements(name, "iam:PassRole")
        for arn in ([one["Resource"]] if isinstance(one["Resource"], str) else one["Resource"])
    }
    assert handed == {
        "htcondor-annex-instance": "ec2.amazonaws.com",
        "htcondor-annex-legacy": "ec2.amazonaws.com",
        "htcondor-annex-spot-fleet": "spotfleet.amazonaws.com",
    }


@pytest.mark.parametrize("name", ["api", "sweep", "interruption"])
def test_log_group_may_be_made_by_the_arn_that_aws_asks_for(name: str) -> None:
    """AWS asks for the streams, as refusals show (aws-solutions/instance-scheduler-on-aws#578)."""
    (logs,) = statements(name, "logs:CreateLogGroup")
    group = "/aws/lambda/htcondor-annex-dev" + ("" if name == "api" else f"-{name}")
    asked = f"arn:aws:logs:us-east-1:123456789012:log-group:{group}:log-stream:"
    assert fnmatch.fnmatchcase(asked, logs["Resource"])


@pytest.mark.parametrize("name", ["api", "sweep"])
@pytest.mark.parametrize(
    ("action", "own", "more"),
    [
        ("RunInstances", "instance volume network-interface spot-instances-request", _PLACED),
        ("CreateFleet", "fleet instance volume", "image subnet launch-template placement-group"),
        ("RequestSpotFleet", "spot-fleet-request", _PLACED),
    ],
)
def test_launches_are_allowed_every_kind_that_they_may_name(
    name: str, action: str, own: str, more: str
) -> None:
    """Service Authorization Reference, EC2; without reservations, licences and the like."""
    allowed = {
        resource.split(":")[5].partition("/")[0]
        for one in statements(name, f"ec2:{action}")
        for resource in ([one["Resource"]] if isinstance(one["Resource"], str) else one["Resource"])
    }
    assert allowed >= {*own.split(), *more.split()}


@pytest.mark.parametrize("name", ["api", "sweep"])
def test_spot_fleets_are_requested_with_the_tag_and_from_templates_with_it(name: str) -> None:
    conditions = {
        kind: [
            one["Condition"]
            for one in statements(name, "ec2:RequestSpotFleet")
            if f":{kind}/" in str(one["Resource"])
        ]
        for kind in ("spot-fleet-request", "launch-template")
    }
    assert conditions == {
        "spot-fleet-request": [{"StringEquals": {f"aws:RequestTag/{TAG}": "htcondor-annex"}}],
        "launch-template": [{"StringEquals": {f"aws:ResourceTag/{TAG}": "htcondor-annex"}}],
    }


@pytest.mark.parametrize("name", ["api", "sweep", "interruption"])
def test_spot_fleets_are_cancelled_by_their_tag_alone(name: str) -> None:
    (cancelled,) = statements(name, "ec2:CancelSpotFleetRequests")
    assert cancelled["Condition"] == {"StringEquals": {f"aws:ResourceTag/{TAG}": "htcondor-annex"}}


@pytest.mark.parametrize("name", ["api", "sweep", "interruption"])
def test_who_writes_a_configuration_writes_a_legacy_image_s_too(name: str) -> None:
    written = [one["Resource"] for one in statements(name, "s3:PutObject")]
    assert written == [
        "arn:*:s3:::htcondor-annex-*/config/*",
        "arn:*:s3:::htcondor-annex-legacy-*/config-*.tar.gz",
    ]


@pytest.mark.parametrize("name", ["api", "sweep"])
def test_keys_for_disks_are_used_through_ec2_alone(name: str) -> None:
    """EBS User Guide, 'Requirements for Amazon EBS encryption': what a customer's own key needs."""
    asked = [
        one for one in policy(name) if any(action.startswith("kms:") for action in one["Action"])
    ]
    assert all(
        one["Condition"]["StringLike"] == {"kms:ViaService": "ec2.*.amazonaws.com"} for one in asked
    )
    (granting,) = statements(name, "kms:CreateGrant")
    assert granting["Condition"]["Bool"] == {"kms:GrantIsForAWSResource": "true"}


def test_events_launch_nothing() -> None:
    assert statements("interruption", "ec2:RunInstances") == []
    assert statements("interruption", "iam:PassRole") == []


def test_each_function_has_its_own_policy_and_time() -> None:
    stage = json.loads((ROOT / ".chalice" / "config.json").read_text())["stages"]["dev"]
    functions = stage["lambda_functions"]
    assert {one["iam_policy_file"] for one in functions.values()} == {
        "policy-api.json",
        "policy-sweep.json",
        "policy-interruption.json",
    }
    assert functions["api_handler"]["lambda_timeout"] == 29  # API Gateway waits no longer
    assert functions["sweep"]["lambda_timeout"] > 60


def test_importing_the_app_asks_nothing_of_aws() -> None:
    """No credentials, no region, and a socket that would tell."""
    script = (
        "import socket\n"
        "def no(*a, **k): raise SystemExit('a call at import time')\n"
        "socket.socket.connect = no\n"
        "import app\n"
        "print(sorted(app.app.routes))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "/annexes/{name}" in done.stdout


def test_app_has_neither_logic_nor_aws() -> None:
    tree = ast.parse((ROOT / "app.py").read_text())
    imported = {
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not any(one.startswith("boto") for one in imported)
    logic = (ast.If, ast.For, ast.While, ast.Try)
    assert not any(isinstance(node, logic) for node in ast.walk(tree))
