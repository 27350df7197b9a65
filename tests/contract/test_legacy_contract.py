"""Legacy annexes' tarballs: what is written for a condor_annex image, listed, and let go of."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber

from chalicelib.errors import AwsUnavailable, Forbidden
from chalicelib.ids import AnnexId
from chalicelib.model import LeftoverKind
from chalicelib.s3_legacy import S3LegacyStore
from chalicelib.settings import Deployment
from tests.contract.test_config_contract import CONFIGURATION as CONFIG_OBJECT
from tests.contract.test_leftovers_contract import POLICY
from tests.fakes.legacy import FakeLegacyStore

if TYPE_CHECKING:
    from chalicelib.ports import LegacyStore
    from tests.account.support import LocalAccount
    from tests.contract.conftest import Account
    from tests.fakes.world import FakeClock

LEASE_END = datetime(2026, 11, 24, 16, tzinfo=UTC)
CONFIGURATION = replace(
    CONFIG_OBJECT, annex_id=AnnexId("annex-0123456789abcdef"), lease_expires_at=LEASE_END
)
OTHER = replace(CONFIGURATION, annex_id=AnnexId("annex-fedcba9876543210"))
FIRST, SECOND = CONFIGURATION.annex_id, OTHER.annex_id


def deployed(account: Account) -> Deployment:
    return Deployment(account.name, "aws", account.account, "us-east-1")


def s3_store(account: Account) -> S3LegacyStore:
    return S3LegacyStore(account.client("s3"), account.client("ssm"), deployed(account))


def set_up(account: Account) -> S3LegacyStore:
    """What of `setup --legacy` the control plane sees."""
    names = deployed(account)
    account.client("s3").create_bucket(Bucket=names.legacy_bucket)
    account.client("ssm").put_parameter(Name=names.legacy_parameter, Type="String", Value="on")
    return s3_store(account)


@pytest.fixture(params=["fake", "s3"])
def store(request: pytest.FixtureRequest, clock: FakeClock) -> LegacyStore:
    if request.param == "fake":
        return FakeLegacyStore(clock)
    return set_up(request.getfixturevalue("account"))


def test_tarballs_are_listed_by_their_annexes_and_age(store: LegacyStore) -> None:
    assert store.listed() == []
    for one in (CONFIGURATION, OTHER):
        store.write(one)
    found = store.listed()
    assert {one.annex_id for one in found} == {FIRST, SECOND}
    assert {(one.kind, one.lease_tag) for one in found} == {(LeftoverKind.TARBALL, None)}
    assert {one.resource_id for one in found} == {f"config-{x}.tar.gz" for x in (FIRST, SECOND)}
    assert all(one.made_at.tzinfo is not None for one in found)


def test_tarball_tells_the_lease_it_was_last_written_for(store: LegacyStore) -> None:
    assert store.lease(FIRST) is None
    store.write(CONFIGURATION)
    assert store.lease(FIRST) == LEASE_END
    later = LEASE_END + timedelta(hours=1)
    store.write(replace(CONFIGURATION, lease_expires_at=later))
    assert store.lease(FIRST) == later
    assert len(store.listed()) == 1


def test_deleted_tarball_is_listed_no_more_and_deleting_twice_is_no_error(
    store: LegacyStore,
) -> None:
    for one in (CONFIGURATION, OTHER):
        store.write(one)
    store.delete(FIRST)
    store.delete(FIRST)
    assert [one.annex_id for one in store.listed()] == [SECOND]
    assert store.lease(FIRST) is None


# What S3 alone can show


def test_without_a_bucket_there_are_no_tarballs_and_one_call_says_so(account: Account) -> None:
    s3, ssm = account.client("s3"), account.client("ssm")
    calls: list[str] = []
    for one in (s3, ssm):
        one.meta.events.register("before-call", lambda model, **_: calls.append(model.name))
    store = S3LegacyStore(s3, ssm, deployed(account))
    assert not store.is_on()
    calls.clear()
    assert store.listed() == []
    assert calls == ["ListObjectsV2"]


def test_another_accounts_bucket_of_that_name_is_nothing_while_legacy_images_are_off(
    account: Account,
) -> None:
    set_up(account)
    s3, ssm = account.client("s3"), account.client("ssm")
    store = S3LegacyStore(s3, ssm, deployed(account))
    with Stubber(s3) as stub:
        for _ in range(2):
            stub.add_client_error("list_objects_v2", "AccessDenied", "Access Denied")
        with pytest.raises(Forbidden):
            store.listed()
        ssm.delete_parameter(Name=deployed(account).legacy_parameter)
        assert store.listed() == []


@pytest.mark.parametrize("call", ["list_objects_v2", "head_object"])
def test_silence_is_told_and_is_no_empty_bucket(account: Account, call: str) -> None:
    s3 = account.client("s3")
    store = S3LegacyStore(s3, account.client("ssm"), deployed(account))
    with Stubber(s3) as stub:
        stub.add_client_error(call, "SlowDown", "Please reduce your request rate.")
        with pytest.raises(AwsUnavailable):
            store.listed() if call == "list_objects_v2" else store.lease(FIRST)


def test_more_than_a_page_is_listed_and_what_is_no_annexs_is_not(account: Account) -> None:
    store, s3 = set_up(account), account.client("s3")
    bucket = deployed(account).legacy_bucket
    for number in range(1003):  # ListObjectsV2 gives 1,000 at most
        s3.put_object(Bucket=bucket, Key=f"config-annex-{number:016x}.tar.gz", Body=b"")
    for key in ("config-annex-1.tar", "config-mine.tar.gz", "config-annex-1.tar.gz/x", "notes"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    assert len(store.listed()) == 1003


def test_tarball_without_a_readable_lease_tells_none(account: Account) -> None:
    store, s3 = set_up(account), account.client("s3")
    told: list[dict[str, str]] = [{}, {"lease-expires-at": "soon"}]
    for one in told:
        s3.put_object(
            Bucket=deployed(account).legacy_bucket,
            Key=f"config-{FIRST}.tar.gz",
            Body=b"",
            Metadata=one,
        )
        assert store.lease(FIRST) is None


def test_tarball_is_what_such_an_image_unpacks_and_its_metadata_holds_no_secret(
    account: Account,
) -> None:
    set_up(account).write(CONFIGURATION)
    found = account.client("s3").get_object(
        Bucket=deployed(account).legacy_bucket, Key=f"config-{FIRST}.tar.gz"
    )
    assert found["Metadata"] == {"lease-expires-at": "2026-11-24T16:00:00Z"}
    with tarfile.open(fileobj=io.BytesIO(found["Body"].read())) as archive:
        files = {one.name: one.mode for one in archive.getmembers() if one.isfile()}
        texts = {one: archive.extractfile(one) for one in ("tokens.d/annex", "60-annex.config")}
        token, condor = (one.read() for one in texts.values() if one is not None)
    assert token == b"the-token\n"
    assert {b"STARTD_NOCLAIM_SHUTDOWN = 900", b"ENCRYPT_EXECUTE_DIRECTORY = False"} <= {
        *condor.splitlines()
    }
    assert files == {
        "00-htcondor-9.0.config": 0o644,
        "60-annex.config": 0o644,
        "60-annex-user-a.config": 0o644,
        "tokens.d/annex": 0o600,
        "passwords.d/annex-foo-admin": 0o600,
    }


# What the sweep's own policy lets it do


def test_sweeps_policy_is_enough_with_legacy_images_and_without(
    account: Account, local_account: LocalAccount
) -> None:
    user = local_account.user(f"{account.name}-sweep", *POLICY["Statement"])
    names = Deployment("htcondor-annex", "aws", account.account, "us-east-1")
    clients: Any = [local_account.client(one, user) for one in ("s3", "ssm")]
    store = S3LegacyStore(*clients, names)
    assert not store.is_on()
    assert store.listed() == []
    account.client("s3").create_bucket(Bucket=names.legacy_bucket)
    assert store.lease(FIRST) is None
    store.write(CONFIGURATION)
    (found,) = store.listed()
    assert store.lease(FIRST) == LEASE_END
    store.delete(FIRST)
    assert (found.annex_id, store.listed()) == (FIRST, [])
    account.client("s3").delete_bucket(Bucket=names.legacy_bucket)
