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
    zones = machines.ec2.describe_availability_zones(ZoneNames=["us-east-1c"])
    by_id = {"AvailabilityZoneId": zones["AvailabilityZones"][0]["ZoneId"]}
    (started,) = ids(fleets.start(fleets.template("t-3"), by_id))
    assert machines.show(started)["Placement"]["AvailabilityZone"] == "us-east-1c"


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        # The price of zone c is lowest, and zone b has the most capacity.
        ("lowest-price", ["us-east-1b", "us-east-1b", "us-east-1c"]),
        ("price-capacity-optimized", ["us-east-1b"] * 3),
        ("capacity-optimized", ["us-east-1b"] * 3),
        ("diversified", list(ZONES)),
    ],
)
def test_strategies_choose_the_pools(
    fleets: Fleets, machines: Machines, strategy: str, expected: list[str]
) -> None:
    """EC2 User Guide, "Use allocation strategies to determine how EC2 Fleet ... fulfills"."""
    spot_prices = {"us-east-1a/*": 0.05, "us-east-1b/*": 0.04, "us-east-1c/*": 0.03}
    capacity = {"us-east-1a/*": 1, "us-east-1b/*": 5, "us-east-1c/*": 1}
    fleets.account.press("options", {"spot_prices": spot_prices, "capacity": capacity})
    fleets.start(
        fleets.template(),
        *map(at, ZONES),
        SpotOptions={"AllocationStrategy": strategy},
        target={"TotalTargetCapacity": 3},
    )
    assert [zone for _, zone in places(machines)] == expected


def test_on_demand_goes_by_priority_and_spot_by_price(fleets: Fleets, machines: Machines) -> None:
    """CreateFleet: OnDemandOptions, OnDemandTargetCapacity and DefaultTargetCapacityType."""
    answer = fleets.start(
        fleets.template(),
        at("us-east-1a", "m7i.xlarge", Priority=1),
        at("us-east-1a", "m7i.large", Priority=2),
        OnDemandOptions={"AllocationStrategy": "prioritized"},
        target={"TotalTargetCapacity": 3, "OnDemandTargetCapacity": 1},
    )
    told = sorted((each["Lifecycle"], each["InstanceType"]) for each in answer["Instances"])
    assert told == [("on-demand", "m7i.xlarge"), ("spot", "m7i.large")]
    assert len(machines.all()) == 3


def test_weights_count_units_and_the_last_may_be_one_too_many(
    fleets: Fleets, machines: Machines
) -> None:
    """EC2 User Guide, "Use instance weighting": rounded up to the next whole instance."""
    answer = fleets.start(
        fleets.template(),
        at("us-east-1a", "m7i.2xlarge", WeightedCapacity=4),
        target={"TotalTargetCapacity": 6},
    )
    assert len(ids(answer)) == 2
    shown = fleets.ec2.describe_fleets(FleetIds=[answer["FleetId"]])["Fleets"][0]
    assert shown["FulfilledCapacity"] == 8
    assert shown["TargetCapacitySpecification"]["SpotTargetCapacity"] == 6
    assert len(machines.all()) == 2


def test_prices_are_kept_to(fleets: Fleets, machines: Machines) -> None:
    """CreateFleet: MaxPrice of an override, MaxTotalPrice; SpotMaxPriceTooLow."""
    fleets.account.press("options", {"spot_prices": {"*": 0.04}})
    template = fleets.template()
    answer = fleets.start(template, at("us-east-1a", MaxPrice="0.03"))
    assert (answer["Instances"], answer["Errors"][0]["ErrorCode"]) == ([], "SpotMaxPriceTooLow")
    budget = {"MaxTotalPrice": "0.1", "AllocationStrategy": "lowest-price"}
    options = {"SpotOptions": budget, "target": {"TotalTargetCapacity": 5}}
    assert len(ids(fleets.start(template, at("us-east-1a"), **options))) == 2
    assert len(machines.all()) == 2


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("UnfulfillableCapacity", "UnfulfillableCapacity"),
        ("MaxSpotInstanceCountExceeded", "MaxSpotInstanceCountExceeded"),
        ("VcpuLimitExceeded", "VcpuLimitExceeded"),
    ],
)
def test_a_launchs_trouble_is_told_and_fails_no_fleet(
    fleets: Fleets, machines: Machines, fault: str, told: str
) -> None:
    """CreateFleetError, for trouble on demand by zone, type and market."""
    where = {"zone": "us-east-1a", "instance_type": "m7i.*", "market": "spot"}
    fleets.account.press("faults", {"action": "RunInstances", "code": fault, **where})
    answer = fleets.start(
        fleets.template(),
        at("us-east-1a", Priority=1),
        at("us-east-1b", Priority=2),
        SpotOptions={"AllocationStrategy": "capacity-optimized-prioritized"},
    )
    assert [each["ErrorCode"] for each in answer["Errors"]] == [told]
    found = [{"Name": "tag:aws:ec2:fleet-id", "Values": [answer["FleetId"]]}]
    assert [each["InstanceId"] for each in machines.all(Filters=found)] == ids(answer)
    assert answer["Errors"][0]["ErrorMessage"]
    assert len(ids(answer)) == 1


def test_attributes_choose_among_the_types_that_are_not_too_dear(
    fleets: Fleets, machines: Machines
) -> None:
    """InstanceRequirements with SpotMaxPricePercentageOverLowestPrice's default."""
    requirements = {"VCpuCount": {"Min": 2, "Max": 2}, "MemoryMiB": {"Min": 8000, "Max": 8200}}
    template = fleets.template(InstanceType="t3.nano")
    answer = fleets.start(
        template,
        {"InstanceRequirements": requirements},
        SpotOptions={"AllocationStrategy": "price-capacity-optimized"},
        target={"TotalTargetCapacity": 2},
    )
    assert len(ids(answer)) == 2
    override = answer["Instances"][0]["LaunchTemplateAndOverrides"]["Overrides"]
    assert override["InstanceType"].endswith(".large")
    assert {each["InstanceType"] for each in machines.all()} == {override["InstanceType"]}
    none = {"VCpuCount": {"Min": 5, "Max": 5}, "MemoryMiB": {"Min": 1}}
    refused = code(lambda: fleets.start(template, {"InstanceRequirements": none}))
    assert refused == "InvalidFleetConfig"


@pytest.mark.parametrize(("percentage", "family"), [(999999, "g"), (60, "m7i")])
def test_price_protection_can_be_widened(fleets: Fleets, percentage: int, family: str) -> None:
    """InstanceRequirements: MaxSpotPriceAsPercentageOfOptimalOnDemandPrice; 999999 turns it off."""
    requirements = {
        "VCpuCount": {"Min": 2},
        "MemoryMiB": {"Min": 8000},
        "AllowedInstanceTypes": ["g*.xlarge", "m7i.large"],
        "MaxSpotPriceAsPercentageOfOptimalOnDemandPrice": percentage,
    }
    # Where all have capacity, the first by name: the dear ones, if they are allowed.
    options = {"AllocationStrategy": "capacity-optimized"}
    answer = fleets.start(
        fleets.template(), {"InstanceRequirements": requirements}, SpotOptions=options
    )
    assert answer["Instances"][0]["InstanceType"].startswith(family)


@pytest.mark.parametrize(
    ("overrides", "changes", "expected"),
    [
        ([at("us-east-1a"), at("us-east-1a")], {}, "InvalidFleetConfig"),
        ([at("us-east-1a", "m99.large")], {}, "InvalidFleetConfig"),
        ([], {"target": {"TotalTargetCapacity": 0}}, "InvalidTargetCapacitySpecification"),
        ([], {"target": {"SpotTargetCapacity": 2}}, "InvalidTargetCapacitySpecification"),
        ([], {"SpotOptions": {"AllocationStrategy": "prioritized"}}, "InvalidParameterValue"),
        (
            [
                at(
                    "us-east-1a",
                    InstanceRequirements={"VCpuCount": {"Min": 1}, "MemoryMiB": {"Min": 1}},
                )
            ],
            {},
            "InvalidParameterCombination",
        ),
        ([], {"Type": "maintain"}, "NotImplemented"),
        ([], {"SpotOptions": {"MinTargetCapacity": 1}}, "NotImplemented"),
        ([], {"DryRun": True}, "DryRunOperation"),
    ],
)
def test_what_is_wrong_as_a_whole_is_refused(
    fleets: Fleets,
    machines: Machines,
    overrides: list[dict[str, Any]],
    changes: dict[str, Any],
    expected: str,
) -> None:
    """CreateFleet and "Error codes": no machine, and an error instead of Errors."""
    template = fleets.template()
    assert code(lambda: fleets.start(template, *overrides, **changes)) == expected
    assert machines.all() == []


def test_a_type_that_a_zone_does_not_offer_is_told(fleets: Fleets, machines: Machines) -> None:
    """CreateFleetError: InvalidFleetConfiguration."""
    subnets = machines.ec2.describe_subnets()["Subnets"]
    offered = machines.ec2.describe_instance_type_offerings(
        LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": ["m7i.large"]}],
    )["InstanceTypeOfferings"]
    zones = {each["Location"] for each in offered}
    without = next(s for s in subnets if s["AvailabilityZone"] not in zones)
    answer = fleets.start(fleets.template(), {"SubnetId": without["SubnetId"]})
    assert answer["Errors"][0]["ErrorCode"] == "InvalidFleetConfiguration"
    shown = answer["Errors"][0]["LaunchTemplateAndOverrides"]["Overrides"]
    assert shown["SubnetId"] == without["SubnetId"]


def test_instant_fleets_are_shown_by_id_alone_and_end_with_their_machines(
    fleets: Fleets, machines: Machines
) -> None:
    """DescribeFleets, DescribeFleetInstances and DeleteFleets, of fleets of type instant."""
    tags = [{"Key": "k", "Value": "v"}]
    answer = fleets.start(
        fleets.template(), TagSpecifications=[{"ResourceType": "fleet", "Tags": tags}]
    )
    fleet, (instance,) = answer["FleetId"], ids(answer)
    assert fleets.ec2.describe_fleets()["Fleets"] == []
    (shown,) = fleets.ec2.describe_fleets(FleetIds=[fleet])["Fleets"]
    assert (shown["Type"], shown["FleetState"], shown["Tags"]) == ("instant", "active", tags)
    assert shown["Instances"][0]["InstanceIds"] == [instance]
    unknown = "fleet-00000000-0000-0000-0000-000000000000"
    missing = code(lambda: fleets.ec2.describe_fleets(FleetIds=[unknown]))
    assert missing == "InvalidFleetId.NotFound"
    asked = code(lambda: fleets.ec2.describe_fleet_instances(FleetId=fleet))
    assert asked == "UnsupportedOperation"
    kept = fleets.ec2.delete_fleets(FleetIds=[fleet], TerminateInstances=False)
    assert kept["SuccessfulFleetDeletions"] == []
    machines.becomes(instance, "running")
    gone = fleets.ec2.delete_fleets(FleetIds=[fleet, unknown], TerminateInstances=True)
    assert gone["SuccessfulFleetDeletions"][0]["CurrentFleetState"] == "deleted_terminating"
    assert gone["UnsuccessfulFleetDeletions"][0]["Error"]["Code"] == "fleetIdDoesNotExist"
    machines.becomes(instance, "terminated")


def test_without_spots_role_nothing_is_started_and_that_is_told(account: LocalAccount) -> None:
    """EC2 User Guide, "Service-linked role for Spot Instance requests"."""
    made = Fleets(account)
    account.client("iam").delete_service_linked_role(RoleName="AWSServiceRoleForEC2Spot")
    template = made.template()
    alice = account.user("alice", {"Action": "ec2:*", "Resource": "*"})
    request = made.request(template, at("us-east-1a"))
    answer = account.client("ec2", alice).create_fleet(**request)
    told = answer["Errors"][0]["ErrorCode"]
    assert told == "AuthFailure.ServiceLinkedRoleCreationNotPermitted"
    may = {"Action": ["ec2:*", "iam:CreateServiceLinkedRole"], "Resource": "*"}
    answer = account.client("ec2", account.user("bob", may)).create_fleet(**request)
    assert len(ids(answer)) == 1


def test_a_fleets_launches_are_judged_resource_by_resource(fleets: Fleets) -> None:
    """Service Authorization Reference: CreateFleet with RunInstances; tags at creation."""
    template = fleets.template(TagSpecifications=TAGS)
    region = "arn:aws:ec2:us-east-1:123456789012"
    tagged = {"StringEquals": {"aws:RequestTag/from": "template"}}
    fleet = {
        "Action": "ec2:CreateFleet",
        "Resource": [f"{region}:fleet/*", f"{region}:launch-template/{template}"],
    }
    launch = [
        {
            "Action": ["ec2:RunInstances", "ec2:CreateFleet"],
            "Resource": [f"{region}:instance/*", f"{region}:volume/*"],
            "Condition": tagged,
        },
        {
            "Action": ["ec2:RunInstances", "ec2:CreateFleet"],
            "NotResource": [f"{region}:instance/*", f"{region}:volume/*"],
        },
    ]
    tagging = {
        "Action": "ec2:CreateTags",
        "Resource": "*",
        "Condition": {"StringEquals": {"ec2:CreateAction": ["RunInstances", "CreateFleet"]}},
    }
    request = fleets.request(template, at("us-east-1a"))

    def told(name: str, *statements: dict[str, Any]) -> list[str]:
        who = fleets.account.user(name, *statements)
        answer = fleets.account.client("ec2", who).create_fleet(**request)
        return [each["ErrorCode"] for each in answer["Errors"]]

    assert code(lambda: told("nobody")) == "UnauthorizedOperation"
    assert told("fleet-alone", fleet) == ["UnauthorizedOperation"]
    assert told("untagged", fleet, *launch) == ["UnauthorizedOperation"]
    assert told("whole", fleet, *launch, tagging) == []
    other = fleets.template("other")
    request["LaunchTemplateConfigs"][0]["LaunchTemplateSpecification"]["LaunchTemplateId"] = other
    assert code(lambda: told("elsewhere", fleet)) == "UnauthorizedOperation"
    assert told("no-tags", {"Action": "ec2:CreateFleet", "Resource": "*"}, *launch) == [
        "UnauthorizedOperation"
    ]
