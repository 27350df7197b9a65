"""Spot instances that EC2 takes back: notices, events and the end."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.account.support import LocalAccount, Machines, eventually, local

pytestmark = pytest.mark.account

SPOT = {"InstanceMarketOptions": {"MarketType": "spot"}}


def metadata(account: LocalAccount, instance: str) -> dict[str, Any]:
    shown: dict[str, Any] = account.press(f"metadata/{instance}", method="GET")["meta-data"]
    return shown


def left(moment: str) -> float:
    at = datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return at.timestamp() - time.time()


def test_a_reclaimed_machine_is_told_two_minutes_ahead(
    account: LocalAccount, machines: Machines
) -> None:
    """EC2 User Guide, "Spot Instance interruption notices": spot/instance-action."""
    instance = machines.id(**SPOT)
    machines.becomes(instance, "running")
    assert "spot" not in metadata(account, instance)
    told = local(account.state, "interrupt", instance)
    assert told.returncode == 0
    assert "will be terminated at" in told.stdout
    shown = metadata(account, instance)["spot"]
    action = json.loads(shown["instance-action"])
    assert action == {"action": "terminate", "time": shown["termination-time"]}
    assert 60 < left(action["time"]) < 121
    assert machines.show(instance)["State"]["Name"] == "running"


def test_when_it_is_time_ec2_terminates_the_machine(
    account: LocalAccount, machines: Machines
) -> None:
    """StateReason: Server.SpotInstanceTermination; the request's status says why."""
    instance = machines.id(**SPOT)
    request = machines.show(instance)["SpotInstanceRequestId"]
    account.press("interrupt", {"instance_id": instance, "in": 0.2})
    ended = machines.becomes(instance, "terminated")
    assert ended["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    shown = machines.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[request])
    assert shown["SpotInstanceRequests"][0]["State"] == "closed"
    status = shown["SpotInstanceRequests"][0]["Status"]["Code"]
    assert status == "instance-terminated-no-capacity"


def test_a_machine_that_ends_before_is_not_reclaimed(
    account: LocalAccount, machines: Machines
) -> None:
    """StateReason keeps who ended it first."""

    def ended_in_time() -> str | None:
        found = machines.id(**SPOT)
        account.press("interrupt", {"instance_id": found, "in": 1})
        change = machines.ec2.terminate_instances(InstanceIds=[found])["TerminatingInstances"][0]
        return found if change["PreviousState"]["Name"] in ("pending", "running") else None

    instance = eventually(ended_in_time)
    later = machines.id(**SPOT)
    account.press("interrupt", {"instance_id": later, "in": 1})
    machines.becomes(later, "terminated")
    ended = machines.becomes(instance, "terminated")
    assert ended["StateReason"]["Code"] == "Client.UserInitiatedShutdown"


def test_a_recommendation_ends_nothing(account: LocalAccount, machines: Machines) -> None:
    """EC2 User Guide, "EC2 instance rebalance recommendations": the path in the metadata."""
    instance = machines.id(**SPOT)
    assert local(account.state, "interrupt", "--rebalance", instance).returncode == 0
    shown = metadata(account, instance)
    notice = json.loads(shown["events"]["recommendations"]["rebalance"])
    assert left(notice["noticeTime"]) < 1
    assert "spot" not in shown
    machines.becomes(instance, "running")


def test_only_living_spot_instances_are_reclaimed(
    account: LocalAccount, machines: Machines
) -> None:
    """EC2 takes back what it gave as spare capacity, nothing else."""
    refused = local(account.state, "interrupt", machines.id())
    assert refused.returncode == 1
    assert "is no spot instance" in refused.stderr
    assert "no living instance" in local(account.state, "interrupt", "i-none").stderr


def test_notices_reach_the_functions_that_listen(sample: LocalAccount) -> None:
    """EC2 User Guide: detail-type of both events, with the instance's id."""
    machines = Machines(sample)
    instance = machines.id(**SPOT)
    sample.press("interrupt", {"instance_id": instance, "rebalance": True})
    sample.press("interrupt", {"instance_id": instance, "in": 0.1})
    s3 = sample.client("s3")
    prefix = f"notices/{instance}/"

    def seen() -> list[str]:
        listed = s3.list_objects_v2(Bucket="sample-notes", Prefix=prefix)
        return sorted(each["Key"].removeprefix(prefix) for each in listed.get("Contents", ()))

    both = ["EC2 Instance Rebalance Recommendation", "EC2 Spot Instance Interruption Warning"]
    eventually(lambda: seen() == both)
