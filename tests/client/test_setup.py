"""Set-up and teardown against AWS in this process (moto): made once, safe to repeat, all gone."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from annex_client import deployment
from annex_client.context import Completed
from annex_client.exits import Exit
from moto import mock_aws
from moto.cloudformation import cloudformation_backends
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.ec2.exceptions import OperationNotPermitted
from moto.ec2.models.spot_requests import SpotRequestBackend
from plane import iso
from world import API_URL, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from world import FakePlane

LINES = [
    "Creating configuration bucket (this takes less than a minute)...",
    "Creating Lambda functions (this takes about a minute)...",
    "Creating instance profile (this takes about two minutes)...",
    "Creating security group (this takes less than a minute)...",
]
ADDRESS = "http://169.254.0.1"


@pytest.fixture
def aws(plane: FakePlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world without a control plane, and an empty account."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    home = tmp_path / "home"
    home.mkdir()
    with mock_aws():
        world = World(home, plane, ADDRESS)
        del world.macros["ANNEX_DEFAULT_API_URL"]
        open_default_network()
        yield world


def open_default_network() -> None:
    """What every account's default network has on AWS, and moto's lacks."""
    ec2 = boto3.client("ec2")
    [vpc] = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc["VpcId"])
    [table] = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])[
        "RouteTables"
    ]
    ec2.create_route(
        RouteTableId=table["RouteTableId"],
        DestinationCidrBlock="0.0.0.0/0",
        GatewayId=gateway,
    )


def deploy() -> str:
    """What `chalice deploy` leaves: three functions, a rule, a REST API."""
    iam = boto3.client("iam")
    role = iam.create_role(RoleName="functions", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", "")
    client = boto3.client("lambda")
    for name in deployment.FUNCTIONS:
        client.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=role,
            Handler="app.app",
            Code={"ZipFile": packed.getvalue()},
        )
    boto3.client("events").put_rule(
        Name="htcondor-annex-dev-sweep-event", ScheduleExpression="rate(1 minute)"
    )
    return make_api()


def make_api() -> str:
    return boto3.client("apigateway").create_rest_api(name="htcondor-annex")["id"]


def lines(out: str) -> list[str]:
    return out.splitlines()


def macros(world: World) -> dict[str, str]:
    text = (world.condor / "user_config").read_text()
    return dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)


def test_setup_prints_the_tutorial_s_lines(aws: World) -> None:
    deploy()
    done = aws.annex_client("setup")
    assert done.status == Exit.DONE
    assert done.err == ""
    for line, expected in zip(lines(done.out), LINES, strict=False):
        assert line.startswith(expected)
        assert line.endswith(". complete.")
        assert set(line.removeprefix(expected).removesuffix(" complete.")) <= {"."}
    assert lines(done.out)[4:] == ["Setup successful."]


def test_setup_in_a_second_region_is_refused_before_anything_is_made(aws: World) -> None:
    """IAM User Guide, 'IAM and AWS STS quotas': names are unique in the account."""
    deploy()
    assert aws.annex_client("setup").status == Exit.DONE
    done = aws.annex_client("setup", "--region", "eu-west-1")
    assert done.status == Exit.CONFLICT
    assert "another region than eu-west-1" in done.err
    assert boto3.client("cloudformation", "eu-west-1").list_stacks()["StackSummaries"] == []
    assert aws.annex_client("setup").status == Exit.DONE


def test_setup_makes_everything_the_control_plane_needs(aws: World) -> None:
    api_id = deploy()
    assert aws.annex_client("setup").status == Exit.DONE
    settings = json.loads(
        boto3.client("ssm").get_parameter(Name="/htcondor-annex/settings")["Parameter"]["Value"]
    )
    assert len(settings["subnets"]) > 1
    assert settings["security_group"].startswith("sg-")
    assert settings["instance_profile_arn"].endswith(":instance-profile/htcondor-annex-instance")
    role = boto3.client("iam").get_role(RoleName="htcondor-annex-instance")["Role"]
    assert settings["instance_role_id"] == role["RoleId"]
    assert settings["image_parameter"] == "/aws/service/debian/release/13/latest/{arch}"
    assert settings["max_lease_seconds"] == 604800
    assert settings["unjoined_limit_seconds"] == 900
    assert settings["root_volume_gib"] == 20
    fleet_role = boto3.client("iam").get_role(RoleName="htcondor-annex-spot-fleet")["Role"]
    assert settings["spot_fleet_role_arn"] == fleet_role["Arn"]
    assert settings["key_names"] is None
    url = boto3.client("ssm").get_parameter(Name="/htcondor-annex/api-url")["Parameter"]["Value"]
    assert url == f"https://{api_id}.execute-api.us-east-1.amazonaws.com/api"
    table = boto3.client("dynamodb").describe_table(TableName="htcondor-annex-ledger")["Table"]
    assert {k["AttributeName"]: k["KeyType"] for k in table["KeySchema"]} == {
        "pk": "HASH",
        "sk": "RANGE",
    }
    arn = "arn:aws:iam::123456789012:policy/htcondor-annex-user"
    policy = boto3.client("iam").get_policy_version(PolicyArn=arn, VersionId="v1")
    document: Any = policy["PolicyVersion"]["Document"]
    [statement] = document["Statement"]
    assert statement["Resource"].endswith(f":{api_id}/api/*")
    sweep = boto3.client("lambda").get_function_event_invoke_config(
        FunctionName="htcondor-annex-dev-sweep"
    )
    assert (sweep["MaximumRetryAttempts"], sweep["MaximumEventAgeInSeconds"]) == (0, 60)
    groups = boto3.client("logs").describe_log_groups()["logGroups"]
    assert {group["retentionInDays"] for group in groups} == {30}


def test_setup_makes_the_service_linked_roles_of_spot_once(aws: World) -> None:
    deploy()
    iam = boto3.client("iam")
    for _ in range(2):
        assert aws.annex_client("setup").status == Exit.DONE
        roles = iam.list_roles(PathPrefix="/aws-service-role/")["Roles"]
        assert {role["Path"].split("/")[2] for role in roles} == {
            "spot.amazonaws.com",
            "ec2fleet.amazonaws.com",
            "spotfleet.amazonaws.com",
        }


def test_key_pairs_may_be_limited(aws: World) -> None:
    deploy()
    for given, expected in (("laptop,desk", ["laptop", "desk"]), ("*", None)):
        done = aws.annex_client("setup", "--set", f"key_names={given}")
        assert done.status == Exit.DONE
        parameter = boto3.client("ssm").get_parameter(Name="/htcondor-annex/settings")
        assert json.loads(parameter["Parameter"]["Value"])["key_names"] == expected


def test_setup_writes_the_macros_that_the_tutorial_looks_for(aws: World) -> None:
    api_id = deploy()
    aws.condor.mkdir()
    (aws.condor / "user_config").write_text(
        "# mine\nMY_OWN = 1\nANNEX_DEFAULT_API_URL = old\nLAST = 1\n"
    )
    aws.annex_client("setup")
    first = (aws.condor / "user_config").read_text()
    assert first.startswith("# mine\nMY_OWN = 1\nANNEX_DEFAULT_API_URL = https://")
    assert macros(aws)["ANNEX_DEFAULT_AWS_REGION"] == "us-east-1"
    assert macros(aws)["LAST"] == "1"
    assert macros(aws)["ANNEX_DEFAULT_ODI_INSTANCE_PROFILE_ARN"].startswith("arn:aws:iam:")
    assert api_id in macros(aws)["ANNEX_DEFAULT_API_URL"]
    aws.annex_client("setup")  # the predecessor appended a whole block each time
    assert (aws.condor / "user_config").read_text() == first


def test_setup_may_be_run_again_and_changes_only_what_it_is_told(aws: World) -> None:
    deploy()
    aws.annex_client("setup", "--legacy")
    before = boto3.client("dynamodb").describe_table(TableName="htcondor-annex-ledger")
    done = aws.annex_client("setup", "--set", "max_lease_seconds=7200")
    assert done.status == Exit.DONE
    assert len(lines(done.out)) == 6
    again = aws.annex_client("setup")
    assert again.status == Exit.DONE
    value = boto3.client("ssm").get_parameter(Name="/htcondor-annex/settings")["Parameter"]["Value"]
    assert json.loads(value)["max_lease_seconds"] == 7200
    assert json.loads(value)["max_instances_per_annex"] == 100
    after = boto3.client("dynamodb").describe_table(TableName="htcondor-annex-ledger")
    assert before["Table"]["CreationDateTime"] == after["Table"]["CreationDateTime"]


@pytest.mark.parametrize("name", [deployment.STACK, deployment.LEGACY_STACK])
def test_setup_begins_anew_what_an_earlier_one_left_unfinished(aws: World, name: str) -> None:
    """CloudFormation User Guide, 'Stack status codes': such a stack can only be deleted."""
    deploy()
    aws.annex_client("setup", "--legacy")
    stacks = cloudformation_backends[ACCOUNT_ID]["us-east-1"].stacks
    (failed,) = [stack for stack in stacks.values() if stack.name == name]
    failed.status = "ROLLBACK_COMPLETE"
    if name == deployment.STACK:  # AWS has rolled it back; moto would not delete it
        policy = f"arn:aws:iam::{ACCOUNT_ID}:policy/htcondor-annex-user"
        boto3.client("iam").delete_policy(PolicyArn=policy)
    table = boto3.client("dynamodb").describe_table(TableName="htcondor-annex-ledger")["Table"]
    done = aws.annex_client("setup", "--legacy")
    assert done.status == Exit.DONE, done.err
    assert "Removing what an earlier setup left unfinished" in done.out
    (made,) = boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    assert (made["StackStatus"], made["StackId"] != failed.stack_id) == ("CREATE_COMPLETE", True)
    kept = boto3.client("dynamodb").describe_table(TableName="htcondor-annex-ledger")["Table"]
    anew = name == deployment.STACK
    assert (kept["CreationDateTime"] != table["CreationDateTime"]) is anew
    assert kept["DeletionProtectionEnabled"], "a legacy stack is no reason to open the ledger"


def test_setup_deploys_the_functions_when_run_in_a_checkout(aws: World) -> None:
    folder = aws.home / "checkout"
    (folder / ".chalice").mkdir(parents=True)
    (folder / ".chalice" / "config.json").write_text('{"app_name": "htcondor-annex"}')
    (folder / "inside").mkdir()
    calls: list[tuple[Sequence[str], Path | None]] = []

    def chalice(
        argv: Sequence[str],
        *,
        extra_environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float | None = None,
    ) -> Completed:
        assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= (extra_environ or {}).keys()
        calls.append((argv[3:], cwd))
        deploy()
        return Completed(0, "deployed", "")

    aws.cwd = folder / "inside"
    done = aws.annex_client("setup", run=chalice)
    assert done.status == Exit.DONE
    assert calls == [(["deploy", "--stage", "dev"], folder)]
    # The users' policy needs the API's id, which came only then.
    assert boto3.client("iam").list_policies(Scope="Local")["Policies"]


def test_setup_outside_a_checkout_says_what_to_run(aws: World) -> None:
    done = aws.annex_client("setup")
    assert done.status == Exit.AWS_TROUBLE
    assert "Run 'chalice deploy'" in done.err
    assert boto3.client("cloudformation").list_stacks()["StackSummaries"] == []


def test_an_old_python_may_not_deploy_to_aws(aws: World) -> None:
    (aws.home / ".chalice").mkdir()
    (aws.home / ".chalice" / "config.json").write_text('{"app_name": "htcondor-annex"}')
    aws.python = (3, 11)
    done = aws.annex_client("setup")
    assert done.status == Exit.AWS_TROUBLE
    assert "Python 3.11" in done.err
    assert aws.tools.calls == []


@pytest.mark.parametrize("said", ["No module named 'chalice'", "Something broke\nat the end"])
def test_a_deployment_that_fails_is_said_to(said: str, aws: World) -> None:
    (aws.home / ".chalice").mkdir()
    (aws.home / ".chalice" / "config.json").write_text('{"app_name": "htcondor-annex"}')

    def chalice(*_: Any, **__: Any) -> Completed:
        return Completed(1, "", said)

    done = aws.annex_client("setup", run=chalice)
    assert done.status == Exit.AWS_TROUBLE
    assert "Creating Lambda functions (this takes about a minute)... failed." in done.out
    assert "pip install chalice" in done.err or "at the end" in done.err


def test_a_second_deployment_is_refused(aws: World) -> None:
    first = deploy()
    aws.annex_client("setup")
    second = make_api()
    done = aws.annex_client("setup")
    assert done.status == Exit.CONFLICT
    assert first in done.err
    assert second in done.err
    assert "second checkout" in done.err


def test_an_api_that_was_deployed_anew_is_registered(aws: World) -> None:
    first = deploy()
    aws.annex_client("setup")
    boto3.client("apigateway").delete_rest_api(restApiId=first)
    second = make_api()
    done = aws.annex_client("setup")
    assert done.status == Exit.DONE
    assert second in macros(aws)["ANNEX_DEFAULT_API_URL"]
    assert "is of an API that is gone" in done.out


def test_a_subnet_without_a_way_out_is_refused_by_name(aws: World) -> None:
    deploy()
    ec2 = boto3.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    closed = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    done = aws.annex_client("setup", "--subnets", closed)
    assert done.status == Exit.BAD_INPUT
    assert closed in done.err
    assert "no way out" in done.err
    assert boto3.client("cloudformation").list_stacks()["StackSummaries"] == []


def test_a_subnet_with_a_way_out_is_taken(aws: World) -> None:
    deploy()
    ec2 = boto3.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    assert aws.annex_client("setup", "--subnets", subnet).status == Exit.DONE
    value = boto3.client("ssm").get_parameter(Name="/htcondor-annex/settings")["Parameter"]["Value"]
    assert json.loads(value)["subnets"] == [subnet]


def test_subnets_that_are_not_there_or_lie_apart_are_refused(aws: World) -> None:
    deploy()
    done = aws.annex_client("setup", "--subnets", "subnet-01234567")
    assert done.status == Exit.BAD_INPUT
    assert "There is no subnet subnet-01234567" in done.err
    ec2 = boto3.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    other = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    default = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])
    both = f"{other},{default['Subnets'][0]['SubnetId']}"
    done = aws.annex_client("setup", "--subnets", both)
    assert done.status == Exit.BAD_INPUT
    assert "several networks" in done.err


def test_an_account_without_a_default_network_is_told_what_to_do(aws: World) -> None:
    deploy()
    ec2 = boto3.client("ec2")
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    done = aws.annex_client("setup")
    assert done.status == Exit.BAD_INPUT
    assert "--subnets" in done.err


def test_setup_with_key_files_named_as_of_old(aws: World, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert aws.annex_client("setup").status == Exit.REFUSED
    for name in ("pub", "priv"):
        (aws.home / name).write_text("KEY")
        (aws.home / name).chmod(0o600)
    done = aws.connect_annex("-setup", str(aws.home / "pub"), str(aws.home / "priv"), "http://cf")
    assert done.status == Exit.DONE
    assert "The CloudFormation URL has no meaning any more" in done.err


def test_a_region_that_cannot_be_reached_is_said_to(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    done = world.annex_client("setup", "--region", "us-nowhere-1")
    assert done.status == Exit.AWS_TROUBLE
    assert "'us-nowhere-1' cannot be reached" in done.err
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    done = world.annex_client("setup", "--region", "not a region")
    assert done.status == Exit.AWS_TROUBLE
    assert "is not an AWS region's name" in done.err


def launch(count: int) -> None:
    ec2 = boto3.client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    tags: Any = [{"Key": "htcondor:AnnexDeployment", "Value": "htcondor-annex"}]
    ec2.run_instances(
        ImageId=image,
        MinCount=count,
        MaxCount=count,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )


def states() -> list[str]:
    pages = boto3.client("ec2").get_paginator("describe_instances").paginate()
    return [
        one["State"]["Name"]
        for page in pages
        for r in page["Reservations"]
        for one in r["Instances"]
    ]


def test_teardown_ends_every_machine_and_removes_everything(aws: World) -> None:
    deploy()
    aws.annex_client("setup")
    launch(3)
    bucket = boto3.client("s3")
    name = "htcondor-annex-123456789012-us-east-1"
    bucket.put_object(Bucket=name, Key="config/secret.json", Body=b"{}")
    done = aws.annex_client("teardown", typed="yes\n")
    assert done.status == Exit.DONE
    assert "Will end 3 machines of all users' annexes" in done.out
    assert set(states()) == {"terminated"}
    assert [b["Name"] for b in bucket.list_buckets()["Buckets"]] == []
    assert boto3.client("dynamodb").list_tables()["TableNames"] == []
    assert boto3.client("ssm").describe_parameters()["Parameters"] == []
    assert boto3.client("iam").list_instance_profiles()["InstanceProfiles"] == []
    assert boto3.client("iam").list_policies(Scope="Local")["Policies"] == []
    assert not (aws.condor / "user_config").exists()
    rules = boto3.client("events").list_rules()["Rules"]
    assert [rule["State"] for rule in rules] == ["DISABLED"]
    assert "'chalice delete'" in done.out


def test_teardown_waits_for_a_sweep_that_may_still_launch(aws: World) -> None:
    """A sweep launches for 45 s, and its last call may take twenty more."""
    deploy()
    aws.annex_client("setup")
    slept = aws.clock.slept

    def late() -> None:
        if not launched and aws.clock.slept - slept >= 75:
            launch(1)
            launched.append(True)

    launched: list[bool] = []
    aws.clock.while_asleep = late
    assert aws.annex_client("teardown", "--yes").status == Exit.DONE
    assert launched
    assert states() == ["terminated"]


def test_teardown_touches_no_machine_of_others(aws: World) -> None:
    deploy()
    aws.annex_client("setup")
    ec2 = boto3.client("ec2")
    ec2.run_instances(ImageId=ec2.describe_images()["Images"][0]["ImageId"], MinCount=1, MaxCount=1)
    aws.annex_client("teardown", "--yes")
    assert states() == ["running"]


def tagged(kind: str, deployment: str = "htcondor-annex") -> list[Any]:
    tags = [{"Key": "htcondor:AnnexDeployment", "Value": deployment}]
    return [{"ResourceType": kind, "Tags": tags}]


def leave_behind(deployment: str) -> None:
    """Everything that an annex can have beside machines; capacity comes with it."""
    ec2 = boto3.client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    plain: Any = {"ImageId": image, "InstanceType": "m7i.large"}
    template = ec2.create_launch_template(
        LaunchTemplateName=f"{deployment}-annex-1",
        LaunchTemplateData=plain,
        TagSpecifications=tagged("launch-template", deployment),
    )["LaunchTemplate"]["LaunchTemplateId"]
    ec2.create_volume(
        AvailabilityZone="us-east-1a", Size=1, TagSpecifications=tagged("volume", deployment)
    )
    ec2.create_fleet(
        Type="request",
        LaunchTemplateConfigs=[
            {"LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "1"}}
        ],
        TargetCapacitySpecification={
            "TotalTargetCapacity": 1,
            "DefaultTargetCapacityType": "on-demand",
        },
        TagSpecifications=tagged("fleet", deployment),
    )
    ec2.request_spot_instances(
        SpotPrice="1",
        LaunchSpecification=plain,
        TagSpecifications=tagged("spot-instances-request", deployment),
    )
    ec2.request_spot_fleet(
        SpotFleetRequestConfig={
            "IamFleetRole": "arn:aws:iam::123456789012:role/fleet",
            "TargetCapacity": 1,
            "SpotPrice": "1",
            "AllocationStrategy": "lowestPrice",
            "LaunchSpecifications": [plain],
            "TagSpecifications": tagged("spot-fleet-request", deployment),
        }
    )


def left_behind(deployment: str) -> dict[str, int]:
    """How many things of each kind are still to be paid for, or could launch."""
    ec2 = boto3.client("ec2")
    ours = [{"Name": "tag:htcondor:AnnexDeployment", "Values": [deployment]}]
    found: dict[str, list[Any]] = {
        "templates": ec2.describe_launch_templates(Filters=ours)["LaunchTemplates"],
        "volumes": ec2.describe_volumes(Filters=ours)["Volumes"],
        "spot requests": ec2.describe_spot_instance_requests(Filters=ours)["SpotInstanceRequests"],
        "fleets": [
            one
            for one in ec2.describe_fleets()["Fleets"]
            if one["FleetState"] == "active" and one["Tags"][0]["Value"] == deployment
        ],
        "spot fleets": [
            one
            for one in ec2.describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
            if one["SpotFleetRequestState"] == "active" and one["Tags"][0]["Value"] == deployment
        ],
    }
    return {kind: len(things) for kind, things in found.items()}


def test_teardown_removes_fleets_requests_templates_and_volumes_of_this_deployment_alone(
    aws: World,
) -> None:
    deploy()
    aws.annex_client("setup")
    leave_behind("htcondor-annex")
    leave_behind("another")
    before = left_behind("another")
    assert set(left_behind("htcondor-annex").values()) == {1}
    done = aws.annex_client("teardown", "--yes")
    assert done.status == Exit.DONE, done.err
    assert set(left_behind("htcondor-annex").values()) == {0}
    assert left_behind("another") == before


def test_teardown_tells_what_ec2_would_not_remove_and_ends_the_machines_all_the_same(
    aws: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger stays until nothing is left that may launch."""
    deploy()
    aws.annex_client("setup")
    launch(2)
    leave_behind("htcondor-annex")

    def refuse(*_: Any) -> None:
        raise OperationNotPermitted("not today")

    with monkeypatch.context() as patched:
        patched.setattr(SpotRequestBackend, "cancel_spot_fleet_requests", refuse)
        done = aws.annex_client("teardown", "--yes")
        assert done.status == Exit.AWS_TROUBLE
        assert "sfr-" in done.err
        assert "not today" in done.err
        assert "run teardown again" in done.err
        assert {*states()[:2]} == {"terminated"}
        assert boto3.client("dynamodb").list_tables()["TableNames"] != []
        stays = left_behind("htcondor-annex")
        assert stays.pop("spot fleets") == 1
        assert set(stays.values()) == {0}
    assert aws.annex_client("teardown", "--yes").status == Exit.DONE
    assert set(left_behind("htcondor-annex").values()) == {0}


def test_teardown_asks_and_a_no_changes_nothing(aws: World) -> None:
    deploy()
    aws.annex_client("setup")
    launch(1)
    done = aws.annex_client("teardown", typed="no\n")
    assert done.status == Exit.UNEXPECTED
    assert states() == ["running"]
    assert boto3.client("dynamodb").list_tables()["TableNames"] == ["htcondor-annex-ledger"]


def test_teardown_may_be_run_again_and_clears_the_logs_last(aws: World) -> None:
    deploy()
    aws.annex_client("setup")
    aws.annex_client("teardown", "--yes")
    assert boto3.client("logs").describe_log_groups()["logGroups"]
    boto3.client("logs").create_log_group(logGroupName="/aws/lambda/htcondor-annex-dev-api_handler")
    for name in deployment.FUNCTIONS:
        boto3.client("lambda").delete_function(FunctionName=name)
    assert aws.annex_client("teardown", "--yes").status == Exit.DONE
    assert boto3.client("logs").describe_log_groups()["logGroups"] == []


def test_setup_after_a_teardown_opens_what_it_closed(aws: World) -> None:
    deploy()
    aws.annex_client("setup")
    aws.annex_client("teardown", "--yes")
    assert aws.annex_client("setup").status == Exit.DONE
    client = boto3.client("lambda")
    concurrency = client.get_function_concurrency(FunctionName=deployment.API_FUNCTION)
    assert "ReservedConcurrentExecutions" not in concurrency
    assert [rule["State"] for rule in boto3.client("events").list_rules()["Rules"]] == ["ENABLED"]


@pytest.mark.parametrize("where", ["at the question", "before the question"])
def test_ctrl_c_before_anything_is_torn_down_asks_for_no_second_run(
    where: str, aws: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy()
    launch(1)

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if where == "before the question":
            patched.setattr("botocore.paginate.Paginator.paginate", interrupt)
        done = aws.annex_client("teardown", typed=None)
    assert done.status == Exit.INTERRUPTED
    assert "teardown again" not in done.err
    assert states() == ["running"]


def test_ctrl_c_during_teardown_says_how_to_go_on(aws: World) -> None:
    deploy()

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    aws.clock.while_asleep = interrupt
    launch(1)
    done = aws.annex_client("teardown", "--yes")
    assert done.status == Exit.INTERRUPTED
    assert "Run teardown again" in done.err


def test_api_urls_and_moments_are_spelt_as_the_contract_has_them(aws: World) -> None:
    assert deployment.api_url("abc123", "us-east-1") == API_URL
    assert iso(aws.clock.now()).endswith("Z")
