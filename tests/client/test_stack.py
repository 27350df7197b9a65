"""The stack: what the template promises, and how it behaves in CloudFormation (moto's)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from annex_client import stack
from annex_client.errors import AwsTrouble, BadInput, Refused
from botocore.exceptions import ClientError

PATH = Path(stack.__file__).with_name("stack.yaml")
LEGACY = PATH.with_name("legacy.yaml")


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms."""


def _intrinsic(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.ScalarNode)
    return {suffix: loader.construct_scalar(node)}


Loader.add_multi_constructor("!", _intrinsic)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(stack.template(), Loader=Loader)  # noqa: S506 - a SafeLoader
    return found


def resource(template: dict[str, Any], kind: str) -> dict[str, Any]:
    found = [r for r in template["Resources"].values() if r["Type"] == kind]
    assert len(found) == 1
    properties: dict[str, Any] = found[0]["Properties"]
    return properties


def test_cfn_lint_finds_nothing() -> None:
    """In a process of its own: cfn-lint and moto both patch jsonschema's neighbours."""
    done = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), PATH, LEGACY],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def test_the_bucket_is_private_encrypted_and_keeps_no_old_versions(
    template: dict[str, Any],
) -> None:
    bucket = resource(template, "AWS::S3::Bucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"]
    assert "VersioningConfiguration" not in bucket
    [rule] = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["Prefix"] == "reports/"
    [statement] = resource(template, "AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_ledger_is_protected(template: dict[str, Any]) -> None:
    table = resource(template, "AWS::DynamoDB::Table")
    assert table["DeletionProtectionEnabled"] is True
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_machines_may_read_one_folder_and_write_one_report_and_nothing_else(
    template: dict[str, Any],
) -> None:
    role = template["Resources"]["InstanceRole"]["Properties"]
    assert "ManagedPolicyArns" not in role
    [policy] = role["Policies"]
    allowed = {
        (s["Action"], s["Resource"]["Sub"].rsplit("${AWS::Region}", 1)[1])
        for s in policy["PolicyDocument"]["Statement"]
    }
    assert allowed == {("s3:GetObject", "/config/*"), ("s3:PutObject", "/reports/${!aws:userid}")}


def test_spot_fleets_may_hand_machines_their_own_role_and_no_other(
    template: dict[str, Any],
) -> None:
    role = template["Resources"]["SpotFleetRole"]["Properties"]
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "spotfleet.amazonaws.com"}
    [policy] = role["Policies"]
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Effect": "Deny",
            "Action": "iam:PassRole",
            "NotResource": {"GetAtt": "InstanceRole.Arn"},
        }
    ]


def test_nothing_comes_in(template: dict[str, Any]) -> None:
    group = resource(template, "AWS::EC2::SecurityGroup")
    assert "SecurityGroupIngress" not in group
    kinds = {r["Type"] for r in template["Resources"].values()}
    assert "AWS::EC2::SecurityGroupIngress" not in kinds


def test_users_may_invoke_this_api_and_nothing_else(template: dict[str, Any]) -> None:
    [statement] = resource(template, "AWS::IAM::ManagedPolicy")["PolicyDocument"]["Statement"]
    assert statement["Action"] == "execute-api:Invoke"
    assert statement["Resource"]["Sub"].endswith(":${ApiId}/api/*")


def test_no_news_of_the_sweep_is_bad_news(template: dict[str, Any]) -> None:
    alarm = template["Resources"]["SweepStopped"]["Properties"]
    assert alarm["TreatMissingData"] == "breaching"
    assert (alarm["Namespace"], alarm["MetricName"]) == ("HTCondorAnnex", "SweepFinished")
    assert alarm["ComparisonOperator"] == "LessThanThreshold"


def test_a_sweep_that_fails_each_time_rings_too(template: dict[str, Any]) -> None:
    alarm = template["Resources"]["SweepProblems"]["Properties"]
    assert alarm["AlarmName"] == "htcondor-annex-sweep-problems"
    assert (alarm["Namespace"], alarm["MetricName"]) == ("HTCondorAnnex", "SweepProblems")
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (60, 5, 5)
    assert alarm["TreatMissingData"] == "notBreaching"
    other = template["Resources"]["SweepStopped"]["Properties"]
    assert alarm["AlarmActions"] == other["AlarmActions"]


def test_leftovers_that_stay_through_two_turns_ring(template: dict[str, Any]) -> None:
    """The sweep looks at each kind every seven minutes."""
    alarm = template["Resources"]["LeftoversKept"]["Properties"]
    assert alarm["AlarmName"] == "htcondor-annex-leftovers"
    assert (alarm["Namespace"], alarm["MetricName"]) == ("HTCondorAnnex", "LeftoversKept")
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    assert (alarm["Period"], alarm["EvaluationPeriods"]) == (420, 2)
    assert alarm["TreatMissingData"] == "notBreaching"
    other = template["Resources"]["SweepStopped"]["Properties"]
    assert alarm["AlarmActions"] == other["AlarmActions"]


def test_reports_of_machines_expire_by_the_buckets_own_rule(template: dict[str, Any]) -> None:
    rules = resource(template, "AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    assert [(r["Status"], r["Prefix"], r["ExpirationInDays"]) for r in rules] == [
        ("Enabled", "reports/", 30)
    ]


def test_the_settings_are_all_there_and_each_can_be_set(template: dict[str, Any]) -> None:
    text, _ = resource(template, "AWS::SSM::Parameter")["Value"]["Sub"]
    for name, parameter in stack.SETTINGS.items():
        assert f'"{name}": ' in text
        assert parameter in template["Parameters"]


def test_assignments_become_parameters() -> None:
    found = stack.assignments(["max_lease_seconds=3600", "default_instance_type=c7i.large"])
    assert found == {"MaxLeaseSeconds": "3600", "DefaultInstanceType": "c7i.large"}


def test_key_names_are_a_list_with_commas() -> None:
    assert stack.assignments(["key_names=laptop, desk"]) == {"KeyNames": "laptop,desk"}
    with pytest.raises(BadInput, match="key_names"):
        stack.assignments(['key_names="laptop"'])


@pytest.mark.parametrize("text", ["max_lease_seconds", "x=1", "max_lease_seconds=-1", "=1"])
def test_assignments_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        stack.assignments([text])


class Events:
    """A CloudFormation client of a stack that has failed; newest event first, in two pages."""

    def __init__(self, *events: tuple[str, str, str]) -> None:
        self._events = [
            {"LogicalResourceId": name, "ResourceStatus": state, "ResourceStatusReason": reason}
            for name, state, reason in events
        ]

    state = "ROLLBACK_COMPLETE"
    changes = True

    def describe_stacks(self, **_: str) -> dict[str, Any]:
        return {"Stacks": [{"StackStatus": self.state}]}

    def update_stack(self, **_: object) -> None:
        if not self.changes:
            told = {"Code": "ValidationError", "Message": "No updates are to be performed."}
            raise ClientError({"Error": told}, "UpdateStack")

    def get_paginator(self, operation: str) -> Events:
        assert operation == "describe_stack_events"
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        return [{"StackEvents": self._events[:2]}, {"StackEvents": self._events[2:]}]


@pytest.mark.parametrize(
    ("why", "kind"),
    [
        ("API: iam:CreateRole User alice is not authorized to perform it", Refused),
        ("The bucket exists already", AwsTrouble),
    ],
)
def test_a_stack_that_fails_tells_the_first_reason_of_its_newest_attempt(
    why: str, kind: type[Exception]
) -> None:
    client: Any = Events(
        ("htcondor-annex", "ROLLBACK_IN_PROGRESS", "The following resources failed: [Two, One]"),
        ("Two", "CREATE_FAILED", "Resource creation cancelled"),
        ("One", "CREATE_FAILED", why),
        ("htcondor-annex", "CREATE_IN_PROGRESS", "User Initiated"),
        ("Three", "CREATE_FAILED", "of an attempt before"),
    )
    with pytest.raises(kind, match="One: ") as told:
        stack.Stack(client).settled()
    assert why in str(told.value)
    assert "an attempt before" not in str(told.value)
    assert "cancelled" not in str(told.value)


@pytest.mark.parametrize("changes", [False, True])
def test_an_update_that_was_taken_back_is_told_once(changes: bool) -> None:
    """What is as it was before needs nothing more; else setup could never be run again."""
    client: Any = Events(("One", "UPDATE_FAILED", "no"), ("x", "UPDATE_IN_PROGRESS", ""))
    client.state, client.changes = "UPDATE_ROLLBACK_COMPLETE", changes
    made = stack.Stack(client)
    made.put({})
    if not changes:
        assert made.settled()
        return
    with pytest.raises(AwsTrouble, match="One: no"):
        made.settled()
