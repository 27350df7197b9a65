"""RunInstances as the EC2 API reference has it."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.account.support import IMAGE, LocalAccount, Machines, code

pytestmark = pytest.mark.account


def test_the_same_token_and_request_start_one_machine(machines: Machines) -> None:
    """EC2 API reference, "Ensuring idempotency in Amazon EC2 API requests"."""
    first = machines.id(ClientToken="t1")
    assert machines.id(ClientToken="t1") == first
    assert len(machines.all()) == 1


def test_the_same_token_at_the_same_time_starts_one_machine(machines: Machines) -> None:
    """EC2 API reference, "Ensuring idempotency in Amazon EC2 API requests"."""
    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda _: machines.id(ClientToken="t1"), range(8)))
    assert len(set(ids)) == 1
    assert len(machines.all()) == 1


def test_a_token_with_another_request_is_refused(machines: Machines) -> None:
    """EC2 API reference, "Ensuring idempotency in Amazon EC2 API requests"."""
    machines.launch(ClientToken="t1")
    assert (
        code(lambda: machines.launch(ClientToken="t1", MaxCount=2)) == "IdempotentParameterMismatch"
    )
    assert len(machines.all()) == 1


def test_a_token_whose_machines_have_ended_starts_nothing(machines: Machines) -> None:
    """EC2 API reference, "Error codes": IdempotentInstanceTerminated."""
    instance = machines.id(ClientToken="t1")
    machines.ec2.terminate_instances(InstanceIds=[instance])
    machines.becomes(instance, "terminated")
    assert code(lambda: machines.launch(ClientToken="t1")) == "IdempotentInstanceTerminated"


def test_tokens_count_within_a_zone(machines: Machines) -> None:
    """EC2 API reference, "Ensuring idempotency": RunInstances is idempotent within a zone."""
    subnets = machines.ec2.describe_subnets()["Subnets"]
    by_zone = {subnet["AvailabilityZone"]: subnet["SubnetId"] for subnet in subnets}
    machines.launch(ClientToken="t1", SubnetId=by_zone["us-east-1a"])
    machines.launch(ClientToken="t1", SubnetId=by_zone["us-east-1b"])
    assert len(machines.all()) == 2


def test_a_launch_that_failed_does_not_use_its_token_up(
    account: LocalAccount, machines: Machines
) -> None:
    """EC2 API reference, "Ensuring idempotency in Amazon EC2 API requests"."""
    account.press("faults", {"action": "RunInstances", "code": "InternalError", "times": 1})
    assert code(lambda: machines.launch(ClientToken="t1")) == "InternalError"
    assert machines.id(ClientToken="t1")


def test_as_many_start_as_there_is_capacity_for(account: LocalAccount, machines: Machines) -> None:
    """RunInstances, MaxCount: "the largest possible number of instances above MinCount"."""
    account.press("options", {"capacity": {"us-east-1a/m7i.large": 3}})
    assert len(machines.launch(MinCount=1, MaxCount=10)) == 3
    assert code(lambda: machines.launch(MinCount=1, MaxCount=10)) == "InsufficientInstanceCapacity"
    assert len(machines.launch(InstanceType="m7i.xlarge")) == 1


def test_less_than_the_least_starts_nothing(account: LocalAccount, machines: Machines) -> None:
    """RunInstances, MinCount: "If you specify a minimum that is more ... launches no instances"."""
    account.press("options", {"capacity": {"*": 3}})
    assert code(lambda: machines.launch(MinCount=4, MaxCount=10)) == "InsufficientInstanceCapacity"
    assert machines.all() == []


def test_capacity_can_be_short_in_one_zone(account: LocalAccount, machines: Machines) -> None:
    """EC2 User Guide, "Insufficient instance capacity"."""
    fault = {"action": "RunInstances", "code": "InsufficientInstanceCapacity", "zone": "us-east-1a"}
    account.press("faults", fault)
    assert code(machines.launch) == "InsufficientInstanceCapacity"
    assert machines.launch(Placement={"AvailabilityZone": "us-east-1b"})


def test_the_quota_of_vcpus_holds(account: LocalAccount, machines: Machines) -> None:
    """EC2 User Guide, "Amazon EC2 service quotas": running vCPUs are counted, not instances."""
    account.press("options", {"vcpu_limit": 5})
    assert len(machines.launch(MinCount=1, MaxCount=5)) == 2
    assert code(machines.launch) == "VcpuLimitExceeded"
    ids = [each["InstanceId"] for each in machines.all()]
    machines.ec2.terminate_instances(InstanceIds=ids)
    assert machines.launch()


@pytest.mark.parametrize(
    ("refusal", "status", "words"),
    [
        ("VcpuLimitExceeded", 400, "more vCPU capacity than your current vCPU limit"),
        ("MaxSpotInstanceCountExceeded", 400, "Max spot instance count exceeded"),
        (
            "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
            403,
            "to create the service-linked role for EC2 Spot Instances",
        ),
        ("OptInRequired", 401, "https://aws.amazon.com/marketplace/pp?sku="),
        ("UnauthorizedOperation", 403, "not authorized to perform: ec2:RunInstances because"),
    ],
)
def test_refusals_come_on_demand_in_ec2_s_own_words(
    account: LocalAccount, machines: Machines, refusal: str, status: int, words: str
) -> None:
    """EC2 API reference, "Error codes for the Amazon EC2 API"."""
    account.press("faults", {"action": "RunInstances", "code": refusal, "times": 1})
    with pytest.raises(ClientError) as refused:
        machines.launch()
    answer = refused.value.response
    assert answer["Error"]["Code"] == refusal
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == status
    assert words in answer["Error"]["Message"]
    assert machines.all() == []
    assert machines.launch()


@pytest.mark.parametrize("action", ["CreateFleet", "RequestSpotFleet"])
def test_a_denied_fleet_names_its_own_permission(account: LocalAccount, action: str) -> None:
    """EC2 API reference, "Error codes for the Amazon EC2 API": UnauthorizedOperation."""
    account.press("faults", {"action": action, "code": "UnauthorizedOperation"})
    ec2 = account.client("ec2")
    config = {"IamFleetRole": "arn:aws:iam::123456789012:role/r", "TargetCapacity": 1}
    calls = {
        "CreateFleet": lambda: ec2.create_fleet(
            LaunchTemplateConfigs=[], TargetCapacitySpecification={"TotalTargetCapacity": 1}
        ),
        "RequestSpotFleet": lambda: ec2.request_spot_fleet(SpotFleetRequestConfig=config),
    }
    with pytest.raises(ClientError, match=f"to perform: ec2:{action} because"):
        calls[action]()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ImageId": "ami-cd5f95b0"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "debian"}, "InvalidAMIID.Malformed"),
        ({"InstanceType": "m99.large"}, "InvalidParameterValue"),
        ({"InstanceType": "m7g.large"}, "InvalidParameterValue"),  # arm64 against an amd64 image
        ({"SubnetId": "subnet-0123456789abcdef0"}, "InvalidSubnetID.NotFound"),
        ({"SecurityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidGroup.NotFound"),
        ({"KeyName": "nobody"}, "InvalidKeyPair.NotFound"),
        ({"IamInstanceProfile": {"Name": "nobody"}}, "InvalidParameterValue"),
        ({"MinCount": 2, "MaxCount": 1}, "InvalidParameterValue"),
        ({"UserData": "x" * 16385}, "InvalidParameterValue"),
        ({"Placement": {"AvailabilityZone": "eu-west-1a"}}, "InvalidParameterValue"),
    ],
)
def test_what_does_not_exist_is_refused(
    machines: Machines, changes: dict[str, Any], expected: str
) -> None:
    """EC2 API reference, "Error codes for the Amazon EC2 API"."""
    assert code(lambda: machines.launch(**changes)) == expected
    assert machines.all() == []


def test_a_type_that_the_zone_does_not_offer_is_refused(machines: Machines) -> None:
    """EC2 User Guide, "Troubleshoot launch": Unsupported."""
    subnets = machines.ec2.describe_subnets()["Subnets"]
    offered = machines.ec2.describe_instance_type_offerings(
        LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": ["m7i.large"]}],
    )["InstanceTypeOfferings"]
    zones = {each["Location"] for each in offered}
    without = next(s for s in subnets if s["AvailabilityZone"] not in zones)
    assert code(lambda: machines.launch(SubnetId=without["SubnetId"])) == "Unsupported"


def test_user_data_of_16_kb_is_taken(machines: Machines) -> None:
    """EC2 User Guide, "Run commands when you launch an EC2 instance": 16 KB in raw form."""
    instance = machines.id(UserData="x" * 16384)
    kept = machines.ec2.describe_instance_attribute(InstanceId=instance, Attribute="userData")
    assert base64.b64decode(kept["UserData"]["Value"]) == b"x" * 16384


@pytest.mark.parametrize("key", ["with space", "with/slash", "_index", "."])
def test_tag_keys_that_metadata_cannot_show_fail_the_launch(machines: Machines, key: str) -> None:
    """EC2 User Guide, "View tags for your EC2 instances using instance metadata"."""
    tags = [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": "v"}]}]
    refused = code(
        lambda: machines.launch(
            TagSpecifications=tags, MetadataOptions={"InstanceMetadataTags": "enabled"}
        )
    )
    assert refused == "InvalidParameterValue"
    assert machines.launch(TagSpecifications=tags)
    assert len(machines.all()) == 1


def test_a_dry_run_says_what_would_be_and_does_nothing(machines: Machines) -> None:
    """RunInstances, DryRun: DryRunOperation, with status 412."""
    assert code(lambda: machines.launch(DryRun=True)) == "DryRunOperation"
    assert machines.all() == []


def test_every_machine_of_a_launch_has_profile_tags_and_a_volume_of_its_own(
    account: LocalAccount, machines: Machines
) -> None:
    """RunInstances, IamInstanceProfile, TagSpecifications and BlockDeviceMappings."""
    iam = account.client("iam")
    arn = iam.create_instance_profile(InstanceProfileName="p")["InstanceProfile"]["Arn"]
    started = machines.launch(
        MaxCount=3,
        IamInstanceProfile={"Arn": arn},
        BlockDeviceMappings=[
            {"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True, "VolumeSize": 20}}
        ],
        TagSpecifications=[
            {"ResourceType": kind, "Tags": [{"Key": "htcondor:AnnexId", "Value": "a1"}]}
            for kind in ("instance", "volume")
        ],
    )
    assert len(started) == 3
    for instance in machines.all():
        assert instance["IamInstanceProfile"]["Arn"] == arn
        assert instance["Tags"] == [{"Key": "htcondor:AnnexId", "Value": "a1"}]
        assert instance["PrivateIpAddress"].startswith("172.31.")
        assert instance["SecurityGroups"]
    volumes = machines.ec2.describe_volumes()["Volumes"]
    tagged = [v for v in volumes if v.get("Tags") == [{"Key": "htcondor:AnnexId", "Value": "a1"}]]
    assert [v["Encrypted"] for v in tagged] == [True] * 3
    assert [v["Size"] for v in tagged] == [20] * 3


def test_the_distribution_publishes_its_images_by_parameter(account: LocalAccount) -> None:
    """Systems Manager User Guide, "Working with public parameters"."""
    name = "/aws/service/debian/release/13/latest/amd64"
    found = account.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    assert found == IMAGE
    image = account.client("ec2").describe_images(ImageIds=[found])["Images"][0]
    assert image["Architecture"] == "x86_64"
