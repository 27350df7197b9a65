"""The same promises asked of the fakes and of the adapters.

The adapters run against a local account of their own, as strict as EC2 where a promise hangs on it.
Every test makes what it needs there under names of its own.
"""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from tests.account.conftest import running_account
from tests.fakes.world import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.account.support import LocalAccount

REGION = "us-east-1"
ANNEX_TAG = "htcondor:AnnexDeployment"


@dataclass(frozen=True)
class Account:
    """Clients, and a deployment's name that no other test uses."""

    client: Callable[[str], Any]
    name: str
    account: str

    @property
    def bucket(self) -> str:
        return f"{self.name}-{self.account}-{REGION}"

    def table(self) -> str:
        name = f"{self.name}-ledger"
        keys = (("pk", "HASH"), ("sk", "RANGE"))
        self.client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key, _ in keys],
        )
        return name

    def profile(self) -> tuple[str, str]:
        iam, name = self.client("iam"), f"{self.name}-instance"
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "ec2.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        profile = iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        return profile["Arn"], role["RoleId"]


@pytest.fixture(scope="session")
def local_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAccount]:
    for running in running_account(tmp_path_factory.mktemp("contract")):
        running.press("options", {"pending_seconds": 0.1, "shutting_down_seconds": 0.1})
        yield running


@pytest.fixture
def account(local_account: LocalAccount) -> Account:
    number = local_account.client("sts").get_caller_identity()["Account"]
    return Account(local_account.client, f"annex-{uuid.uuid4().hex[:8]}", number)


@pytest.fixture
def moto_account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """Moto in this process, for app.py in this process."""
    # With an endpoint set, moto in this process would be passed by.
    for variable in [one for one in os.environ if one.startswith("AWS_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        here: Any = boto3.Session(region_name=REGION)
        yield Account(here.client, f"annex-{uuid.uuid4().hex[:8]}", "123456789012")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
