"""Keys that are missing, open to others, or no good."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

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


@pytest.mark.parametrize("words", [("start", "Bad", "--yes"), ("status",), ("stop", "Bad", "--yes")])
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


def test_the_users_keys_open_this_api_and_nothing_else(stage: Stage) -> None:
    ask = (
        "import boto3, pathlib as p; k = p.Path.home() / '.condor';"
        "c = dict(aws_access_key_id=(k / 'publicKeyFile').read_text().strip(),"
        " aws_secret_access_key=(k / 'privateKeyFile').read_text().strip());"
        "boto3.client('{}', **c).{}"
    )
    calls = {
        "ec2": "describe_instances()",
        "s3": "list_buckets()",
        "ssm": "get_parameter(Name='/htcondor-annex/settings')",
        "iam": "list_users()",
    }
    python = stage.run("sh", "-c", "sed -n '1s/^#!//p' $(command -v annex-client)").out.strip()
    for service, call in calls.items():
        command = f"{ask.format(service, call)}"
        try_it = f"try:\n {command}\nexcept Exception as e:\n print(e)\nelse:\n print('open')"
        said = stage.run(python, "-c", try_it)
        assert "AccessDenied" in said.out or "Unauthorized" in said.out, said
