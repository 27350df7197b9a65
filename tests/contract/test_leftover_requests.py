"""Spot Fleet requests and spot requests in the local account: found, and cancelled alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from chalicelib.ec2_leftovers import EC2Leftovers
from chalicelib.errors import Forbidden
from chalicelib.model import Leftover, LeftoverKind
from chalicelib.tags import annex_tags
from tests.account.support import eventually
from tests.contract.test_leftovers_contract import POLICY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.account.support import LocalAccount
    from tests.contract.conftest import Account

LEASE_END = datetime(2026, 11, 24, 12, tzinfo=UTC)
KINDS = [LeftoverKind.SPOT_FLEET, LeftoverKind.SPOT_REQUEST]
TAGGING = "arn:aws:iam::aws:policy/service-role/AmazonEC2SpotFleetTaggingRole"


class Requests:
    """Requests of one deployment, and the machines that they start."""

    def __init__(self, account: Account, local_account: LocalAccount) -> None:
        self.name, self.ec2 = account.name, account.client("ec2")
        local_account.press("options", {"spot_fleet_seconds": 0.1, "spot_fleet_retry_seconds": 0.1})
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "spotfleet.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
        iam = account.client("iam")
        role = iam.create_role(
            RoleName=f"{account.name}-fleet", AssumeRolePolicyDocument=json.dumps(trust)
        )
        iam.attach_role_policy(RoleName=f"{account.name}-fleet", PolicyArn=TAGGING)
        self.role = role["Role"]["Arn"]
        images = self.ec2.describe_images()["Images"]
        self.image = next(one["ImageId"] for one in images if one["Architecture"] == "x86_64")

    def tags(self, deployment: str) -> dict[str, str]:
        return annex_tags(deployment, "foo", "annex-1", "alice@pool", LEASE_END)

    def make(self, kind: LeftoverKind, deployment: str) -> str:
        make = self._spot_fleet if kind is LeftoverKind.SPOT_FLEET else self._spot_request
        return make(self.tags(deployment))

    def _spot_fleet(self, tags: Mapping[str, str]) -> str:
        made = self.ec2.request_spot_fleet(
            SpotFleetRequestConfig={
                "IamFleetRole": self.role,
                "Type": "request",
                "TargetCapacity": 1,
                "LaunchSpecifications": [{"ImageId": self.image, "InstanceType": "m7i.large"}],
                "TagSpecifications": _specification("spot-fleet-request", tags),
            }
        )
        return str(made["SpotFleetRequestId"])

    def _spot_request(self, tags: Mapping[str, str]) -> str:
        (machine,) = self.ec2.run_instances(
            ImageId=self.image,
            InstanceType="m7i.large",
            MinCount=1,
            MaxCount=1,
            InstanceMarketOptions={"MarketType": "spot"},
            TagSpecifications=_specification("spot-instances-request", tags),
        )["Instances"]
        return str(machine["SpotInstanceRequestId"])

    def machines(self, kind: LeftoverKind, request_id: str) -> list[str]:
        """What the request has started; a Spot Fleet takes a moment."""
        if kind is LeftoverKind.SPOT_REQUEST:
            shown = self.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[request_id])
            return [one["InstanceId"] for one in shown["SpotInstanceRequests"]]

        def started() -> list[str]:
            shown = self.ec2.describe_spot_fleet_instances(SpotFleetRequestId=request_id)
            return [one["InstanceId"] for one in shown["ActiveInstances"]]

        return list(eventually(started))

    def states(self, ids: list[str]) -> set[str]:
        found = self.ec2.describe_instances(InstanceIds=ids)["Reservations"]
        return {one["State"]["Name"] for r in found for one in r["Instances"]}


def _specification(kind: str, tags: Mapping[str, str]) -> list[dict[str, Any]]:
    pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
    return [{"ResourceType": kind, "Tags": pairs}]


@pytest.fixture
def requests(account: Account, local_account: LocalAccount) -> Requests:
    return Requests(account, local_account)


@pytest.mark.parametrize("kind", KINDS)
def test_request_is_found_and_cancelled_and_its_machines_go_on(
    requests: Requests, kind: LeftoverKind
) -> None:
    port = EC2Leftovers(requests.ec2, requests.name)
    first = requests.make(kind, requests.name)
    second = requests.make(kind, requests.name)
    foreign = requests.make(kind, f"{requests.name}-2")
    machines = [one for made in (first, second, foreign) for one in requests.machines(kind, made)]
    found = {one.resource_id: one for one in port.found(kind)}
    assert set(found) == {first, second}
    thing = found[first]
    assert (thing.annex_id, thing.lease_tag) == ("annex-1", LEASE_END)
    assert abs(thing.made_at - datetime.now(UTC)) < timedelta(minutes=5)
    port.remove(thing)
    port.remove(thing)
    assert [one.resource_id for one in port.found(kind)] == [second]
    assert requests.states(machines) <= {"pending", "running"}
    requests.ec2.terminate_instances(InstanceIds=machines)


@pytest.mark.parametrize(
    ("kind", "unknown"),
    [
        (LeftoverKind.SPOT_FLEET, "sfr-00000000-0000-0000-0000-000000000000"),
        (LeftoverKind.FLEET, "fleet-00000000-0000-0000-0000-000000000000"),
        (LeftoverKind.SPOT_REQUEST, "sir-0000000a"),
    ],
)
def test_request_that_is_not_there_is_no_error(
    requests: Requests, kind: LeftoverKind, unknown: str
) -> None:
    EC2Leftovers(requests.ec2, requests.name).remove(Leftover(kind, unknown, LEASE_END))


@pytest.mark.parametrize("kind", KINDS)
def test_sweeps_policy_cancels_its_own_and_no_one_elses(
    account: Account, local_account: LocalAccount, requests: Requests, kind: LeftoverKind
) -> None:
    user = local_account.user(f"{account.name}-sweep", *POLICY["Statement"])
    port = EC2Leftovers(local_account.client("ec2", user), "htcondor-annex")
    own, foreign = (requests.make(kind, one) for one in ("htcondor-annex", requests.name))
    machines = [one for made in (own, foreign) for one in requests.machines(kind, made)]
    with pytest.raises(Forbidden):
        port.remove(Leftover(kind, foreign, LEASE_END))
    (thing,) = [one for one in port.found(kind) if one.resource_id == own]
    port.remove(thing)
    assert port.found(kind) == []
    requests.ec2.terminate_instances(InstanceIds=machines)
