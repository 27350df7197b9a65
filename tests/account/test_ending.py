"""How instances end, and what is seen of them, as the EC2 User Guide and API reference have it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.account.support import LocalAccount, Machines, code, eventually

pytestmark = pytest.mark.account


def test_a_machine_is_pending_before_it_runs(account: LocalAccount, machines: Machines) -> None:
    """EC2 User Guide, "Amazon EC2 instance state changes"."""
    account.press("options", {"pending_seconds": 3600})
    started = machines.launch()[0]
    assert started["State"]["Name"] == "pending"
    account.press("power", {"instance_id": started["InstanceId"], "event": "running"})
    machines.becomes(started["InstanceId"], "running")


def test_ending_takes_time_and_says_who_asked(account: LocalAccount, machines: Machines) -> None:
    """TerminateInstances; StateReason in the API reference: Client.UserInitiatedShutdown."""
    account.press("options", {"shutting_down_seconds": 3600})
    instance = machines.id()
    machines.becomes(instance, "running")
    change = machines.ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"][0]
    assert change["PreviousState"]["Name"] == "running"
    assert change["CurrentState"]["Name"] == "shutting-down"
    account.press("power", {"instance_id": instance, "event": "powered_off"})
    ended = machines.becomes(instance, "terminated")
    assert ended["StateReason"]["Code"] == "Client.UserInitiatedShutdown"


def test_ending_twice_changes_nothing(machines: Machines) -> None:
    """TerminateInstances: "This operation is idempotent"."""
    instance = machines.id()
    machines.ec2.terminate_instances(InstanceIds=[instance])
    machines.becomes(instance, "terminated")
    change = machines.ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"][0]
    assert change["CurrentState"]["Name"] == "terminated"


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ("i-0123456789abcdef0", "InvalidInstanceID.NotFound"),
        ("machine", "InvalidInstanceID.Malformed"),
    ],
)
def test_one_bad_id_and_nothing_is_terminated(machines: Machines, bad: str, expected: str) -> None:
    """TerminateInstances: "because of a single incorrect instance ID, none are terminated"."""
    instance = machines.id()
    ids = [instance, bad]
    assert code(lambda: machines.ec2.terminate_instances(InstanceIds=ids)) == expected
    machines.becomes(instance, "running")


def test_a_protected_machine_protects_its_zone_alone(machines: Machines) -> None:
    """TerminateInstances: "across multiple Availability Zones" and termination protection."""
    protected, beside = machines.id(), machines.id()
    elsewhere = machines.id(Placement={"AvailabilityZone": "us-east-1b"})
    machines.ec2.modify_instance_attribute(
        InstanceId=protected, DisableApiTermination={"Value": True}
    )
    ids = [protected, beside, elsewhere]
    assert (
        code(lambda: machines.ec2.terminate_instances(InstanceIds=ids)) == "OperationNotPermitted"
    )
    machines.becomes(elsewhere, "terminated")
    machines.becomes(protected, "running")
    machines.becomes(beside, "running")


@pytest.mark.parametrize(("behaviour", "state"), [("terminate", "terminated"), ("stop", "stopped")])
def test_a_machine_that_powers_off_ends_as_its_launch_said(
    account: LocalAccount, machines: Machines, behaviour: str, state: str
) -> None:
    """EC2 User Guide, "Change instance initiated shutdown behavior"."""
    instance = machines.id(InstanceInitiatedShutdownBehavior=behaviour)
    machines.becomes(instance, "running")
    account.press("power", {"instance_id": instance, "event": "powered_off"})
    ended = machines.becomes(instance, state)
    assert ended["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


def test_a_machine_that_cannot_boot_is_terminated(
    account: LocalAccount, machines: Machines
) -> None:
    """EC2 User Guide, "Instance terminates immediately": Server.InternalError."""
    account.press("options", {"pending_seconds": 3600})
    instance = machines.id()
    account.press("power", {"instance_id": instance, "event": "powered_off"})
    assert machines.becomes(instance, "terminated")["StateReason"]["Code"] == "Server.InternalError"


def test_a_machine_can_be_stopped_and_started_but_not_once_terminated(machines: Machines) -> None:
    """StopInstances and StartInstances; "Error codes": IncorrectInstanceState."""
    instance = machines.id()
    machines.becomes(instance, "running")
    machines.ec2.stop_instances(InstanceIds=[instance])
    machines.becomes(instance, "stopped")
    machines.ec2.start_instances(InstanceIds=[instance])
    machines.becomes(instance, "running")
    machines.ec2.terminate_instances(InstanceIds=[instance])
    machines.becomes(instance, "terminated")
    assert (
        code(lambda: machines.ec2.start_instances(InstanceIds=[instance]))
        == "IncorrectInstanceState"
    )


def test_terminated_machines_vanish_after_a_while(
    account: LocalAccount, machines: Machines
) -> None:
    """EC2 User Guide, "Terminate Amazon EC2 instances": visible for a short while."""
    account.press("options", {"terminated_visible_seconds": 0.3})
    instance = machines.id()
    machines.ec2.terminate_instances(InstanceIds=[instance])
    eventually(lambda: machines.all() == [])
    unknown = code(lambda: machines.ec2.describe_instances(InstanceIds=[instance]))
    assert unknown == "InvalidInstanceID.NotFound"


def test_volumes_and_interfaces_end_with_their_machine(machines: Machines) -> None:
    """EC2 User Guide, "Preserve data when an instance is terminated": DeleteOnTermination."""
    before = len(machines.ec2.describe_volumes()["Volumes"])
    instance = machines.id()
    assert len(machines.ec2.describe_volumes()["Volumes"]) == before + 1
    machines.ec2.terminate_instances(InstanceIds=[instance])
    machines.becomes(instance, "terminated")
    assert len(machines.ec2.describe_volumes()["Volumes"]) == before
    assert machines.ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_a_new_machine_may_not_be_found_for_a_moment(
    account: LocalAccount, machines: Machines
) -> None:
    """EC2 API reference, "Eventual consistency"."""
    account.press("options", {"invisible_seconds": 0.5})
    seen = machines.id()
    eventually(machines.all)
    account.press("options", {"invisible_seconds": 3600})
    instance = machines.id()
    calls: list[Any] = [
        machines.ec2.describe_instances,
        machines.ec2.terminate_instances,
    ]
    for call in calls:
        assert code(lambda: call(InstanceIds=[instance])) == "InvalidInstanceID.NotFound"  # noqa: B023
    tags = [{"Key": "k", "Value": "v"}]
    late = code(lambda: machines.ec2.create_tags(Resources=[instance], Tags=tags))
    assert late == "InvalidInstanceID.NotFound"
    assert [each["InstanceId"] for each in machines.all()] == [seen]
    account.press("options", {"invisible_seconds": 0})
    assert {each["InstanceId"] for each in machines.all()} == {seen, instance}


def test_pages_count_instances(machines: Machines) -> None:
    """DescribeInstances, MaxResults: instances, not reservations, between 5 and 1000."""
    machines.launch(MinCount=12, MaxCount=12)
    first = machines.ec2.describe_instances(MaxResults=5)
    assert [len(each["Instances"]) for each in first["Reservations"]] == [5]
    pages = machines.ec2.get_paginator("describe_instances").paginate(
        PaginationConfig={"PageSize": 5}
    )
    ids = [i["InstanceId"] for page in pages for r in page["Reservations"] for i in r["Instances"]]
    assert len(ids) == len(set(ids)) == 12
    refused = code(lambda: machines.ec2.describe_instances(MaxResults=4))
    assert refused == "InvalidParameterValue"


def test_machines_are_found_by_token_tag_and_state(machines: Machines) -> None:
    """DescribeInstances, Filters."""
    tag = [{"ResourceType": "instance", "Tags": [{"Key": "htcondor:AnnexId", "Value": "foo"}]}]
    wanted = machines.id(ClientToken="t1", TagSpecifications=tag)
    other = [{"ResourceType": "instance", "Tags": [{"Key": "htcondor:AnnexId", "Value": "foobar"}]}]
    machines.launch(ClientToken="t2", TagSpecifications=other)
    for name, value in (("client-token", "t1"), ("tag:htcondor:AnnexId", "foo")):
        found = machines.all(Filters=[{"Name": name, "Values": [value]}])
        assert [each["InstanceId"] for each in found] == [wanted]
    assert len(machines.all(Filters=[{"Name": "tag-key", "Values": ["htcondor:AnnexId"]}])) == 2
    invalid = code(lambda: machines.all(Filters=[{"Name": "colour", "Values": ["red"]}]))
    assert invalid == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("fault", "status"),
    [("RequestLimitExceeded", 503), ("InternalError", 500), ("UnauthorizedOperation", 403)],
)
def test_trouble_comes_when_it_is_asked_for(
    account: LocalAccount, machines: Machines, fault: str, status: int
) -> None:
    """EC2 API reference, "Error codes", "Request throttling"."""
    account.press("faults", {"action": "Describe*", "code": fault, "times": 1, "skip": 1})
    machines.all()
    with pytest.raises(machines.ec2.exceptions.ClientError) as caught:
        machines.all()
    assert caught.value.response["Error"]["Code"] == fault
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    machines.all()
    assert account.press("faults", method="GET")[0]["struck"] == 1


def test_an_answer_can_be_lost_after_the_launch(account: LocalAccount, machines: Machines) -> None:
    """EC2 API reference, "Ensuring idempotency": repeat the call after a lost answer."""
    account.press(
        "faults", {"action": "RunInstances", "code": "InternalError", "times": 1, "after": True}
    )
    assert code(lambda: machines.launch(ClientToken="t1")) == "InternalError"
    assert machines.id(ClientToken="t1") == machines.all()[0]["InstanceId"]
    assert len(machines.all()) == 1


def test_a_machine_without_a_host_has_an_empty_console(machines: Machines) -> None:
    """GetConsoleOutput in the EC2 API reference."""
    assert machines.ec2.get_console_output(InstanceId=machines.id()).get("Output", "") == ""
    unknown = "i-0123456789abcdef0"
    missing = code(lambda: machines.ec2.get_console_output(InstanceId=unknown))
    assert missing == "InvalidInstanceID.NotFound"


def test_other_services_fail_on_demand_too(account: LocalAccount) -> None:
    """Each service's "Common errors"; `after` loses the answer of what was done."""
    s3 = account.client("s3")
    s3.create_bucket(Bucket="bucket")
    account.press(
        "faults", {"service": "s3", "action": "PutObject", "code": "SlowDown", "times": 1}
    )
    assert code(lambda: s3.put_object(Bucket="bucket", Key="k", Body=b"1")) == "SlowDown"
    assert s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 0
    lost = {
        "service": "s3",
        "action": "PutObject",
        "code": "InternalError",
        "times": 1,
        "after": True,
    }
    account.press("faults", lost)
    assert code(lambda: s3.put_object(Bucket="bucket", Key="k", Body=b"1")) == "InternalError"
    assert s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 1
    busy = "ProvisionedThroughputExceededException"
    account.press("faults", {"service": "dynamodb", "action": "*", "code": busy})
    assert code(account.client("dynamodb").list_tables) == busy


def test_the_calls_are_counted(account: LocalAccount, machines: Machines) -> None:
    account.press("calls", method="DELETE")
    machines.all()
    account.client("sts").get_caller_identity()
    calls = account.press("calls", method="GET")
    assert [(call["service"], call["action"]) for call in calls] == [
        ("ec2", "DescribeInstances"),
        ("sts", "GetCallerIdentity"),
    ]


def test_a_misspelt_fault_or_option_is_refused(account: LocalAccount) -> None:
    for button in ("faults", "options"):
        with pytest.raises(OSError, match="400"):
            account.press(button, {"colour": "red"})
