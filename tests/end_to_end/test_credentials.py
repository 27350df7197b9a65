"""Keys that are missing, open to others, or no good."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stage import Stage

pytestmark = pytest.mark.pool


@contextmanager
def changed(stage: Stage, do: str, undo: str) -> Iterator[None]:
    """Change alice's key files for a while."""
    assert stage.run("sh", "-c", f"cd ~/.condor && {do}").status == 0
    try:
        yield
    finally:
        assert stage.run("sh", "-c", f"cd ~/.condor && {undo}").status == 0


@pytest.mark.parametrize(
    "words", [("start", "Bad", "--yes"), ("status",), ("stop", "Bad", "--yes")]
)
def test_without_credentials_every_command_says_where_they_go(
    stage: Stage, words: tuple[str, ...]
) -> None:
    with changed(stage, "mv publicKeyFile away", "mv away publicKeyFile"):
        stage.annex(*words).refused(3, "No AWS credentials were found", "~/.condor/publicKeyFile")


def test_a_key_file_that_others_may_read_is_not_used(stage: Stage) -> None:
    with changed(stage, "chmod 644 privateKeyFile", "chmod 600 privateKeyFile"):
        done = stage.annex("start", "Bad", "--yes")
    done.refused(3, "privateKeyFile can be read by others", "chmod 600")
    assert not stage.machines("Bad")


def test_a_wrong_secret_is_refused_by_aws_and_never_shown(stage: Stage) -> None:
    wrong = "cp -p privateKeyFile kept && echo wrongwrongwrong >privateKeyFile"
    with changed(stage, wrong, "mv kept privateKeyFile"):
        done = stage.annex("start", "Bad", "--yes")
    done.refused(3, "AWS refused the request", "valid keys")
    assert "wrongwrongwrong" not in done.out + done.err


@pytest.mark.parametrize(
    ("service", "call", "arguments"),
    [
        ("ec2", "describe_instances", {}),
        ("s3", "list_buckets", {}),
        ("ssm", "get_parameter", {"Name": "/htcondor-annex/settings"}),
        ("dynamodb", "scan", {"TableName": "htcondor-annex-ledger"}),
        ("iam", "list_users", {}),
    ],
)
def test_the_users_keys_open_nothing_but_the_api(
    stage: Stage, service: str, call: str, arguments: dict[str, Any]
) -> None:
    keys = json.loads((stage.state / "annex-user.json").read_text())
    client = boto3.client(
        service,
        **{
            **stage.account.session(),
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretAccessKey"],
        },
    )
    with pytest.raises(ClientError) as refusal:
        getattr(client, call)(**arguments)
    code = refusal.value.response["Error"]["Code"]
    assert code.startswith(("AccessDenied", "UnauthorizedOperation"))
