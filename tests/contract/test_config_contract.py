"""Configuration objects and reports: where tokens lie, and what machines may say."""

from __future__ import annotations

import json
import traceback
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ReadTimeoutError

from chalicelib.configuration import Configuration
from chalicelib.errors import AwsUnavailable, Conflict, Unreadable
from chalicelib.ids import AnnexId, AnnexName, InstanceId
from chalicelib.model import LeftoverKind, Report
from chalicelib.s3_config import S3ConfigStore
from chalicelib.s3_reports import S3Reports
from tests.fakes.configs import FakeConfigs
from tests.fakes.world import FakeClock

if TYPE_CHECKING:
    from chalicelib.ports import ConfigStore
    from tests.contract.conftest import Account

NOW = datetime(2026, 11, 24, 16, tzinfo=UTC)
KEY = "config/0123456789abcdef0123456789abcdef.json"
CONFIGURATION = Configuration(
    annex_name=AnnexName("foo"),
    annex_id=AnnexId("annex-1"),
    generation=1,
    lease_expires_at=NOW,
    idle_seconds=900,
    retire_seconds=300,
    vacate_seconds=30,
    dead_man_margin_seconds=300,
    unjoined_limit_seconds=900,
    identity="alice@pool.example",
    owners=("alice@pool.example",),
    any_owner=False,
    collector_host="cm.pool.example:9618",
    trust_domain="pool.example",
    access_points=("ap.pool.example:9618",),
    config_files={"a.config": "X = 1\n"},
    program="cHJvZ3JhbQ==",
    token="the-token",
    admin={"key_name": "annex-foo-admin", "identity": "admin@foo.annex", "key": "a2V5"},
    on_rebalance="retire",
)


@pytest.fixture(params=["fake", "s3"])
def store(request: pytest.FixtureRequest) -> ConfigStore:
    if request.param == "fake":
        return FakeConfigs(FakeClock())
    account: Account = request.getfixturevalue("account")
    account.client("s3").create_bucket(Bucket=account.bucket)
    return S3ConfigStore(account.client("s3"), account.bucket, account.account)


def test_what_is_written_is_read_back_whole(store: ConfigStore) -> None:
    store.write(KEY, CONFIGURATION)
    found = store.read(KEY)
    assert found is not None
    assert found[0] == CONFIGURATION


def test_what_is_not_there_is_none(store: ConfigStore) -> None:
    assert store.read(KEY) is None


def test_second_of_two_writers_over_one_version_loses(store: ConfigStore) -> None:
    store.write(KEY, CONFIGURATION)
    found = store.read(KEY)
    assert found is not None
    etag = found[1]
    newer = replace(CONFIGURATION, generation=2, lease_expires_at=NOW + timedelta(hours=1))
    store.write(KEY, newer, etag)
    with pytest.raises(Conflict):
        store.write(KEY, replace(CONFIGURATION, generation=3), etag)
    again = store.read(KEY)
    assert again is not None
    assert again[0] == newer


def test_write_over_what_has_been_deleted_loses(store: ConfigStore) -> None:
    store.write(KEY, CONFIGURATION)
    found = store.read(KEY)
    assert found is not None
    store.delete(KEY)
    with pytest.raises(Conflict):
        store.write(KEY, CONFIGURATION, found[1])


def test_deleting_twice_is_deleting_once(store: ConfigStore) -> None:
    store.write(KEY, CONFIGURATION)
    store.delete(KEY)
    store.delete(KEY)
    assert store.read(KEY) is None


def test_every_object_is_listed_by_its_key_and_age(store: ConfigStore) -> None:
    assert store.listed() == []
    keys = [f"config/{number:032x}.json" for number in range(3)]
    for key in keys:
        store.write(key, CONFIGURATION)
    store.delete(keys[0])
    listed = store.listed()
    assert sorted(one.resource_id for one in listed) == keys[1:]
    assert {(one.kind, one.annex_id, one.lease_tag) for one in listed} == {
        (LeftoverKind.CONFIGURATION, None, None)
    }
    assert all(one.made_at.tzinfo is not None for one in listed)


# What S3 alone can show


def test_more_than_a_page_of_objects_is_listed_and_reports_are_not(account: Account) -> None:
    s3 = account.client("s3")
    s3.create_bucket(Bucket=account.bucket)
    for number in range(1003):  # ListObjectsV2 gives 1,000 at most
        s3.put_object(Bucket=account.bucket, Key=f"config/{number:032x}.json", Body=b"{}")
    s3.put_object(Bucket=account.bucket, Key="reports/AROAROLE:i-1", Body=b"{}")
    assert len(S3ConfigStore(s3, account.bucket, account.account).listed()) == 1003


def test_object_is_what_the_machines_expect(account: Account) -> None:
    """The format of docs/architecture.md, to the letter."""
    s3 = account.client("s3")
    s3.create_bucket(Bucket=account.bucket)
    S3ConfigStore(s3, account.bucket, account.account).write(KEY, CONFIGURATION)
    document = json.loads(s3.get_object(Bucket=account.bucket, Key=KEY)["Body"].read())
    assert document == {
        "format": 1,
        "annex_name": "foo",
        "annex_id": "annex-1",
        "generation": 1,
        "lease_expires_at": "2026-11-24T16:00:00Z",
        "idle_seconds": 900,
        "retire_seconds": 300,
        "vacate_seconds": 30,
        "dead_man_margin_seconds": 300,
        "unjoined_limit_seconds": 900,
        "ending": False,
        "on_rebalance": "retire",
        "identity": "alice@pool.example",
        "owners": ["alice@pool.example"],
        "any_owner": False,
        "pool": {
            "collector_host": "cm.pool.example:9618",
            "trust_domain": "pool.example",
            "access_points": ["ap.pool.example:9618"],
        },
        "token": "the-token",
        "admin": {"key_name": "annex-foo-admin", "identity": "admin@foo.annex", "key": "a2V5"},
        "config_files": {"a.config": "X = 1\n"},
        "program": "cHJvZ3JhbQ==",
    }


def test_object_from_before_ec2_s_warnings_records_them(account: Account) -> None:
    s3 = account.client("s3")
    s3.create_bucket(Bucket=account.bucket)
    store = S3ConfigStore(s3, account.bucket, account.account)
    store.write(KEY, CONFIGURATION)
    document = json.loads(s3.get_object(Bucket=account.bucket, Key=KEY)["Body"].read())
    del document["on_rebalance"]
    s3.put_object(Bucket=account.bucket, Key=KEY, Body=json.dumps(document))
    found = store.read(KEY)
    assert found is not None
    assert found[0] == replace(CONFIGURATION, on_rebalance="record")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"token": "the-token"}', b"\xff"])
def test_unreadable_object_is_told_without_its_text(account: Account, body: bytes) -> None:
    s3 = account.client("s3")
    s3.create_bucket(Bucket=account.bucket)
    s3.put_object(Bucket=account.bucket, Key=KEY, Body=body)
    with pytest.raises(Unreadable) as told:
        S3ConfigStore(s3, account.bucket, account.account).read(KEY)
    assert "token" not in str(told.value)
    assert told.value.__cause__ is None


@pytest.mark.parametrize("call", ["read", "write", "delete"])
def test_objects_key_is_in_no_traceback(account: Account, call: str) -> None:
    """It is half a secret, and botocore's errors name the URL that they were about."""
    s3 = account.client("s3")

    def silence(request: Any, **_: Any) -> None:
        raise ReadTimeoutError(endpoint_url=request.url)

    s3.meta.events.register("before-send.s3", silence)
    store = S3ConfigStore(s3, account.bucket, account.account)
    arguments = (KEY, CONFIGURATION) if call == "write" else (KEY,)
    with pytest.raises(AwsUnavailable) as told:
        getattr(store, call)(*arguments)
    logged = "".join(traceback.format_exception(told.value))
    assert "ReadTimeoutError" in logged
    assert "0123456789abcdef" not in logged


def _reports(account: Account, **objects: Any) -> S3Reports:
    s3 = account.client("s3")
    s3.create_bucket(Bucket=account.bucket)
    for instance_id, body in objects.items():
        key = f"reports/AROAROLE:{instance_id.replace('_', '-')}"
        s3.put_object(Bucket=account.bucket, Key=key, Body=body)
    return S3Reports(s3, account.bucket, account.account, lambda: "AROAROLE")


def test_reports_are_read_by_the_roles_id_and_the_machines(account: Account) -> None:
    told = json.dumps({"instance_id": "i-1", "phase": "joined", "reason": "", "events": []})
    reports = _reports(account, i_1=told)
    assert reports.read([InstanceId("i-1"), InstanceId("i-2")]) == {
        InstanceId("i-1"): Report("joined", "")
    }


@pytest.mark.parametrize(
    "body",
    ["{", "[]", '{"phase": 1}', '{"phase": "x", "reason": "' + "x" * 20000 + '"}', b"\xff\xfe"],
)
def test_report_that_makes_no_sense_is_none(account: Account, body: Any) -> None:
    assert _reports(account, i_1=body).read([InstanceId("i-1")]) == {}


def test_report_is_one_short_printable_line(account: Account) -> None:
    evil = json.dumps({"phase": "x\x1b[2J", "reason": "a\nb\x00" + "c" * 1000})
    report = _reports(account, i_1=evil).read([InstanceId("i-1")])[InstanceId("i-1")]
    assert report.phase == "x [2J"
    assert report.reason.startswith("a b ")
    assert len(report.reason) <= 300
