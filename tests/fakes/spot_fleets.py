"""Spot Fleet requests: the console's files, those of AWS's guide, and bad ones."""

from __future__ import annotations

import base64
from typing import Any

IMAGE, ARM_IMAGE = "ami-0000000000000001a", "ami-0000000000000002a"
ODD_IMAGE = "ami-0000000000000003a"
ROOT_SNAPSHOT = "snap-0000000000000001a"
SUBNET_A, SUBNET_B, LONELY = "subnet-0000000a", "subnet-0000000b", "subnet-0000000c"
BARE = "subnet-0000000d"  # out by a gateway, but without public addresses
ROLE = "arn:aws:iam::123456789012:role/htcondor-annex-spot-fleet"
CONSOLE_ROLE = "arn:aws:iam::123456789012:role/aws-ec2-spot-fleet-tagging-role"
PROFILE = "arn:aws:iam::123456789012:instance-profile/htcondor-annex-instance"
SCRIPT = base64.b64encode(b"#!/bin/sh\necho mine\n").decode()

Json = dict[str, Any]


def spec(**changes: Any) -> Json:
    """A launch specification that is good; None leaves a field out."""
    one = {"ImageId": IMAGE, "InstanceType": "m7i.large", **changes}
    return {name: value for name, value in one.items() if value is not None}


def specs(*listed: Json, **request: Any) -> Json:
    """A request with launch specifications."""
    return {
        "IamFleetRole": CONSOLE_ROLE,
        "TargetCapacity": 5,
        "LaunchSpecifications": list(listed or (spec(),)),
        **request,
    }


def templates(*overrides: Json, name: str = "mine", version: str = "1", **request: Any) -> Json:
    """A request with one launch template."""
    config: Json = {"LaunchTemplateSpecification": {"LaunchTemplateName": name, "Version": version}}
    if overrides:
        config["Overrides"] = list(overrides)
    return {"TargetCapacity": 5, "LaunchTemplateConfigs": [config], **request}


# The launch templates of the account, by name, id and version
TEMPLATES: dict[tuple[str, str], Json] = {
    ("mine", "1"): {"ImageId": IMAGE, "InstanceType": "m7i.large"},
    ("mine", "$Latest"): {"ImageId": IMAGE, "UserData": SCRIPT},
    ("mine", "$Default"): {"ImageId": IMAGE, "InstanceType": "m7i.large", "UserData": SCRIPT},
    ("lt-0000000000000001a", "2"): {"ImageId": IMAGE, "InstanceType": "c7i.large"},
    ("full", "1"): {
        "ImageId": IMAGE,
        "InstanceType": "m7i.large",
        "EbsOptimized": True,
        "BlockDeviceMappings": [
            {
                "DeviceName": "/dev/xvda",
                "Ebs": {
                    "DeleteOnTermination": False,
                    "Encrypted": False,
                    "SnapshotId": ROOT_SNAPSHOT,
                    "VolumeSize": 30,
                    "VolumeType": "gp3",
                },
            },
            {"DeviceName": "/dev/xvdb", "Ebs": {"SnapshotId": "snap-0000000000000009a"}},
            {"DeviceName": "/dev/xvdc", "Ebs": {"VolumeSize": 100, "Encrypted": False}},
            {"DeviceName": "/dev/xvdd", "NoDevice": ""},
        ],
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "SubnetId": SUBNET_A,
                "Groups": ["sg-0000000a"],
                "AssociatePublicIpAddress": True,
                "DeleteOnTermination": False,
            }
        ],
        "DisableApiTermination": True,
        "DisableApiStop": False,
        "InstanceInitiatedShutdownBehavior": "stop",
        "HibernationOptions": {"Configured": False},
        "MetadataOptions": {
            "State": "applied",
            "HttpTokens": "optional",
            "HttpPutResponseHopLimit": 2,
            "HttpProtocolIpv6": "enabled",
        },
        "Operator": {"Managed": False},
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": [{"Key": "team", "Value": "physics"}]},
            {"ResourceType": "network-interface", "Tags": [{"Key": "cost center", "Value": "7"}]},
        ],
    },
    ("spot", "1"): {"ImageId": IMAGE, "InstanceMarketOptions": {"MarketType": "spot"}},
    ("asleep", "1"): {"ImageId": IMAGE, "HibernationOptions": {"Configured": True}},
    ("served", "1"): {"ImageId": IMAGE, "Operator": {"Managed": True, "Principal": "x.aws"}},
    ("hosted", "1"): {"ImageId": IMAGE, "Placement": {"HostId": "h-1"}},
    ("another annex's", "1"): {
        "ImageId": IMAGE,
        "InstanceType": "m7i.large",
        "UserData": SCRIPT,
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": [{"Key": "htcondor:AnnexId", "Value": "annex-2"}]}
        ],
    },
    ("bare", "1"): {"InstanceType": "m7i.large"},
    ("described", "1"): {
        "ImageId": IMAGE,
        "InstanceRequirements": {"VCpuCount": {"Min": 2}, "MemoryMiB": {"Min": 4}},
    },
    ("powerful", "1"): {
        "ImageId": IMAGE,
        "InstanceType": "m7i.large",
        "IamInstanceProfile": {"Name": "administrator"},
    },
}

_GROUP = [{"GroupId": "sg-0000000a"}]
_REQUIRED = {"VCpuCount": {"Min": 2, "Max": 8}, "MemoryMiB": {"Min": 4096}}

# Each with the overrides that come of it, by template, and the weights
VALID: dict[str, tuple[Json, list[list[Json]], dict[str, int]]] = {
    "what the console downloads today": (
        {
            "IamFleetRole": CONSOLE_ROLE,
            "AllocationStrategy": "priceCapacityOptimized",
            "TargetCapacity": 5,
            "ValidFrom": "2026-11-24T10:00:00.000Z",
            "ValidUntil": "2027-11-24T10:00:00.000Z",
            "TerminateInstancesWithExpiration": True,
            "Type": "maintain",
            "OnDemandAllocationStrategy": "lowestPrice",
            "LaunchSpecifications": [
                {
                    "ImageId": IMAGE,
                    "KeyName": "laptop",
                    "BlockDeviceMappings": [
                        {
                            "DeviceName": "/dev/xvda",
                            "Ebs": {
                                "DeleteOnTermination": True,
                                "SnapshotId": ROOT_SNAPSHOT,
                                "VolumeSize": 8,
                                "VolumeType": "gp3",
                                "Encrypted": False,
                            },
                        }
                    ],
                    "SubnetId": f"{SUBNET_A},{SUBNET_B}",
                    "IamInstanceProfile": {"Arn": PROFILE},
                    "SecurityGroups": _GROUP,
                    "TagSpecifications": [
                        {"ResourceType": "instance", "Tags": [{"Key": "team", "Value": "a"}]}
                    ],
                    "InstanceRequirements": _REQUIRED,
                    "WeightedCapacity": 1,
                }
            ],
        },
        [
            [
                {"InstanceRequirements": _REQUIRED, "SubnetId": SUBNET_A, "WeightedCapacity": 1},
                {"InstanceRequirements": _REQUIRED, "SubnetId": SUBNET_B, "WeightedCapacity": 1},
            ]
        ],
        {"": 1},
    ),
    "what the console downloaded when the tutorial was written": (
        {
            "IamFleetRole": "arn:aws:iam::123456789012:role/aws-ec2-spot-fleet-role",
            "AllocationStrategy": "lowestPrice",
            "TargetCapacity": 5,
            "SpotPrice": "0.2",
            "ValidFrom": "2018-03-20T15:00:00Z",
            "ValidUntil": "2019-03-20T15:00:00Z",
            "TerminateInstancesWithExpiration": True,
            "LaunchSpecifications": [
                spec(
                    InstanceType=kind,
                    KeyName="laptop",
                    SpotPrice="0.1",
                    SubnetId=f"{SUBNET_A}, {SUBNET_B}",
                    IamInstanceProfile={"Arn": PROFILE},
                    BlockDeviceMappings=[
                        {
                            "DeviceName": "/dev/xvda",
                            "Ebs": {
                                "DeleteOnTermination": True,
                                "VolumeType": "gp2",
                                "VolumeSize": 8,
                                "SnapshotId": ROOT_SNAPSHOT,
                            },
                        }
                    ],
                    SecurityGroups=_GROUP,
                )
                for kind in ("c7i.large", "m7i.xlarge")
            ],
            "Type": "request",
        },
        [
            [
                {"InstanceType": kind, "SpotPrice": "0.1", "SubnetId": subnet}
                for kind in ("c7i.large", "m7i.xlarge")
                for subnet in (SUBNET_A, SUBNET_B)
            ]
        ],
        {"c7i.large": 1, "m7i.xlarge": 1},
    ),
    "the least there can be": (
        {"LaunchSpecifications": [spec()]},
        [[{"InstanceType": "m7i.large"}]],
        {"m7i.large": 1},
    ),
    "guide 1: any zone": (
        specs(spec(KeyName="laptop", SecurityGroups=_GROUP, IamInstanceProfile={"Arn": PROFILE})),
        [[{"InstanceType": "m7i.large"}]],
        {"m7i.large": 1},
    ),
    "guide 2: zones in a list": (
        specs(
            spec(Placement={"AvailabilityZone": "us-east-1a, us-east-1b"}, SecurityGroups=_GROUP)
        ),
        [
            [
                {"InstanceType": "m7i.large", "AvailabilityZone": "us-east-1a"},
                {"InstanceType": "m7i.large", "AvailabilityZone": "us-east-1b"},
            ]
        ],
        {"m7i.large": 1},
    ),
    "guide 2: a network interface with subnet and groups": (
        specs(
            spec(
                NetworkInterfaces=[
                    {
                        "DeviceIndex": 0,
                        "SubnetId": SUBNET_A,
                        "Groups": ["sg-0000000a"],
                        "AssociatePublicIpAddress": True,
                    }
                ]
            )
        ),
        [[{"InstanceType": "m7i.large"}]],
        {"m7i.large": 1},
    ),
    "guide 3: types in one subnet": (
        specs(spec(SubnetId=SUBNET_A), spec(SubnetId=SUBNET_A, InstanceType="c7i.large")),
        [
            [
                {"InstanceType": "m7i.large", "SubnetId": SUBNET_A},
                {"InstanceType": "c7i.large", "SubnetId": SUBNET_A},
            ]
        ],
        {"c7i.large": 1, "m7i.large": 1},
    ),
    "guide 4: prices": (
        specs(spec(SpotPrice="0.10"), spec(InstanceType="m7i.xlarge"), SpotPrice="1.00"),
        [[{"InstanceType": "m7i.large", "SpotPrice": "0.10"}, {"InstanceType": "m7i.xlarge"}]],
        {"m7i.large": 1, "m7i.xlarge": 1},
    ),
    "guide 5: diversified": (
        specs(
            spec(Placement={"AvailabilityZone": "us-east-1a"}),
            spec(InstanceType="c7i.large", Placement={"AvailabilityZone": "us-east-1b"}),
            AllocationStrategy="diversified",
            SpotPrice="0.70",
        ),
        [
            [
                {"InstanceType": "m7i.large", "AvailabilityZone": "us-east-1a"},
                {"InstanceType": "c7i.large", "AvailabilityZone": "us-east-1b"},
            ]
        ],
        {"c7i.large": 1, "m7i.large": 1},
    ),
    "guide 6: weights": (
        specs(
            spec(WeightedCapacity=6, SubnetId=SUBNET_A),
            spec(WeightedCapacity=3, SubnetId=SUBNET_A, InstanceType="c7i.large"),
        ),
        [
            [
                {"InstanceType": "m7i.large", "WeightedCapacity": 6, "SubnetId": SUBNET_A},
                {"InstanceType": "c7i.large", "WeightedCapacity": 3, "SubnetId": SUBNET_A},
            ]
        ],
        {"c7i.large": 3, "m7i.large": 6},
    ),
    "guide 7: a share on demand, nulls and empty lists": (
        {
            **templates({"InstanceType": "m7i.large", "WeightedCapacity": 1, "SubnetId": SUBNET_A}),
            "IamFleetRole": CONSOLE_ROLE,
            "AllocationStrategy": "lowestPrice",
            "SpotPrice": None,
            "ValidFrom": "2018-04-04T15:58:13Z",
            "ValidUntil": "2019-04-04T15:58:13Z",
            "TerminateInstancesWithExpiration": True,
            "LaunchSpecifications": [],
            "Type": "maintain",
            "OnDemandTargetCapacity": 5,
        },
        [[{"InstanceType": "m7i.large", "WeightedCapacity": 1, "SubnetId": SUBNET_A}]],
        {"m7i.large": 1},
    ),
    "guide 8: rebalancing, wrapped, numbers as text": (
        {
            "SpotFleetRequestConfig": {
                "AllocationStrategy": "capacityOptimized",
                "IamFleetRole": CONSOLE_ROLE,
                **templates(
                    {
                        "InstanceType": "c7i.large",
                        "WeightedCapacity": 1,
                        "Placement": {"AvailabilityZone": "us-east-1a"},
                    }
                ),
                "SpotMaintenanceStrategies": {
                    "CapacityRebalance": {
                        "ReplacementStrategy": "launch-before-terminate",
                        "TerminationDelay": "720",
                    }
                },
            }
        },
        [
            [
                {
                    "InstanceType": "c7i.large",
                    "WeightedCapacity": 1,
                    "AvailabilityZone": "us-east-1a",
                }
            ]
        ],
        {"c7i.large": 1},
    ),
    "guide 10: priorities, fields beside the wrapper": (
        {
            **templates(
                {"InstanceType": "m7i.large", "Priority": 1, "AvailabilityZone": "us-east-1a"},
                {"InstanceType": "c7i.large", "Priority": 2, "AvailabilityZone": "us-east-1b"},
            ),
            "TargetCapacity": "50",
            "SpotFleetRequestConfig": {"AllocationStrategy": "capacityOptimizedPrioritized"},
        },
        [
            [
                {"InstanceType": "m7i.large", "Priority": 1, "AvailabilityZone": "us-east-1a"},
                {"InstanceType": "c7i.large", "Priority": 2, "AvailabilityZone": "us-east-1b"},
            ]
        ],
        {"c7i.large": 1, "m7i.large": 1},
    ),
    "guide 11: price and capacity": (
        {
            "SpotFleetRequestConfig": {
                "AllocationStrategy": "priceCapacityOptimized",
                "OnDemandAllocationStrategy": "lowestPrice",
                "ExcessCapacityTerminationPolicy": "default",
                "IamFleetRole": CONSOLE_ROLE,
                "LaunchTemplateConfigs": [
                    {
                        "LaunchTemplateSpecification": {
                            "LaunchTemplateId": "lt-0000000000000001a",
                            "Version": "2",
                        },
                        "Overrides": [{"AvailabilityZone": "us-east-1a"}],
                    }
                ],
                "TargetCapacity": 50,
                "Type": "request",
            }
        },
        [[{"AvailabilityZone": "us-east-1a"}]],
        {"c7i.large": 1},
    ),
    "guide 12: types by attributes": (
        templates(
            {"InstanceRequirements": {"VCpuCount": {"Min": 2}, "MemoryMiB": {"Min": 4}}},
            AllocationStrategy="priceCapacityOptimized",
            Type="request",
        ),
        [[{"InstanceRequirements": {"VCpuCount": {"Min": 2}, "MemoryMiB": {"Min": 4}}}]],
        {"": 1},
    ),
    "types with weights, and others by attributes": (
        templates(
            {"InstanceType": "m7i.large", "WeightedCapacity": 2},
            {"InstanceType": "c7i.large"},
            {"InstanceRequirements": {**_REQUIRED, "ExcludedInstanceTypes": ["t3.*"]}},
        ),
        [
            [
                {"InstanceType": "m7i.large", "WeightedCapacity": 2},
                {"InstanceType": "c7i.large"},
                {
                    "InstanceRequirements": {
                        **_REQUIRED,
                        "ExcludedInstanceTypes": ["t3.*", "m7i.large"],
                    }
                },
            ]
        ],
        {"m7i.large": 2, "c7i.large": 1, "": 1},
    ),
    "a type with a weight, and none that requirements allow": (
        templates(
            {"InstanceType": "m7i.large", "WeightedCapacity": 2},
            {"InstanceRequirements": {**_REQUIRED, "AllowedInstanceTypes": ["c7i.*"]}},
        ),
        [
            [
                {"InstanceType": "m7i.large", "WeightedCapacity": 2},
                {"InstanceRequirements": {**_REQUIRED, "AllowedInstanceTypes": ["c7i.*"]}},
            ]
        ],
        {"m7i.large": 2, "": 1},
    ),
    "a template without overrides": (templates(version="$Default"), [[]], {"m7i.large": 1}),
    "the latest version, with a type": (
        templates({"InstanceType": "c7i.large"}, version="$Latest"),
        [[{"InstanceType": "c7i.large"}]],
        {"c7i.large": 1},
    ),
    "a template with all that must change": (templates(name="full"), [[]], {"m7i.large": 1}),
    "user data of the user's own": (
        specs(spec(UserData=SCRIPT), spec(InstanceType="c7i.large")),
        [[{"InstanceType": "m7i.large"}], [{"InstanceType": "c7i.large"}]],
        {"c7i.large": 1, "m7i.large": 1},
    ),
    "groups by name, monitoring, placement group, kernel": (
        specs(
            spec(
                SecurityGroups=[
                    {"GroupName": "open"},
                    {"GroupName": "x", "GroupId": "sg-0000000a"},
                ],
                Monitoring={"Enabled": True},
                Placement={"GroupName": "near", "Tenancy": "default"},
                KernelId="aki-1",
                RamdiskId="ari-1",
                EbsOptimized=True,
            )
        ),
        [[{"InstanceType": "m7i.large"}]],
        {"m7i.large": 1},
    ),
    "two architectures": (
        specs(spec(), spec(ImageId=ARM_IMAGE, InstanceType="m7g.large")),
        [[{"InstanceType": "m7i.large"}], [{"InstanceType": "m7g.large"}]],
        {"m7g.large": 1, "m7i.large": 1},
    ),
    "tags for the request": (
        specs(
            TagSpecifications=[
                {
                    "ResourceType": "spot-fleet-request",
                    "Tags": [{"Key": "cost center", "Value": "7"}],
                }
            ]
        ),
        [[{"InstanceType": "m7i.large"}]],
        {"m7i.large": 1},
    ),
    "a public address where the subnet gives none": (
        specs(
            spec(
                SubnetId=BARE,
                NetworkInterfaces=[{"DeviceIndex": 0, "AssociatePublicIpAddress": True}],
            )
        ),
        [[{"InstanceType": "m7i.large", "SubnetId": BARE}]],
        {"m7i.large": 1},
    ),
    "the command line's own skeleton": (
        {"DryRun": False, "SpotFleetRequestConfig": specs(ClientToken="", Context="")},
        [[{"InstanceType": "m7i.large"}]],
        {"m7i.large": 1},
    ),
    "the same pool twice": (
        specs(spec(), spec()),
        [[{"InstanceType": "m7i.large"}]],
        {"m7i.large": 1},
    ),
    "subnets of a network interface in a list": (
        specs(
            spec(
                NetworkInterfaces=[
                    {
                        "DeviceIndex": 0,
                        "SubnetId": f"{SUBNET_A},{SUBNET_B}",
                        "Groups": ["sg-0000000a"],
                    }
                ]
            )
        ),
        [
            [
                {"InstanceType": "m7i.large", "SubnetId": SUBNET_A},
                {"InstanceType": "m7i.large", "SubnetId": SUBNET_B},
            ]
        ],
        {"m7i.large": 1},
    ),
}

# Each with what the refusal begins with
INVALID: dict[str, tuple[Json | str, str]] = {
    "no JSON": ("{", "The Spot Fleet configuration is not JSON"),
    "a comma too many": ('{"Type": "request",}', "The Spot Fleet configuration is not JSON"),
    "a list": ("[]", "The Spot Fleet configuration is not a JSON object"),
    "too deep": ("[" * 100_000, "The Spot Fleet configuration is not JSON"),
    "a field twice": ('{"Type": "request", "Type": "maintain"}', "The Spot Fleet configuration"),
    "not a number": ('{"TargetCapacity": NaN}', "The Spot Fleet configuration"),
    "a field in and beside the wrapper": (
        {"Type": "request", "SpotFleetRequestConfig": specs(Type="request")},
        "Type: is there twice",
    ),
    "nothing to start": ({"TargetCapacity": 5}, "LaunchSpecifications: there are none"),
    "both kinds": (
        {**specs(), **templates()},
        "LaunchTemplateConfigs: cannot be there beside LaunchSpecifications",
    ),
    "an unknown field": (specs(Colour="red"), "Colour: a Spot Fleet has no such field"),
    "an unknown field further in": (
        specs(spec(Placement={"Rack": "7"})),
        "LaunchSpecifications[0].Placement.Rack: a Spot Fleet has no such field",
    ),
    "a number for a name": (
        specs(spec(), spec(ImageId=7)),
        "LaunchSpecifications[1].ImageId: must be text, not 7.",
    ),
    "a word for a number": (
        specs(TargetCapacity="five"),
        'TargetCapacity: must be a whole number, not "five".',
    ),
    "a word for a truth": (
        specs(spec(EbsOptimized="yes")),
        "LaunchSpecifications[0].EbsOptimized: must be true or false",
    ),
    "a bad time": (specs(ValidUntil="tomorrow"), "ValidUntil: must be a time"),
    "one specification, not in a list": (
        {"LaunchSpecifications": spec()},
        "LaunchSpecifications: must be a list",
    ),
    "a start in the future": (specs(ValidFrom="2027-01-01T00:00:00Z"), "ValidFrom: lies in"),
    "another fleet role": (
        specs(IamFleetRole="arn:aws:iam::123456789012:role/administrator"),
        f"IamFleetRole: an annex's fleets have {ROLE}",
    ),
    "another account's fleet role": (
        specs(IamFleetRole="arn:aws:iam::999999999999:role/aws-ec2-spot-fleet-tagging-role"),
        "IamFleetRole: an annex's fleets have",
    ),
    "another profile": (
        specs(
            spec(IamInstanceProfile={"Arn": PROFILE.replace("htcondor-annex-instance", "admin")})
        ),
        "LaunchSpecifications[0].IamInstanceProfile.Arn: machines of an annex have",
    ),
    "another profile in a template": (
        templates(name="powerful"),
        "Version 1 of powerful.IamInstanceProfile.Name: machines of an annex have",
    ),
    "a key pair that is not allowed": (
        specs(spec(KeyName="root")),
        "LaunchSpecifications[0].KeyName: The key pair 'root' is not one",
    ),
    "hibernation": (
        specs(InstanceInterruptionBehavior="hibernate"),
        "InstanceInterruptionBehavior: a machine that EC2 takes back must end",
    ),
    "load balancers": (
        specs(LoadBalancersConfig={"TargetGroupsConfig": {"TargetGroups": [{"Arn": "arn:x"}]}}),
        "LoadBalancersConfig: nothing connects",
    ),
    "units that are no slots": (
        specs(TargetCapacityUnitType="memory-mib"),
        "TargetCapacityUnitType: a slot is one unit",
    ),
    "more on demand than slots": (
        specs(OnDemandTargetCapacity=6),
        "OnDemandTargetCapacity: 6 are more than the 5 slots",
    ),
    "half a slot": (
        specs(spec(WeightedCapacity=1.5)),
        "LaunchSpecifications[0].WeightedCapacity: 1.5 is no whole number",
    ),
    "no slot": (
        specs(spec(WeightedCapacity=0)),
        "LaunchSpecifications[0].WeightedCapacity: 0 is no whole number",
    ),
    "two weights for a type": (
        specs(spec(SubnetId=SUBNET_A, WeightedCapacity=2), spec(SubnetId=SUBNET_B)),
        "LaunchSpecifications[1].WeightedCapacity: m7i.large counts 2 elsewhere and 1 here",
    ),
    "a type with a weight that requirements allow by name": (
        templates(
            {"InstanceType": "m7i.large", "WeightedCapacity": 2},
            {"InstanceRequirements": {**_REQUIRED, "AllowedInstanceTypes": ["c7i.*", "m7i.*"]}},
        ),
        "LaunchTemplateConfigs[0].Overrides[1].InstanceRequirements.AllowedInstanceTypes: 'm7i.*'",
    ),
    "a type and requirements in one place": (
        specs(spec(InstanceRequirements=_REQUIRED)),
        "LaunchSpecifications[0].InstanceRequirements: cannot be there beside InstanceType",
    ),
    "a name in other letters": (
        {"launchSpecifications": [spec()]},
        "launchSpecifications: is written LaunchSpecifications.",
    ),
    "a wrapper around nothing": (
        {"SpotFleetRequestConfig": "x"},
        "SpotFleetRequestConfig: must be a structure in braces.",
    ),
    "a weight for types unknown": (
        templates({"InstanceRequirements": _REQUIRED, "WeightedCapacity": 4}),
        "LaunchTemplateConfigs[0].Overrides[0].WeightedCapacity: a machine of a type that EC2",
    ),
    "an image that is not there": (
        specs(spec(ImageId="ami-0000000000000009a")),
        "LaunchSpecifications[0].ImageId: there is no AMI",
    ),
    "no image": (specs(spec(ImageId=None)), "LaunchSpecifications[0].ImageId: is missing"),
    "no image in a template": (
        templates(name="bare"),
        "Version 1 of bare.ImageId: is missing",
    ),
    "an image of an odd architecture": (
        specs(spec(ImageId=ODD_IMAGE)),
        f"LaunchSpecifications[0].ImageId: {ODD_IMAGE} is x86_64_mac",
    ),
    "an image that the type cannot run": (
        specs(spec(ImageId=ARM_IMAGE)),
        "LaunchSpecifications[0].InstanceType: m7i.large cannot run",
    ),
    "a type that is not there": (
        specs(spec(InstanceType="m99.large")),
        "LaunchSpecifications[0].InstanceType: EC2 has no m99.large",
    ),
    "no type": (specs(spec(InstanceType=None)), "LaunchSpecifications[0].InstanceType: is missing"),
    "a subnet that is not there": (
        specs(spec(SubnetId="subnet-00000009")),
        "LaunchSpecifications[0].SubnetId: there is no subnet subnet-00000009",
    ),
    "a subnet without a way out": (
        templates({"InstanceType": "m7i.large", "SubnetId": LONELY}),
        f"LaunchTemplateConfigs[0].Overrides[0].SubnetId: {LONELY} has no way out",
    ),
    "a subnet where machines would have no address": (
        specs(spec(SubnetId=f"{SUBNET_A},{BARE}")),
        f"LaunchSpecifications[0].SubnetId: {BARE} leads out by an internet gateway",
    ),
    "an interface that takes the address away": (
        specs(
            spec(
                NetworkInterfaces=[
                    {"DeviceIndex": 0, "SubnetId": SUBNET_A, "AssociatePublicIpAddress": False}
                ]
            )
        ),
        f"LaunchSpecifications[0].NetworkInterfaces[0].SubnetId: {SUBNET_A} leads out",
    ),
    "a dry run in the file": (
        {"DryRun": True, "SpotFleetRequestConfig": specs()},
        "DryRun: ask for a dry run of the annex itself",
    ),
    "an interface without a way out": (
        specs(spec(NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": LONELY}])),
        f"LaunchSpecifications[0].NetworkInterfaces[0].SubnetId: {LONELY} has no way out",
    ),
    "an interface there is": (
        specs(spec(NetworkInterfaces=[{"NetworkInterfaceId": "eni-1"}])),
        "LaunchSpecifications[0].NetworkInterfaces[0].NetworkInterfaceId: a fleet cannot",
    ),
    "a root volume of another snapshot": (
        specs(
            spec(
                BlockDeviceMappings=[
                    {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "snap-0000000000000009a"}}
                ]
            )
        ),
        "LaunchSpecifications[0].BlockDeviceMappings[0].Ebs.SnapshotId: the root volume",
    ),
    "a root volume smaller than the image": (
        specs(spec(BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 4}}])),
        "LaunchSpecifications[0].BlockDeviceMappings[0].Ebs.VolumeSize: the root volume",
    ),
    "a host": (
        specs(spec(Placement={"Tenancy": "host"})),
        "LaunchSpecifications[0].Placement.Tenancy: spot machines have no hosts",
    ),
    "an addressing type": (
        specs(spec(AddressingType="public")),
        "LaunchSpecifications[0].AddressingType: deprecated",
    ),
    "user data that is not base64": (
        specs(spec(UserData="#!/bin/sh")),
        "LaunchSpecifications[0].UserData: is not base64",
    ),
    "user data of no kind": (
        specs(spec(UserData=base64.b64encode(b"hello").decode())),
        "LaunchSpecifications[0].UserData: of no kind",
    ),
    "a tag in our name": (
        specs(
            spec(
                TagSpecifications=[
                    {
                        "ResourceType": "instance",
                        "Tags": [{"Key": "htcondor:AnnexOwner", "Value": "bob"}],
                    }
                ]
            )
        ),
        "LaunchSpecifications[0].TagSpecifications[0]: The tag 'htcondor:AnnexOwner' is reserved",
    ),
    "a tag in our name on the request": (
        specs(
            TagSpecifications=[
                {
                    "ResourceType": "spot-fleet-request",
                    "Tags": [{"Key": "htcondor:AnnexId", "Value": "annex-1"}],
                }
            ]
        ),
        "TagSpecifications[0]: The tag 'htcondor:AnnexId' is reserved",
    ),
    "a tag without a key": (
        specs(spec(TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Value": "x"}]}])),
        "LaunchSpecifications[0].TagSpecifications[0].Tags: a tag without a Key",
    ),
    "instances tagged where the request is": (
        specs(TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "a"}]}]),
        "TagSpecifications[0].ResourceType: only spot-fleet-request can be tagged here",
    ),
    "a template that is not there": (
        templates(version="9"),
        "LaunchTemplateConfigs[0].LaunchTemplateSpecification: there is no launch template mine",
    ),
    "a template without a version": (
        {
            "LaunchTemplateConfigs": [
                {"LaunchTemplateSpecification": {"LaunchTemplateName": "mine"}}
            ]
        },
        "LaunchTemplateConfigs[0].LaunchTemplateSpecification.Version: is missing",
    ),
    "no template": (
        {"LaunchTemplateConfigs": [{"Overrides": [{"InstanceType": "m7i.large"}]}]},
        "LaunchTemplateConfigs[0].LaunchTemplateSpecification: needs either",
    ),
    "a template with a market": (
        templates(name="spot"),
        "Version 1 of spot.InstanceMarketOptions: a template for fleets leaves",
    ),
    "a template that sleeps": (
        templates(name="asleep"),
        "Version 1 of asleep.HibernationOptions.Configured: a machine of an annex is never",
    ),
    "a service's template": (
        templates(name="served"),
        "Version 1 of served.Operator.Managed: this template belongs",
    ),
    # Its user data has the name of that annex's configuration object, where tokens lie.
    "another annex's template": (
        templates(name="another annex's"),
        "Version 1 of another annex's.TagSpecifications[0]: The tag 'htcondor:AnnexId' is reserved",
    ),
    "a template for a host": (
        templates(name="hosted"),
        "Version 1 of hosted.Placement.HostId: dedicated hosts",
    ),
}
