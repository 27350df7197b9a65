"""DynamoDB takes 400 KB an item: what `record_room` allows fits, and is read back whole."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from chalicelib.dynamodb_ledger import DynamoDBLedger
from chalicelib.errors import Unreadable
from chalicelib.ids import AnnexId, AnnexName, CallerId, InstanceId, RequestId
from chalicelib.launch import Attempt, Launch, LaunchSpec, Place, Refusal, RefusalKind, SpotFleet
from chalicelib.model import Annex, Notice, NoticeKind, RequestRecord
from chalicelib.record_room import (
    ANSWERS_PER_RECORD,
    LAUNCHES_PER_RECORD,
    MACHINES_PER_RECORD,
    OPEN_BYTES,
    packed_bytes,
)
from chalicelib.transitions import with_notice

if TYPE_CHECKING:
    from tests.contract.conftest import Account

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ANNEX_ID = AnnexId("annex-0123456789abcdef")
ITEM_BYTES = 400 * 1024  # DynamoDB Developer Guide, 'Service, account, and table quotas'
PLACES_PER_LAUNCH = 400  # wire.StartRequest: 20 types, 20 subnets
REST_BYTES = 37_500  # packed: the most that a launch has beside a Spot Fleet, and some more
SAID = (
    "We currently do not have sufficient {} capacity in the Availability Zone you requested ({}). "
    "Our system will be working on provisioning additional capacity. You can currently get {} "
    "capacity by not specifying an Availability Zone in your request or choosing {}."
)


def places(number: int) -> tuple[Place, ...]:
    """As many as one launch may try; types and subnets as different as they come."""
    return tuple(
        Place(
            f"m{one % 20}idn.{one}xlarge",
            f"subnet-{secrets.token_hex(9)[:17]}",
            f"us-east-1{'abcdef'[one % 6]}",
            public_address=True,
        )
        for one in range(number)
    )


def refused(launch: int, number: int, place: Place) -> Attempt:
    said = SAID.format(place.instance_type, place.zone, place.instance_type, "us-east-1f")
    no = Refusal(RefusalKind.CAPACITY, "InsufficientInstanceCapacity", said)
    called_at = NOW + timedelta(seconds=7 * number, minutes=launch)
    return Attempt(f"{ANNEX_ID}-{launch}-{number}", place, 80, called_at, settled=True, refusal=no)


def started(launch: int, number: int, place: Place, machines: int) -> Attempt:
    ids = tuple(InstanceId(f"i-{secrets.token_hex(9)[:17]}") for _ in range(machines))
    called_at = NOW + timedelta(minutes=launch)
    return Attempt(
        f"{ANNEX_ID}-{launch}-{number}", place, machines, called_at, settled=True, started=ids
    )


def spec(size: int = 0) -> LaunchSpec:
    """Of a closed launch, or of one that goes on and has so many bytes, packed."""
    whole = size > 0
    tags = tuple((secrets.token_hex(64), secrets.token_hex(128)) for _ in range(44))
    return LaunchSpec(
        image_id="ami-0123456789abcdef0",
        root_device="/dev/xvda",
        root_gib=20,
        places=places(PLACES_PER_LAUNCH) if whole else (),
        security_groups=tuple(f"sg-{secrets.token_hex(9)[:17]}" for _ in range(5)),
        instance_profile_arn="arn:aws:iam::123456789012:instance-profile/htcondor-annex-instance",
        key_name="k" * 255,
        tags=tags if whole else (),
        user_data=secrets.token_bytes(16 * 1024) if whole else b"",
        spot_fleet=SpotFleet((secrets.token_urlsafe(size - REST_BYTES),), "{}") if whole else None,
    )


def annex(machines: int, launches: int = 1, attempts: int = 0, going_on: int = 1) -> Annex:
    """An annex with a long life: all machines have ended, and the last launches go on."""
    all_places = places(PLACES_PER_LAUNCH)
    made = []
    for number in range(launches):
        tried = [
            refused(number, one, all_places[one % PLACES_PER_LAUNCH])
            for one in range(attempts // launches)
        ]
        tried.append(started(number, len(tried), all_places[0], machines // launches))
        last = number == launches - 1
        goes_on = number >= launches - going_on
        if last and launches > 1:
            tried += [refused(number, one, place) for one, place in enumerate(all_places)]
        made.append(
            Launch(
                request_id=RequestId(f"{secrets.token_hex(4)}-0000-4000-8000-{number:012x}"),
                number=number,
                asked=machines // launches,
                opened_at=NOW + timedelta(minutes=number),
                spec=spec(OPEN_BYTES // going_on if goes_on and launches > 1 else 0),
                attempts=tuple(tried),
                closed="" if goes_on else "not to be had: 79 of 80 started",
            )
        )
    whole = Annex(
        annex_id=ANNEX_ID,
        name=AnnexName("f" * 64),
        caller=CallerId("AROA0123456789ABCDEFG:" + "s" * 64),
        identity="alice@pool.example",
        created_at=NOW,
        lease_expires_at=NOW + timedelta(days=7),
        idle_seconds=900,
        retire_seconds=300,
        config_key="config/0123456789abcdef0123456789abcdef.json",
        launches=tuple(made),
        reason="r" * 300,
    )
    return replace(whole, ended=whole.started)


@pytest.fixture
def ledger(account: Account) -> DynamoDBLedger:
    return DynamoDBLedger(account.client("dynamodb"), account.table())


def weight(account: Account, one: Annex) -> int:
    """What the stored item weighs, by DynamoDB's rule: names and values, in bytes."""
    item = account.client("dynamodb").get_item(
        TableName=f"{account.name}-ledger", Key={"pk": {"S": "annex"}, "sk": {"S": one.annex_id}}
    )["Item"]
    values = [value for typed in item.values() for value in typed.values()]
    return sum(map(len, item)) + sum(map(len, values))


def kept(ledger: DynamoDBLedger, one: Annex) -> Annex:
    record = RequestRecord(one.caller, RequestId("1"), "print", one.annex_id, NOW)
    return ledger.create(one, record, 0)


@pytest.mark.parametrize("going_on", [1, 4])
def test_largest_record_that_is_allowed_fits_into_an_item(
    account: Account, ledger: DynamoDBLedger, going_on: int
) -> None:
    largest = annex(MACHINES_PER_RECORD, LAUNCHES_PER_RECORD, ANSWERS_PER_RECORD, going_on)
    open_bytes = sum(packed_bytes(one) for one in largest.launches if not one.closed)
    assert OPEN_BYTES * 0.94 < open_bytes <= OPEN_BYTES
    for one in largest.started[::10]:
        gone_at = NOW + timedelta(seconds=secrets.randbelow(7 * 86400))
        largest = with_notice(largest, Notice(one, NoticeKind.RECLAIM, gone_at))
    assert len(largest.started) == MACHINES_PER_RECORD
    assert len(largest.attempts) >= ANSWERS_PER_RECORD + PLACES_PER_LAUNCH
    created = kept(ledger, largest)
    found = weight(account, largest)
    print(f"\nthe largest record: {found} bytes")  # noqa: T201  for the docs
    assert found < ITEM_BYTES * 0.9
    assert ledger.get(ANNEX_ID) == created
    assert ledger.annexes() == ([created], [])
    # Its end must fit, too: a record that cannot be saved never ends.
    ended = ledger.save(replace(created, reason="its lease ended"))
    assert ledger.get(ANNEX_ID) == ended


@pytest.mark.parametrize("machines", [100, 1000, 5000, MACHINES_PER_RECORD])
def test_weight_of_a_record_by_its_machines(
    account: Account, ledger: DynamoDBLedger, machines: int
) -> None:
    one = annex(machines)
    created = kept(ledger, one)
    found = weight(account, one)
    print(f"\na record of {machines} machines, all ended: {found} bytes")  # noqa: T201  for the docs
    assert found < max(46 * machines, 24 * machines + 64 * 1024)
    assert ledger.get(ANNEX_ID) == created


def test_usual_record_is_readable_text(account: Account, ledger: DynamoDBLedger) -> None:
    kept(ledger, annex(100))
    key = {"pk": {"S": "annex"}, "sk": {"S": ANNEX_ID}}
    item = account.client("dynamodb").get_item(TableName=f"{account.name}-ledger", Key=key)["Item"]
    assert '"idle_seconds":900' in item["body"]["S"]


def test_packed_record_that_is_damaged_is_unreadable_and_hides_no_other(
    account: Account, ledger: DynamoDBLedger
) -> None:
    kept(ledger, annex(5000))
    account.client("dynamodb").update_item(
        TableName=f"{account.name}-ledger",
        Key={"pk": {"S": "annex"}, "sk": {"S": ANNEX_ID}},
        UpdateExpression="SET packed = :bad",
        ExpressionAttributeValues={":bad": {"B": b"not zlib"}},
    )
    with pytest.raises(Unreadable):
        ledger.get(ANNEX_ID)
    assert ledger.annexes() == ([], [ANNEX_ID])
