"""app.py as Lambda calls it: API Gateway's events, the schedule's, EC2's; moto behind it."""

from __future__ import annotations

import importlib
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from chalicelib import wiring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.conftest import Account

ARN = "arn:aws:lambda:us-east-1:123456789012:function:"
SECRET = "a-very-secret-token"


@dataclass(frozen=True)
class Context:
    """Lambda's context, as far as it is used."""

    invoked_function_arn: str
    aws_request_id: str = "lambda-1"
    function_name: str = "htcondor-annex-dev"


@dataclass(frozen=True)
class Functions:
    """The three functions, deployed by name."""

    module: Any
    name: str

    def rest(
        self, method: str, resource: str, body: Any = None, name: str | None = None
    ) -> tuple[int, Any]:
        event = {
            "resource": resource,
            "path": resource,
            "httpMethod": method,
            "headers": {"Content-Type": "application/json"},
            "multiValueHeaders": {"Content-Type": ["application/json"]},
            "queryStringParameters": None,
            "multiValueQueryStringParameters": None,
            "pathParameters": {"name": name} if name else None,
            "stageVariables": None,
            "body": json.dumps(body) if body is not None else None,
            "isBase64Encoded": False,
            "requestContext": {
                "resourcePath": resource,
                "httpMethod": method,
                "requestId": "gw-1",
                "identity": {"caller": "AIDAALICE", "sourceIp": "192.0.2.1"},
            },
        }
        answer = self.module.app(event, Context(f"{ARN}{self.name}-dev"))
        return answer["statusCode"], json.loads(answer["body"])

    def sweep(self) -> Any:
        event = {"version": "0", "account": "1", "region": "us-east-1", "detail": {}}
        event |= {"detail-type": "Scheduled Event", "source": "aws.events", "time": "t"}
        event |= {"id": "1", "resources": []}
        return self.module.sweep(event, Context(f"{ARN}{self.name}-dev-sweep"))

    def interruption(self, instance_id: str, state: str) -> Any:
        return self.event("EC2 Instance State-change Notification", instance_id, state=state)

    def event(self, kind: str, instance_id: str, **more: str) -> Any:
        event = {"version": "0", "account": "1", "region": "us-east-1", "id": "1"}
        detail = {"instance-id": instance_id, **more}
        event |= {"source": "aws.ec2", "resources": [], "detail": detail}  # type: ignore[dict-item]
        event |= {"detail-type": kind, "time": "2026-11-24T16:00:00Z"}
        return self.module.interruption(event, Context(f"{ARN}{self.name}-dev-interruption"))


@pytest.fixture
def account(moto_account: Account) -> Account:
    return moto_account


@pytest.fixture
def functions(account: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[Functions]:
    ec2 = account.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=subnet["VpcId"])
    ec2.create_route(
        RouteTableId=ec2.describe_route_tables()["RouteTables"][0]["RouteTableId"],
        DestinationCidrBlock="0.0.0.0/0",
        GatewayId=gateway,
    )
    group = ec2.create_security_group(
        GroupName=account.name, Description="test", VpcId=subnet["VpcId"]
    )["GroupId"]
    profile, role_id = account.profile()
    account.table()
    account.client("s3").create_bucket(Bucket=account.bucket)
    image = next(one for one in ec2.describe_images()["Images"] if one["Architecture"] == "x86_64")
    ssm = account.client("ssm")
    ssm.put_parameter(Name="/image/amd64", Value=image["ImageId"], Type="String")
    settings = {
        "subnets": [subnet["SubnetId"]],
        "security_group": group,
        "instance_profile_arn": profile,
        "instance_role_id": role_id,
        "image_parameter": "/image/{arch}",
    }
    ssm.put_parameter(Name=f"/{account.name}/settings", Value=json.dumps(settings), Type="String")
    monkeypatch.setenv("ANNEX_DEPLOYMENT", account.name)
    for kept in (wiring.services, wiring.journal):
        kept.cache_clear()
    yield Functions(importlib.import_module("app"), account.name)
    for kept in (wiring.services, wiring.journal):
        kept.cache_clear()


def start_body(**changes: Any) -> dict[str, Any]:
    return {
        "request_id": str(uuid.uuid4()),
        "name": "foo",
        "count": 1,
        "duration_seconds": 3600,
        "idle_seconds": 900,
        "identity": "alice@pool.example",
        "pool": {"collector_host": "127.0.0.1:1", "trust_domain": "pool.example"},
        "token": SECRET,
        **changes,
    }


def test_whole_life_of_an_annex_through_the_functions(
    functions: Functions, capfd: pytest.CaptureFixture[str]
) -> None:
    status, started = functions.rest("POST", "/annexes", start_body())
    assert status == 201, started
    (machine,) = started["annex"]["instances"]
    assert functions.sweep() == {"problems": [], "resume_after": None}
    renewal = {"request_id": str(uuid.uuid4()), "duration_seconds": 7200, "token": SECRET}
    status, renewed = functions.rest("PATCH", "/annexes/{name}", renewal, "foo")
    assert status == 200, renewed
    status, shown = functions.rest("GET", "/annexes/{name}", name="foo")
    assert (status, shown["state"]) == (200, "active")
    status, ending = functions.rest("DELETE", "/annexes/{name}", name="foo")
    assert (status, ending["state"]) == (200, "terminating")
    assert functions.interruption(machine["instance_id"], "terminated") == {"ours": True}
    status, shown = functions.rest("GET", "/annexes/{name}", name="foo")
    assert (status, shown["state"]) == (200, "terminated")
    logged = capfd.readouterr().out
    assert SECRET not in logged
    assert '"annex_id":"annex-' in logged
    assert '"request_id":"gw-1"' in logged
    assert '"SweepFinished":[1.0]' in logged
    assert '"Dimensions":[[]]' in logged  # the alarm names none


def test_refusals_come_with_their_status(functions: Functions) -> None:
    status, refused = functions.rest("POST", "/annexes", start_body(count=0))
    assert (status, refused["error"]["code"]) == (400, "BadRequest")
    status, refused = functions.rest("GET", "/annexes/{name}", name="nobody")
    assert (status, refused["error"]["code"]) == (404, "NoSuchAnnex")


def test_missing_settings_are_told_and_stop_no_sweep(
    functions: Functions, account: Account
) -> None:
    account.client("ssm").delete_parameter(Name=f"/{functions.name}/settings")
    status, refused = functions.rest("POST", "/annexes", start_body())
    assert (status, refused["error"]["code"]) == (503, "NotSetUp")
    assert "annex-client setup" in refused["error"]["message"]
    assert functions.sweep()["problems"] == []


def test_machines_of_others_are_let_be(functions: Functions) -> None:
    assert functions.interruption("i-0123456789abcdef0", "running") == {"ours": False}


def test_notices_to_spot_machines_are_shown(functions: Functions) -> None:
    """EC2 User Guide, 'Spot Instance interruption notices' and 'rebalance recommendations'."""
    _, started = functions.rest("POST", "/annexes", start_body())
    (machine,) = (one["instance_id"] for one in started["annex"]["instances"])
    rebalance, reclaim = (
        "EC2 Instance Rebalance Recommendation",
        "EC2 Spot Instance Interruption Warning",
    )
    assert functions.event(rebalance, machine) == {"ours": True}
    action = {"instance-action": "terminate"}
    assert functions.event(reclaim, machine, **action) == {"ours": True}
    assert functions.event(reclaim, "i-0123456789abcdef0", **action) == {"ours": False}
    _, shown = functions.rest("GET", "/annexes/{name}", name="foo")
    (one,) = shown["instances"]
    assert one["rebalance_at"] == "2026-11-24T16:00:00Z"
    assert one["reclaim_at"] == "2026-11-24T16:02:00Z"
    assert one["reason"] == "reclaimed by EC2 at 2026-11-24T16:02:00Z"


def test_user_data_has_no_secret_and_fits(functions: Functions) -> None:
    _, started = functions.rest("POST", "/annexes", start_body())
    ec2 = boto3.client("ec2", region_name="us-east-1")
    answer = ec2.describe_instance_attribute(
        InstanceId=started["annex"]["instances"][0]["instance_id"], Attribute="userData"
    )
    data = answer["UserData"]["Value"]
    assert SECRET not in data
    assert len(data) < 16_384 * 4 / 3 + 4
