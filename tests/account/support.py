"""An account as tests use it: a process started as a user starts it, clients and buttons."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]
# One for all: it keeps the services' descriptions, which take longer to read than to use.
SESSION = boto3.session.Session()
IMAGE = "ami-0deb13000000a0d64"
# Seconds: what comes soon may come late on a machine that is slow or busy, and nothing is a bug
# before it is this late.
PATIENCE = 180


class LocalAccount:
    """A running account as its tests use it: clients, signed calls, and the buttons."""

    def __init__(self, state: Path, environment: Mapping[str, str]) -> None:
        self.state = state
        self.environment = environment
        self._administrator = Credentials(
            environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
        )

    def client(self, service: str, credentials: Credentials | None = None, **options: Any) -> Any:
        """A client of the administrator's, or of whoever has the credentials; it never retries."""
        who = credentials or self._administrator
        return SESSION.client(
            service,
            region_name="us-east-1",
            aws_access_key_id=who.access_key,
            aws_secret_access_key=who.secret_key,
            aws_session_token=who.token,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            config=Config(read_timeout=PATIENCE, retries={"total_max_attempts": 1}, **options),
        )

    def press(self, button: str, body: Any = None, method: str = "POST") -> Any:
        """One of the account's own buttons."""
        request = urllib.request.Request(
            f"{self.environment['AWS_ENDPOINT_URL_EXECUTE_API']}/_account/{button}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def user(self, name: str, *statements: dict[str, Any]) -> Credentials:
        """A new user with these statements as policy."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy(*statements))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def call_api(
        self,
        method: str,
        path: str,
        credentials: Credentials | None = None,
        body: bytes | None = None,
        sent_body: bytes | None = None,
        service: str = "execute-api",
    ) -> tuple[int, Any, Mapping[str, str]]:
        """(status, JSON, headers) of a call through the gateway; signed with the credentials."""
        url = self.environment["AWS_ENDPOINT_URL_EXECUTE_API"] + path
        signed = AWSRequest(
            method=method, url=url, data=body, headers={"Content-Type": "application/json"}
        )
        if credentials:
            SigV4Auth(credentials, service, "us-east-1").add_auth(signed)
        request = urllib.request.Request(
            url, data=sent_body or body, method=method, headers=dict(signed.headers)
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, json.load(answer), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, json.load(error), error.headers


def policy(*statements: dict[str, Any]) -> str:
    """A policy document; Effect is Allow unless said."""
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **s} for s in statements]}
    )


def code(call: Callable[[], Any]) -> str:
    """The error code of a call that must fail."""
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def eventually(found: Callable[[], Any]) -> Any:
    """Wait until something is there, and return it."""
    end = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.03)
    return value


def local(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m local ...` with its own state folder."""
    return subprocess.run(
        [sys.executable, "-m", "local", *arguments],
        cwd=ROOT,
        env={**os.environ, "ANNEX_LOCAL_STATE": str(state)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def exports(state: Path) -> dict[str, str]:
    """What `env` prints, as a shell would take it."""
    lines = local(state, "env").stdout.splitlines()
    pairs = (line.removeprefix("export ").split("=", 1) for line in lines)
    return {name: value.strip("'") for name, value in pairs}


def deploy(account: LocalAccount, folder: Path) -> None:
    """`chalice deploy`, as a user would."""
    subprocess.run(
        [str(Path(sys.executable).with_name("chalice")), "deploy"],
        cwd=folder,
        env={**os.environ, **account.environment},
        check=True,
        capture_output=True,
        timeout=2 * PATIENCE,  # it builds the zip first, of packages that it may have to fetch
    )


class Machines:
    """Launches by the administrator, as the tests of EC2 want them."""

    def __init__(self, account: LocalAccount) -> None:
        self.ec2 = account.client("ec2")

    def launch(self, **changes: Any) -> list[dict[str, Any]]:
        request = {"ImageId": IMAGE, "InstanceType": "m7i.large", "MinCount": 1, "MaxCount": 1}
        instances: list[dict[str, Any]] = self.ec2.run_instances(**{**request, **changes})[
            "Instances"
        ]
        return instances

    def id(self, **changes: Any) -> str:
        return str(self.launch(**changes)[0]["InstanceId"])

    def show(self, instance_id: str) -> dict[str, Any]:
        found = self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
        instance: dict[str, Any] = found[0]["Instances"][0]
        return instance

    def all(self, **parameters: Any) -> list[dict[str, Any]]:
        found = self.ec2.describe_instances(**parameters)["Reservations"]
        return [instance for each in found for instance in each["Instances"]]

    def becomes(self, instance_id: str, state: str) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            instance = self.show(instance_id)
            return instance if instance["State"]["Name"] == state else None

        return dict(eventually(there))
