"""The end: functions that are gone, and a teardown that leaves nothing. Last, by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from stage import AT_ONCE, BAKED, wait_for

if TYPE_CHECKING:
    from stage import Stage

pytestmark = pytest.mark.pool

ALIVE = ("pending", "running", "stopping", "stopped", "shutting-down")


def living(stage: Stage) -> dict[str, str]:
    """Every machine that costs something, with its annex's name."""
    pages = (
        stage.client("ec2")
        .get_paginator("describe_instances")
        .paginate(Filters=[{"Name": "instance-state-name", "Values": [*ALIVE]}])
    )
    return {
        instance["InstanceId"]: tag["Value"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
        for tag in instance["Tags"]
        if tag["Key"] == "htcondor:AnnexName"
    }


def test_nothing_runs_that_nobody_asked_for(stage: Stage) -> None:
    """But for what is on its way out."""
    asked_for = {"Renewed", "Lasting", "MyFirstAnnexalice"}
    wait_for(lambda: {*living(stage).values()} <= asked_for, "the end of all the others", AT_ONCE)


def test_without_the_api_every_command_says_so_and_the_machines_go_on(stage: Stage) -> None:
    apis = stage.client("apigateway")
    for api in apis.get_rest_apis()["items"]:
        apis.delete_rest_api(restApiId=api["id"])
    before = living(stage)
    for words in (("start", "Bad", "--ami-id", BAKED, "--yes"), ("status",), ("check-setup",)):
        done = stage.annex(*words)
        done.refused(7, "There is no control plane at the address", "setup")
        assert "not known" not in done.err
    assert living(stage) == before


def test_teardown_ends_every_machine_and_removes_everything(stage: Stage) -> None:
    done = stage.admin("annex-client", "teardown", "--yes")
    assert done.status == 0, done.out + done.err
    assert living(stage) == {}
    assert stage.client("s3").list_buckets()["Buckets"] == []
    assert stage.client("dynamodb").list_tables()["TableNames"] == []
    profiles = stage.client("iam").list_instance_profiles()["InstanceProfiles"]
    assert profiles == []
    left = [one["Name"] for one in stage.client("ssm").describe_parameters()["Parameters"]]
    assert [name for name in left if "annex" in name] == []
    assert stage.admin("annex-client", "teardown", "--yes").status == 0
