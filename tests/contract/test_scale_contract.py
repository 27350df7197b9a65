"""More machines than a page or a batch takes, and an EC2 that is busy: at the API's own edge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from chalicelib.ec2_compute import EC2Compute
from chalicelib.errors import AwsUnavailable
from chalicelib.ids import AnnexId, InstanceId
from chalicelib.model import Report
from chalicelib.s3_reports import S3Reports
from chalicelib.tags import DEPLOYMENT, annex_tags
from chalicelib.wiring import CONFIG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.account.support import LocalAccount
    from tests.contract.conftest import Account

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MANY = 1010  # DescribeInstances gives 1,000 a page, and batches are of 200


@pytest.fixture
def ec2(account: Account) -> Any:
    return account.client("ec2")


@pytest.fixture
def busy(local_account: LocalAccount) -> Iterator[LocalAccount]:
    """An account whose faults are gone afterwards."""
    yield local_account
    local_account.press("faults", method="DELETE")


def machines(account: Account, ec2: Any, count: int) -> list[InstanceId]:
    """So many machines of one annex, by the administrator."""
    tags = annex_tags(account.name, "foo", "annex-1", "alice@pool", NOW)
    image = next(one for one in ec2.describe_images()["Images"] if one["Architecture"] == "x86_64")
    pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
    return [
        InstanceId(one["InstanceId"])
        for one in ec2.run_instances(
            ImageId=image["ImageId"],
            InstanceType="m7i.large",
            MinCount=count,
            MaxCount=count,
            TagSpecifications=[{"ResourceType": "instance", "Tags": pairs}],
        )["Instances"]
    ]


def test_more_than_a_thousand_machines_of_one_annex_are_listed_tagged_found_and_ended(
    account: Account, ec2: Any
) -> None:
    ids = machines(account, ec2, MANY)
    compute = EC2Compute(ec2, account.name)
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": f"tag:{DEPLOYMENT}", "Values": [account.name]}]
    )
    assert sum(1 for _ in pages) > 1  # the account does page
    found = compute.instances(AnnexId("annex-1"))
    assert {one.instance_id for one in found} == set(ids)
    later = NOW + timedelta(hours=2)
    compute.tag_lease(ids, later)
    unknown = InstanceId("i-0123456789abcdef0")
    some = [*ids[:150], unknown, *ids[150:250]]
    found = compute.by_id(some)
    assert {one.instance_id for one in found} == set(ids[:250])
    assert {one.lease_tag for one in found} == {later}
    assert compute.terminate([*ids[:700], unknown, *ids[700:]]) == {}
    assert not any(one.state.is_endable for one in compute.instances())


# Throttling: the SDK asks once more, and then the outcome is open


def throttled(account: Account, local_account: LocalAccount) -> Any:
    """A client as the functions have it."""
    environment = local_account.environment
    session: Any = boto3.Session(
        environment["AWS_ACCESS_KEY_ID"],
        environment["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
    return session.client("ec2", endpoint_url=environment["AWS_ENDPOINT_URL"], config=CONFIG)


def test_sdk_repeats_a_throttled_call_once_with_a_pause(
    account: Account, busy: LocalAccount
) -> None:
    assert CONFIG.retries == {"mode": "standard", "total_max_attempts": 2}
    compute = EC2Compute(throttled(account, busy), account.name)
    (one,) = machines(account, account.client("ec2"), 1)
    for action in ("DescribeInstances", "CreateTags", "TerminateInstances"):
        busy.press("faults", {"action": action, "code": "RequestLimitExceeded", "times": 1})
    assert [each.instance_id for each in compute.instances()] == [one]
    compute.tag_lease([one], NOW)
    assert compute.terminate([one]) == {}
    assert not compute.by_id([one])[0].state.is_endable


def test_call_that_stays_throttled_is_open_and_safe_to_repeat(
    account: Account, busy: LocalAccount
) -> None:
    compute = EC2Compute(throttled(account, busy), account.name)
    ids = machines(account, account.client("ec2"), 2)
    busy.press("faults", {"action": "*Instances", "code": "RequestLimitExceeded"})
    with pytest.raises(AwsUnavailable, match="RequestLimitExceeded"):
        compute.instances()
    assert set(compute.terminate(ids)) == set(ids)
    busy.press("faults", method="DELETE")
    assert compute.terminate(ids) == {}


def test_page_that_is_throttled_half_way_shows_nothing_rather_than_a_part(
    account: Account, busy: LocalAccount
) -> None:
    """A part would let the rest be taken for gone."""
    ec2 = account.client("ec2")
    ids = machines(account, ec2, MANY)
    fault = {"action": "DescribeInstances", "code": "RequestLimitExceeded", "skip": 1}
    busy.press("faults", fault)
    with pytest.raises(AwsUnavailable):
        EC2Compute(ec2, account.name).instances()
    busy.press("faults", method="DELETE")
    ec2.terminate_instances(InstanceIds=ids)


def test_two_hundred_reports_are_read_and_no_more(account: Account) -> None:
    s3 = account.client("s3")
    s3.create_bucket(Bucket=account.bucket)
    ids = [InstanceId(f"i-{number:017x}") for number in range(210)]
    for one in ids:
        body = b'{"phase": "joined", "reason": ""}'
        s3.put_object(Bucket=account.bucket, Key=f"reports/AROAROLE:{one}", Body=body)
    asked: list[str] = []
    s3.meta.events.register(
        "provide-client-params.s3.GetObject", lambda params, **_: asked.append(params["Key"])
    )
    found = S3Reports(s3, account.bucket, account.account, lambda: "AROAROLE").read(ids)
    assert 0 < len(asked) <= 200
    assert set(found.values()) == {Report("joined", "")}
