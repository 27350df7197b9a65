"""Accounts of their own for these tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.account.support import LocalAccount, Machines, deploy, exports, local

if TYPE_CHECKING:
    from collections.abc import Iterator


def running_account(state: Path) -> Iterator[LocalAccount]:
    """Bring an account up without hosts, and down again."""
    up = local(state, "up", "--detach", "--no-hosts")
    assert up.returncode == 0, up.stdout + up.stderr
    try:
        yield LocalAccount(state, exports(state))
    finally:
        assert local(state, "down").returncode == 0


@pytest.fixture(scope="session")
def shared_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAccount]:
    yield from running_account(tmp_path_factory.mktemp("account"))


@pytest.fixture
def account(shared_account: LocalAccount) -> LocalAccount:
    """An empty account whose machines are quick."""
    shared_account.press("reset")
    shared_account.press("options", {"pending_seconds": 0.1, "shutting_down_seconds": 0.1})
    return shared_account


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAccount]:
    """An account of its own with the sample app deployed."""
    for account in running_account(tmp_path_factory.mktemp("sample")):
        folder = account.state / "app"
        shutil.copytree(Path(__file__).parent / "sample", folder)
        deploy(account, folder)
        account.client("s3").create_bucket(Bucket="sample-notes")
        yield account


@pytest.fixture
def machines(account: LocalAccount) -> Machines:
    return Machines(account)
