"""Spot Fleet requests as the EC2 API reference has them; moto starts its own machines for them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.account.support import IMAGE, LocalAccount, Machines, code, eventually

pytestmark = pytest.mark.account

TAGGING = "arn:aws:iam::aws:policy/service-role/AmazonEC2SpotFleetTaggingRole"
USER_DATA = base64.b64encode(b"#!/bin/sh\ntrue\n").decode()
REGION = "arn:aws:ec2:us-east-1:123456789012"


def trust(service: str = "spotfleet.amazonaws.com") -> str:
    statement = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": service},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class SpotFleets:
    """Requests by the administrator, of a fleet role with AWS's own policy."""

    def __init__(self, account: LocalAccount) -> None:
        self.account = account
        self.ec2, self.iam = account.client("ec2"), account.client("iam")
        account.press("options", {"spot_fleet_seconds": 0.1, "spot_fleet_retry_seconds": 0.2})
        made = self.iam.create_role(RoleName="fleet", AssumeRolePolicyDocument=trust())
        self.role = made["Role"]["Arn"]
        self.iam.attach_role_policy(RoleName="fleet", PolicyArn=TAGGING)

    def config(self, *specifications: dict[str, Any], **changes: Any) -> dict[str, Any]:
        whole = {
            "IamFleetRole": self.role,
            "TargetCapacity": 1,
            "Type": "request",
            **({"LaunchSpecifications": list(specifications)} if specifications else {}),
        }
        return {**whole, **changes}

    def request(self, *specifications: dict[str, Any], **changes: Any) -> str:
        config = self.config(*specifications, **changes)
        made = self.ec2.request_spot_fleet(SpotFleetRequestConfig=config)
        return str(made["SpotFleetRequestId"])

    def refused(self, *specifications: dict[str, Any], **changes: Any) -> str:
        return code(lambda: self.request(*specifications, **changes))

    def show(self, fleet: str) -> dict[str, Any]:
        shown = self.ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[fleet])
        config: dict[str, Any] = shown["SpotFleetRequestConfigs"][0]
        return config

    def instances(self, fleet: str) -> list[dict[str, Any]]:
        shown = self.ec2.describe_spot_fleet_instances(SpotFleetRequestId=fleet)
        found: list[dict[str, Any]] = shown["ActiveInstances"]
        return found

    def becomes(self, fleet: str, activity: str) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            shown = self.show(fleet)
            return shown if shown["ActivityStatus"] == activity else None

        return dict(eventually(there))

    def told(self, fleet: str) -> list[tuple[str, str]]:
        since = datetime.now(UTC) - timedelta(hours=1)
        records = self.ec2.describe_spot_fleet_request_history(
            SpotFleetRequestId=fleet, StartTime=since
        )["HistoryRecords"]
        return [(each["EventType"], each["EventInformation"]["EventSubType"]) for each in records]


@pytest.fixture
def spot(account: LocalAccount) -> SpotFleets:
    return SpotFleets(account)


def specification(**changes: Any) -> dict[str, Any]:
    where = {"AvailabilityZone": "us-east-1a"}
    return {"ImageId": IMAGE, "InstanceType": "m7i.large", "Placement": where, **changes}


def test_a_request_starts_its_machines_after_a_while(spot: SpotFleets, machines: Machines) -> None:
    """RequestSpotFleet: the machines are what the launch specification says, and are tagged."""
    tags = [{"Key": "own", "Value": "x"}]
    group = machines.ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]
    fleet = spot.request(
        specification(
            UserData=USER_DATA,
            SecurityGroups=[{"GroupId": group["GroupId"]}],
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
            WeightedCapacity=2.0,
        ),
        TargetCapacity=5,
        AllocationStrategy="priceCapacityOptimized",
        TagSpecifications=[{"ResourceType": "spot-fleet-request", "Tags": tags}],
    )
    assert fleet.startswith("sfr-")
    shown = spot.becomes(fleet, "fulfilled")
    assert (shown["SpotFleetRequestState"], shown["Tags"]) == ("active", tags)
    assert shown["SpotFleetRequestConfig"]["FulfilledCapacity"] == 6.0
    found = spot.instances(fleet)
    assert len(found) == 3
    for each in found:
        instance = machines.becomes(each["InstanceId"], "running")
        assert each["SpotInstanceRequestId"] == instance["SpotInstanceRequestId"]
        assert {tag["Key"]: tag["Value"] for tag in instance["Tags"]} == {
            "own": "x",
            "aws:ec2spot:fleet-request-id": fleet,
        }
        shown = spot.account.press(f"metadata/{each['InstanceId']}", method="GET")
        assert shown["user-data"] == USER_DATA
    assert spot.told(fleet)[:3] == [
        ("fleetRequestChange", "submitted"),
        ("fleetRequestChange", "active"),
        ("instanceChange", "launched"),
    ]


def test_a_request_is_fulfilled_once(spot: SpotFleets, machines: Machines) -> None:
    """EC2 User Guide, "Spot Fleet request types": request replaces nothing."""
    fleet = spot.request(specification(), ClientToken="c")
    spot.becomes(fleet, "fulfilled")
    assert spot.request(specification(), ClientToken="c") == fleet
    other = {"ClientToken": "c", "TargetCapacity": 2}
    assert spot.refused(specification(), **other) == "IdempotentParameterMismatch"
    (instance,) = (each["InstanceId"] for each in spot.instances(fleet))
    machines.ec2.terminate_instances(InstanceIds=[instance])
    machines.becomes(instance, "terminated")
    later = spot.request(specification())
    spot.becomes(later, "fulfilled")
    assert spot.instances(fleet) == []


def test_what_lacks_is_started_when_there_is_capacity_again(spot: SpotFleets) -> None:
    """A request stays open until it is fulfilled, cancelled or expired."""
    spot.account.press("options", {"capacity": {"us-east-1a/m7i.large/spot": 1}})
    fleet = spot.request(specification(), TargetCapacity=2)
    eventually(lambda: ("information", "launchSpecUnusable") in spot.told(fleet))
    assert len(spot.instances(fleet)) == 1
    assert spot.show(fleet)["ActivityStatus"] == "pending_fulfillment"
    spot.account.press("options", {"capacity": {}})
    spot.becomes(fleet, "fulfilled")
    assert len(spot.instances(fleet)) == 2


@pytest.mark.parametrize(
    ("terminate", "state"), [(True, "cancelled_terminating"), (False, "cancelled_running")]
)
def test_a_cancelled_request_starts_nothing_more(
    spot: SpotFleets, machines: Machines, terminate: bool, state: str
) -> None:
    """CancelSpotFleetRequests, TerminateInstances."""
    spot.account.press("options", {"capacity": {"us-east-1a/m7i.large": 1}})
    fleet = spot.request(specification(), TargetCapacity=3)
    (instance,) = (each["InstanceId"] for each in eventually(lambda: spot.instances(fleet)))
    answer = spot.ec2.cancel_spot_fleet_requests(
        SpotFleetRequestIds=[fleet, "sfr-none"], TerminateInstances=terminate
    )
    done = answer["SuccessfulFleetRequests"][0]
    assert done["PreviousSpotFleetRequestState"] == "active"
    assert done["CurrentSpotFleetRequestState"] == state
    failed = answer["UnsuccessfulFleetRequests"][0]
    assert failed["Error"]["Code"] == "fleetRequestIdDoesNotExist"
    spot.account.press("options", {"capacity": {}})
    machines.becomes(instance, "terminated" if terminate else "running")
    assert spot.show(fleet)["SpotFleetRequestState"] == ("cancelled" if terminate else state)
    # Another request is served after the cancelled one would have been again.
    later = spot.request(specification())
    spot.becomes(later, "fulfilled")
    assert len(machines.all()) == 2
    again = spot.ec2.cancel_spot_fleet_requests(
        SpotFleetRequestIds=[fleet], TerminateInstances=True
    )["UnsuccessfulFleetRequests"][0]
    assert again["Error"]["Code"] == "fleetRequestNotInCancellableState"


def test_an_expired_request_ends_as_it_says(spot: SpotFleets, machines: Machines) -> None:
    """SpotFleetRequestConfigData: ValidUntil and TerminateInstancesWithExpiration."""

    def begun_in_time() -> str | None:
        soon = datetime.now(UTC) + timedelta(seconds=2)
        ending = {"ValidUntil": soon, "TerminateInstancesWithExpiration": True}
        try:
            made = spot.request(specification(), **ending)
        except machines.ec2.exceptions.ClientError:
            return None  # it was too late already
        eventually(lambda: ("fleetRequestChange", "expired") in spot.told(made))
        return made if ("instanceChange", "launched") in spot.told(made) else None

    fleet = eventually(begun_in_time)
    (instance,) = (each["InstanceId"] for each in machines.all())
    machines.becomes(instance, "terminated")
    assert spot.show(fleet)["SpotFleetRequestState"] == "cancelled"
    past = datetime.now(UTC) - timedelta(minutes=1)
    refused = spot.refused(specification(), ValidUntil=past)
    assert refused == "InvalidSpotFleetRequestConfig"


def test_templates_and_overrides_share_on_demand_and_spot(
    spot: SpotFleets, machines: Machines
) -> None:
    """SpotFleetRequestConfigData: LaunchTemplateConfigs, OnDemandTargetCapacity, Priority."""
    data = {"ImageId": IMAGE, "InstanceType": "m7i.large", "UserData": USER_DATA}
    made = spot.ec2.create_launch_template(LaunchTemplateName="t-1", LaunchTemplateData=data)
    template = {"LaunchTemplateId": made["LaunchTemplate"]["LaunchTemplateId"], "Version": "1"}
    subnets = machines.ec2.describe_subnets()["Subnets"]
    zones = {each["SubnetId"]: each["AvailabilityZone"] for each in subnets}
    two = sorted(zones, key=zones.__getitem__)[:2]
    overrides = [
        {"InstanceType": "c7i.large", "SubnetId": ",".join(two), "Priority": 2.0},
        {"InstanceType": "m7i.large", "SubnetId": two[0], "Priority": 1.0},
    ]
    fleet = spot.request(
        LaunchTemplateConfigs=[{"LaunchTemplateSpecification": template, "Overrides": overrides}],
        TargetCapacity=4,
        OnDemandTargetCapacity=1,
        OnDemandAllocationStrategy="prioritized",
        AllocationStrategy="diversified",
    )
    spot.becomes(fleet, "fulfilled")
    found = sorted(
        (each.get("InstanceLifecycle", ""), each["InstanceType"], each["SubnetId"])
        for each in machines.all()
    )
    spread = [("spot", "c7i.large", each) for each in two] + [("spot", "m7i.large", two[0])]
    assert found == sorted([("", "m7i.large", two[0]), *spread])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"IamFleetRole": "arn:aws:iam::123456789012:role/none"}, "InvalidSpotFleetRequestConfig"),
        ({"TargetCapacity": 0}, "InvalidSpotFleetRequestConfig"),
        ({"OnDemandTargetCapacity": 1}, "InvalidSpotFleetRequestConfig"),
        ({"LaunchSpecifications": []}, "InvalidSpotFleetRequestConfig"),
        (
            {"TagSpecifications": [{"ResourceType": "instance", "Tags": []}]},
            "InvalidSpotFleetRequestConfig",
        ),
        ({"InstanceInterruptionBehavior": "stop"}, "NotImplemented"),
        ({"TargetCapacityUnitType": "vcpu"}, "NotImplemented"),
    ],
)
def test_what_is_wrong_is_refused_at_once(
    spot: SpotFleets, machines: Machines, changes: dict[str, Any], expected: str
) -> None:
    """RequestSpotFleet and "Error codes": InvalidSpotFleetRequestConfig."""
    assert spot.refused(specification(), **changes) == expected
    assert machines.all() == []


def test_two_specifications_of_one_pool_are_refused(spot: SpotFleets) -> None:
    """RequestSpotFleet: "The fleet configuration contains duplicate instance pools"."""
    assert spot.refused(specification(), specification()) == "InvalidFleetConfig"


def test_a_fleet_role_must_trust_and_be_allowed_what_the_fleet_does(
    spot: SpotFleets, machines: Machines
) -> None:
    """EC2 User Guide, "IAM role for tagging a Spot Fleet"."""
    made = spot.iam.create_role(RoleName="ec2", AssumeRolePolicyDocument=trust("ec2.amazonaws.com"))
    refused = spot.refused(specification(), IamFleetRole=made["Role"]["Arn"])
    assert refused == "InvalidSpotFleetRequestConfig"
    bare = spot.iam.create_role(RoleName="bare", AssumeRolePolicyDocument=trust())["Role"]["Arn"]
    fleet = spot.request(specification(), IamFleetRole=bare)
    spot.becomes(fleet, "error")
    assert ("error", "iamFleetRoleInvalid") in spot.told(fleet)
    assert machines.all() == []


def test_who_asks_for_a_fleet_passes_its_role_and_may_launch(spot: SpotFleets) -> None:
    """EC2 User Guide, "Spot Fleet permissions"; IAM User Guide, "Grant ... to pass a role"."""
    asking = {"Action": "ec2:RequestSpotFleet", "Resource": f"{REGION}:spot-fleet-request/*"}
    launching = {"Action": "ec2:RunInstances", "Resource": "*"}
    passing = {
        "Action": "iam:PassRole",
        "Resource": spot.role,
        "Condition": {"StringEquals": {"iam:PassedToService": "spotfleet.amazonaws.com"}},
    }
    spot.request(specification())  # the administrator's makes the service-linked roles
    config = spot.config(specification())
    for number, lacking in enumerate(([asking, launching], [asking, passing])):
        ec2 = spot.account.client("ec2", spot.account.user(f"u{number}", *lacking))
        refused = code(lambda: ec2.request_spot_fleet(SpotFleetRequestConfig=config))  # noqa: B023
        assert refused == "UnauthorizedOperation"
    whole = spot.account.user("whole", asking, launching, passing)
    ec2 = spot.account.client("ec2", whole)
    assert ec2.request_spot_fleet(SpotFleetRequestConfig=config)["SpotFleetRequestId"]


def test_a_fresh_account_has_no_service_linked_role(spot: SpotFleets) -> None:
    """EC2 User Guide, "Service-linked role for Spot Fleet": by API, it must exist."""
    statements = [
        {"Action": ["ec2:RequestSpotFleet", "ec2:RunInstances"], "Resource": "*"},
        {"Action": "iam:PassRole", "Resource": "*"},
    ]
    ec2 = spot.account.client("ec2", spot.account.user("u", *statements))
    config = spot.config(specification())

    def ask() -> Any:
        return ec2.request_spot_fleet(SpotFleetRequestConfig=config)

    no = "AuthFailure.ServiceLinkedRoleCreationNotPermitted"
    assert code(ask) == no
    name = "AWSServiceRoleForEC2SpotFleet"
    assert code(lambda: spot.iam.get_role(RoleName=name)) == "NoSuchEntity"
    spot.iam.create_service_linked_role(AWSServiceName="spotfleet.amazonaws.com")
    assert spot.iam.get_role(RoleName=name)["Role"]["Path"].startswith("/aws-service-role/")
    assert code(ask) == no
    spot.iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")
    assert ask()["SpotFleetRequestId"]
    again = code(lambda: spot.iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com"))
    assert again == "InvalidInput"


def test_only_maintain_can_be_modified(spot: SpotFleets) -> None:
    """ModifySpotFleetRequest: "You can only modify a Spot Fleet request of type maintain"."""
    fleet = spot.request(specification())
    refused = code(
        lambda: spot.ec2.modify_spot_fleet_request(SpotFleetRequestId=fleet, TargetCapacity=2)
    )
    assert refused == "InvalidParameterValue"


def test_requests_and_history_come_in_pages(spot: SpotFleets) -> None:
    """DescribeSpotFleetRequests: MaxResults and NextToken."""
    ids = [spot.request(specification()) for _ in range(3)]
    found = []
    token: dict[str, str] = {}
    for _ in range(2):
        page = spot.ec2.describe_spot_fleet_requests(MaxResults=2, **token)
        found += [each["SpotFleetRequestId"] for each in page["SpotFleetRequestConfigs"]]
        token = {"NextToken": page.get("NextToken", "")}
    assert found == ids


def test_a_stacks_fleet_role_has_its_managed_policies(spot: SpotFleets, machines: Machines) -> None:
    """CloudFormation, AWS::IAM::Role: ManagedPolicyArns, which moto drops."""
    properties = {
        "RoleName": "stacked",
        "AssumeRolePolicyDocument": json.loads(trust()),
        "ManagedPolicyArns": [TAGGING],
    }
    template = {"Resources": {"Role": {"Type": "AWS::IAM::Role", "Properties": properties}}}
    stacks = spot.account.client("cloudformation")
    stacks.create_stack(
        StackName="s", TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_NAMED_IAM"]
    )
    role = spot.iam.get_role(RoleName="stacked")["Role"]["Arn"]
    spot.becomes(spot.request(specification(), IamFleetRole=role), "fulfilled")
    assert len(machines.all()) == 1
    stacks.delete_stack(StackName="s")
    assert code(lambda: spot.iam.get_role(RoleName="stacked")) == "NoSuchEntity"
