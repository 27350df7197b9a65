"""Least privilege as the IAM User Guide and the Service Authorization Reference have it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.credentials import Credentials

from tests.account.support import IMAGE, LocalAccount, Machines, code, eventually, policy

pytestmark = pytest.mark.account

REGION = "arn:aws:ec2:us-east-1:123456789012"


def tagged(value: str) -> list[dict[str, Any]]:
    tags = [{"Key": "htcondor:AnnexDeployment", "Value": value}]
    return [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")]


def run(ec2: Any, **changes: Any) -> Any:
    request = {"ImageId": IMAGE, "InstanceType": "m7i.large", "MinCount": 1, "MaxCount": 1}
    return ec2.run_instances(**{**request, **changes})


def test_nobody_may_do_what_no_policy_allows(account: LocalAccount) -> None:
    """IAM User Guide, "Policy evaluation logic": the default is to deny."""
    alice = account.user("alice")
    assert code(account.client("ec2", alice).describe_instances) == "UnauthorizedOperation"
    assert code(account.client("dynamodb", alice).list_tables) == "AccessDeniedException"
    assert code(account.client("iam", alice).list_users) == "AccessDenied"
    assert code(account.client("s3", alice).list_buckets) == "AccessDenied"
    assert account.client("sts", alice).get_caller_identity()["UserId"].startswith("AIDA")


@pytest.mark.parametrize(
    ("service", "call", "expected"),
    [
        ("ec2", "describe_instances", "AuthFailure"),
        ("dynamodb", "list_tables", "UnrecognizedClientException"),
        ("iam", "list_users", "InvalidClientTokenId"),
        ("s3", "list_buckets", "InvalidAccessKeyId"),
    ],
)
def test_unknown_keys_are_refused_in_each_services_words(
    account: LocalAccount, service: str, call: str, expected: str
) -> None:
    client = account.client(service, Credentials("AKIANOBODY0000000000", "x"))
    assert code(getattr(client, call)) == expected


def test_a_wrong_secret_is_refused(account: LocalAccount) -> None:
    alice = account.user("alice")
    client = account.client("sts", Credentials(alice.access_key, "wrong"))
    assert code(client.get_caller_identity) == "SignatureDoesNotMatch"


def test_launches_are_judged_resource_by_resource(account: LocalAccount) -> None:
    """Service Authorization Reference: RunInstances and its required resources."""
    kinds = ("instance", "volume", "network-interface", "subnet", "security-group")
    resources = [f"{REGION}:{kind}/*" for kind in kinds]
    tag = {"StringEquals": {"aws:RequestTag/htcondor:AnnexDeployment": "htcondor-annex"}}
    launch = [
        {
            "Action": "ec2:RunInstances",
            "Resource": [*resources[2:], "arn:aws:ec2:us-east-1::image/*"],
        },
        {"Action": "ec2:RunInstances", "Resource": resources[:2], "Condition": tag},
    ]
    creation = {"StringEquals": {"ec2:CreateAction": "RunInstances"}}
    tagging = {"Action": "ec2:CreateTags", "Resource": resources[:2], "Condition": creation}
    bare = account.client("ec2", account.user("bare", *launch))
    whole = account.client("ec2", account.user("whole", *launch, tagging))
    assert (
        code(lambda: run(bare, TagSpecifications=tagged("htcondor-annex")))
        == "UnauthorizedOperation"
    )
    assert code(lambda: run(whole)) == "UnauthorizedOperation"
    assert code(lambda: run(whole, TagSpecifications=tagged("other"))) == "UnauthorizedOperation"
    started = run(whole, TagSpecifications=tagged("htcondor-annex"))["Instances"][0]["InstanceId"]
    # The permission to tag at launch is none to tag later.
    tags = [{"Key": "htcondor:AnnexDeployment", "Value": "mine"}]
    later = code(lambda: whole.create_tags(Resources=[started], Tags=tags))
    assert later == "UnauthorizedOperation"


def test_a_role_is_passed_only_by_who_may_pass_it(account: LocalAccount) -> None:
    """IAM User Guide, "Grant a user permissions to pass a role to an AWS service"."""
    iam = account.client("iam")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="p")
    iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="r")
    launch = {"Action": "ec2:RunInstances", "Resource": "*"}
    passing = {
        "Action": "iam:PassRole",
        "Resource": "arn:aws:iam::123456789012:role/r",
        "Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
    }
    profile = {"Name": "p"}
    bare = account.client("ec2", account.user("bare", launch))
    assert code(lambda: run(bare, IamInstanceProfile=profile)) == "UnauthorizedOperation"
    assert run(bare)
    whole = account.client("ec2", account.user("whole", launch, passing))
    assert run(whole, IamInstanceProfile=profile)


def test_only_machines_with_the_right_tag_may_be_ended(
    account: LocalAccount, machines: Machines
) -> None:
    """IAM User Guide, "Controlling access to AWS resources using tags"."""
    mine = machines.id(TagSpecifications=tagged("htcondor-annex"))
    foreign = machines.id(TagSpecifications=tagged("other"))
    untagged = machines.id()
    condition = {"StringEquals": {"aws:ResourceTag/htcondor:AnnexDeployment": "htcondor-annex"}}
    statement = {
        "Action": "ec2:TerminateInstances",
        "Resource": f"{REGION}:instance/*",
        "Condition": condition,
    }
    ec2 = account.client("ec2", account.user("sweep", statement))
    for ids in ([foreign], [untagged], [mine, foreign]):
        refused = code(lambda: ec2.terminate_instances(InstanceIds=ids))  # noqa: B023
        assert refused == "UnauthorizedOperation"
    dry = code(lambda: ec2.terminate_instances(InstanceIds=[mine], DryRun=True))
    assert dry == "DryRunOperation"
    ec2.terminate_instances(InstanceIds=[mine])
    machines.becomes(mine, "terminated")


def test_tables_are_named_by_arn(account: LocalAccount) -> None:
    """DynamoDB Developer Guide, "Using identity-based policies"; transactions item by item."""
    for name in ("ledger", "other"):
        account.client("dynamodb").create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    arn = "arn:aws:dynamodb:*:*:table/ledger"
    alice = account.user(
        "alice", {"Action": ["dynamodb:PutItem", "dynamodb:GetItem"], "Resource": arn}
    )
    client = account.client("dynamodb", alice)
    item = {"pk": {"S": "a"}}
    client.put_item(TableName="ledger", Item=item)
    assert client.get_item(TableName="ledger", Key=item)["Item"] == item
    denied = "AccessDeniedException"
    assert code(lambda: client.put_item(TableName="other", Item=item)) == denied
    assert code(lambda: client.delete_item(TableName="ledger", Key=item)) == denied
    put, delete = ({"TableName": "ledger", "Item": item}, {"TableName": "ledger", "Key": item})
    client.transact_write_items(TransactItems=[{"Put": put}])
    both = [{"Put": put}, {"Delete": delete}]
    assert code(lambda: client.transact_write_items(TransactItems=both)) == denied


def test_objects_are_named_by_arn_and_missing_ones_stay_hidden(account: LocalAccount) -> None:
    """S3 API reference, GetObject, "Permissions": 403 without s3:ListBucket, else 404."""
    s3 = account.client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="config/a.json", Body=b"{}")
    read = {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/config/*"}
    listing = {"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::bucket"}
    blind = account.client("s3", account.user("blind", read))
    seeing = account.client("s3", account.user("seeing", read, listing))
    assert blind.get_object(Bucket="bucket", Key="config/a.json")["Body"].read() == b"{}"
    assert code(lambda: blind.get_object(Bucket="bucket", Key="config/none")) == "AccessDenied"
    assert code(lambda: seeing.get_object(Bucket="bucket", Key="config/none")) == "NoSuchKey"
    assert code(lambda: blind.list_objects_v2(Bucket="bucket")) == "AccessDenied"
    assert (
        code(lambda: blind.put_object(Bucket="bucket", Key="config/a.json", Body=b""))
        == "AccessDenied"
    )
    assert code(lambda: blind.get_object(Bucket="bucket", Key="reports/a")) == "AccessDenied"


def test_a_bucket_of_another_owner_is_refused(account: LocalAccount) -> None:
    """S3 User Guide, "Verifying bucket ownership with bucket owner condition"."""
    s3 = account.client("s3")
    s3.create_bucket(Bucket="bucket")
    key = {"Bucket": "bucket", "Key": "k"}
    s3.put_object(**key, Body=b"x", ExpectedBucketOwner="123456789012")
    refused = code(lambda: s3.get_object(**key, ExpectedBucketOwner="210987654321"))
    assert refused == "AccessDenied"


def test_what_has_not_changed_is_not_sent_again(account: LocalAccount) -> None:
    """S3 API reference, GetObject, If-None-Match: 304 Not Modified."""
    s3 = account.client("s3")
    s3.create_bucket(Bucket="bucket")
    tag = s3.put_object(Bucket="bucket", Key="k", Body=b"1")["ETag"]
    assert code(lambda: s3.get_object(Bucket="bucket", Key="k", IfNoneMatch=tag)) == "304"
    s3.put_object(Bucket="bucket", Key="k", Body=b"2")
    assert s3.get_object(Bucket="bucket", Key="k", IfNoneMatch=tag)["Body"].read() == b"2"
    assert (
        code(lambda: s3.put_object(Bucket="bucket", Key="k", Body=b"3", IfNoneMatch="*"))
        == "PreconditionFailed"
    )


def test_parameters_are_named_by_arn_public_ones_without_an_account(account: LocalAccount) -> None:
    """Systems Manager User Guide, "Working with public parameters"; ARNs of parameters."""
    account.client("ssm").put_parameter(Name="/htcondor-annex/settings", Value="{}", Type="String")
    account.client("ssm").put_parameter(Name="/other", Value="{}", Type="String")
    ssm = account.client(
        "ssm",
        account.user(
            "alice",
            {
                "Action": "ssm:GetParameter",
                "Resource": [
                    "arn:aws:ssm:*:*:parameter/htcondor-annex/*",
                    "arn:aws:ssm:*::parameter/aws/service/debian/*",
                ],
            },
        ),
    )
    assert ssm.get_parameter(Name="/htcondor-annex/settings")
    assert ssm.get_parameter(Name="/aws/service/debian/release/13/latest/arm64")
    assert code(lambda: ssm.get_parameter(Name="/other")) == "AccessDeniedException"


def test_a_machine_writes_its_own_report_and_no_others(
    account: LocalAccount, machines: Machines
) -> None:
    """IAM User Guide, "Policy variables": ${aws:userid} is ROLE-ID:INSTANCE-ID on an instance."""
    iam, s3 = account.client("iam"), account.client("s3")
    s3.create_bucket(Bucket="bucket")
    role_id = iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["RoleId"]
    own = {"Action": "s3:PutObject", "Resource": "arn:aws:s3:::bucket/reports/${aws:userid}"}
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=policy(own))
    iam.create_instance_profile(InstanceProfileName="p")
    iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="r")
    one, other = (machines.id(IamInstanceProfile={"Name": "p"}) for _ in range(2))
    shown = account.press(f"metadata/{one}", method="GET")["meta-data"]
    keys = json.loads(shown["iam"]["security-credentials"]["r"])
    client = account.client(
        "s3", Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["Token"])
    )
    client.put_object(Bucket="bucket", Key=f"reports/{role_id}:{one}", Body=b"{}")
    theirs = f"reports/{role_id}:{other}"
    assert (
        code(lambda: client.put_object(Bucket="bucket", Key=theirs, Body=b"{}")) == "AccessDenied"
    )
    arn = account.client(
        "sts", Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["Token"])
    )
    assert arn.get_caller_identity()["Arn"].endswith(f":assumed-role/r/{one}")


def test_a_machines_credentials_are_renewed_before_they_end(
    account: LocalAccount, machines: Machines
) -> None:
    """EC2 User Guide, "Retrieve security credentials from instance metadata"."""
    account.press("options", {"instance_credential_seconds": 2})
    iam = account.client("iam")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="p")
    iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="r")
    instance = machines.id(IamInstanceProfile={"Name": "p"})

    def keys() -> dict[str, str]:
        shown = account.press(f"metadata/{instance}", method="GET")["meta-data"]
        found: dict[str, str] = json.loads(shown["iam"]["security-credentials"]["r"])
        return found

    first = keys()
    eventually(lambda: keys()["AccessKeyId"] != first["AccessKeyId"])
    old = Credentials(first["AccessKeyId"], first["SecretAccessKey"], first["Token"])

    def expired() -> bool:
        try:
            account.client("sts", old).get_caller_identity()
        except account.client("sts").exceptions.ClientError as error:
            return bool(error.response["Error"]["Code"] == "ExpiredToken")
        return False

    eventually(expired)


def test_roles_are_assumed_only_by_whom_they_trust(account: LocalAccount) -> None:
    """IAM User Guide, "Policy evaluation logic": role trust policies."""
    iam = account.client("iam")
    assume = {"Action": "sts:AssumeRole", "Resource": "*"}
    alice, bob = account.user("alice", assume), account.user("bob", assume)
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {"AWS": "arn:aws:iam::123456789012:user/alice"},
            }
        ],
    }
    arn = iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    call = {"RoleArn": arn, "RoleSessionName": "session"}
    assert account.client("sts", alice).assume_role(**call)
    assert code(lambda: account.client("sts", bob).assume_role(**call)) == "AccessDenied"
