"""Launch templates as the EC2 API reference has them; what moto lacks of that."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.account.support import IMAGE, LocalAccount, Machines, code

pytestmark = pytest.mark.account


def create(ec2: Any, name: str = "t-1", data: Any = None, **more: Any) -> str:
    whole = {"ImageId": IMAGE, "InstanceType": "m7i.large"} if data is None else data
    made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=whole, **more)
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def test_a_name_is_taken_once_and_a_token_makes_one_template(machines: Machines) -> None:
    """CreateLaunchTemplate: LaunchTemplateName is unique; ClientToken."""
    ec2 = machines.ec2
    tags = [{"ResourceType": "launch-template", "Tags": [{"Key": "k", "Value": "v"}]}]
    first = create(ec2, ClientToken="c", TagSpecifications=tags)
    assert create(ec2, ClientToken="c", TagSpecifications=tags) == first
    taken = "InvalidLaunchTemplateName.AlreadyExistsException"
    assert code(lambda: create(ec2)) == taken
    assert code(lambda: create(ec2, "t-2", ClientToken="c")) == "IdempotentParameterMismatch"
    (shown,) = ec2.describe_launch_templates(Filters=[{"Name": "tag:k", "Values": ["v"]}])[
        "LaunchTemplates"
    ]
    assert (shown["LaunchTemplateId"], shown["Tags"]) == (first, [{"Key": "k", "Value": "v"}])
    assert shown["CreatedBy"].endswith(":user/administrator")
    ec2.delete_launch_template(LaunchTemplateName="t-1")
    assert create(ec2)


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a b c", None, "InvalidLaunchTemplateName.MalformedException"),
        ("t-1", {"ImageId": "debian"}, "InvalidAMIID.Malformed"),
        ("t-1", {"UserData": "x"}, "InvalidParameterValue"),
        (
            "t-1",
            {"UserData": base64.b64encode(b"x" * 16385).decode()},
            "InvalidParameterValue",
        ),
    ],
)
def test_ill_formed_templates_are_refused(
    machines: Machines, name: str, data: Any, expected: str
) -> None:
    """CreateLaunchTemplate: the form is looked at, not whether what is named is there."""
    assert code(lambda: create(machines.ec2, name, data)) == expected
    assert create(machines.ec2, "t-2", {"ImageId": "ami-cd5f95b0"})


def test_what_is_not_there_is_told_by_id_and_by_name(machines: Machines) -> None:
    """EC2 API reference, "Error codes"."""
    ec2, gone = machines.ec2, "lt-0123456789abcdef0"
    by_id, by_name = {"LaunchTemplateId": gone}, {"LaunchTemplateName": "none"}
    for call in (ec2.delete_launch_template, ec2.describe_launch_template_versions):
        assert code(lambda: call(**by_id)) == "InvalidLaunchTemplateId.NotFound"  # noqa: B023
        missing = code(lambda: call(**by_name))  # noqa: B023
        assert missing == "InvalidLaunchTemplateName.NotFoundException"
    listed = code(lambda: ec2.describe_launch_templates(LaunchTemplateIds=[gone]))
    assert listed == "InvalidLaunchTemplateId.NotFound"
    launched = code(lambda: ec2.run_instances(LaunchTemplate=by_id, MinCount=1, MaxCount=1))
    assert launched == "InvalidLaunchTemplateId.NotFound"
    reference = {"LaunchTemplateId": create(ec2), "Version": "7"}
    version = code(lambda: ec2.run_instances(LaunchTemplate=reference, MinCount=1, MaxCount=1))
    assert version == "InvalidLaunchTemplateId.VersionNotFound"


def test_versions_are_made_chosen_and_deleted(machines: Machines) -> None:
    """CreateLaunchTemplateVersion, ModifyLaunchTemplate, DeleteLaunchTemplateVersions."""
    ec2, template = machines.ec2, {"LaunchTemplateId": create(machines.ec2)}

    def add() -> int:
        made = ec2.create_launch_template_version(
            **template, SourceVersion="1", LaunchTemplateData={"InstanceType": "m7i.xlarge"}
        )["LaunchTemplateVersion"]
        assert made["LaunchTemplateData"]["ImageId"] == IMAGE
        return int(made["VersionNumber"])

    assert [add(), add()] == [2, 3]
    ec2.modify_launch_template(**template, DefaultVersion="2")
    answer = ec2.delete_launch_template_versions(**template, Versions=["1", "2", "9", "3"])
    done = [e["VersionNumber"] for e in answer["SuccessfullyDeletedLaunchTemplateVersions"]]
    failed = [e["VersionNumber"] for e in answer["UnsuccessfullyDeletedLaunchTemplateVersions"]]
    assert (done, failed) == ([1, 3], [2, 9])
    shown = ec2.describe_launch_template_versions(**template, Versions=["$Default"])
    assert [e["VersionNumber"] for e in shown["LaunchTemplateVersions"]] == [2]


def test_templates_come_in_pages(machines: Machines) -> None:
    """DescribeLaunchTemplates: MaxResults and NextToken; moto shows fifteen and no more."""
    for number in range(17):
        create(machines.ec2, f"t-{number}")
    pages = machines.ec2.get_paginator("describe_launch_templates").paginate(
        PaginationConfig={"PageSize": 5}
    )
    names = [each["LaunchTemplateName"] for page in pages for each in page["LaunchTemplates"]]
    assert len(set(names)) == 17
    assert len(machines.ec2.describe_launch_templates()["LaunchTemplates"]) == 17


def test_a_launch_lays_its_own_values_over_the_templates(
    account: LocalAccount, machines: Machines
) -> None:
    """RunInstances, LaunchTemplate: the request's parameters override the template's."""
    tag = {"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "1"}]}
    template = create(
        machines.ec2,
        data={
            "ImageId": "resolve:ssm:/aws/service/debian/release/13/latest/amd64",
            "InstanceType": "m7i.large",
            "UserData": base64.b64encode(b"true").decode(),
            "MetadataOptions": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
            "TagSpecifications": [tag],
        },
    )
    (version,) = machines.ec2.describe_launch_template_versions(
        LaunchTemplateId=template, ResolveAlias=True
    )["LaunchTemplateVersions"]
    assert version["LaunchTemplateData"]["ImageId"] == IMAGE
    own = {"ResourceType": "instance", "Tags": [{"Key": "b", "Value": "2"}]}
    started = machines.ec2.run_instances(
        LaunchTemplate={"LaunchTemplateId": template},
        InstanceType="m7i.xlarge",
        TagSpecifications=[own],
        MinCount=1,
        MaxCount=1,
    )["Instances"][0]
    assert (started["ImageId"], started["InstanceType"]) == (IMAGE, "m7i.xlarge")
    assert started["MetadataOptions"]["HttpTokens"] == "required"
    shown = account.press(f"metadata/{started['InstanceId']}", method="GET")
    assert base64.b64decode(shown["user-data"]) == b"true"
    assert shown["meta-data"]["tags"]["instance"] == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"ImageId": "ami-cd5f95b0"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "resolve:ssm:/none"}, "InvalidAMIID.Malformed"),
        ({"IamInstanceProfile": {"Name": "none"}}, "InvalidParameterValue"),
        ({"SecurityGroups": ["none"]}, "InvalidGroup.NotFound"),
        (
            {"NetworkInterfaces": [{"DeviceIndex": 0}], "SecurityGroupIds": ["sg-12345678"]},
            "InvalidParameterCombination",
        ),
        (
            {
                "MetadataOptions": {"InstanceMetadataTags": "enabled"},
                "TagSpecifications": [
                    {"ResourceType": "instance", "Tags": [{"Key": "a b", "Value": ""}]}
                ],
            },
            "InvalidParameterValue",
        ),
    ],
)
def test_every_check_of_a_launch_holds_for_a_templates(
    machines: Machines, data: dict[str, Any], expected: str
) -> None:
    """RunInstances and "Error codes": it is the launch that fails, not the template."""
    whole = {"ImageId": IMAGE, "InstanceType": "m7i.large", **data}
    reference = {"LaunchTemplateId": create(machines.ec2, data=whole)}
    ec2 = machines.ec2
    launch = code(lambda: ec2.run_instances(LaunchTemplate=reference, MinCount=1, MaxCount=1))
    assert launch == expected
    assert machines.all() == []
