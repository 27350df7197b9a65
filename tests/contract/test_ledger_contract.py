"""What every ledger promises."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from chalicelib import transitions
from chalicelib.dynamodb_ledger import DynamoDBLedger
from chalicelib.errors import Conflict, Unreadable
from chalicelib.ids import AnnexId, AnnexName, CallerId, InstanceId, RequestId
from chalicelib.launch import Ask, Launch, Launched, LaunchSpec, Market, Place, Refusal, RefusalKind
from chalicelib.model import Annex, AnnexState, Notice, NoticeKind, RequestRecord, SweepState
from tests.fakes.ledger import FakeLedger

if TYPE_CHECKING:
    from chalicelib.ports import Ledger
    from tests.contract.conftest import Account

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ALICE, BOB = CallerId("AIDAALICE"), CallerId("AIDABOB")
PLACE = Place("m7i.large", "subnet-1", "us-east-1a", public_address=True)


@pytest.fixture(params=["fake", "dynamodb"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    if request.param == "fake":
        return FakeLedger()
    account: Account = request.getfixturevalue("account")
    return DynamoDBLedger(account.client("dynamodb"), account.table())


def annex(number: int = 1, name: str = "foo", caller: CallerId = ALICE) -> Annex:
    launch = Launch(
        request_id=RequestId("r"),
        number=1,
        asked=2,
        opened_at=NOW,
        spec=LaunchSpec(
            image_id="ami-1",
            root_device="/dev/xvda",
            root_gib=8,
            places=(PLACE,),
            security_groups=("sg-1",),
            instance_profile_arn="arn",
            key_name=None,
            tags=(("a", "b"),),
            user_data=b"\x1f\x8b\x00binary\xff",
        ),
    )
    return Annex(
        annex_id=AnnexId(f"annex-{number}"),
        name=AnnexName(name),
        caller=caller,
        identity="alice@pool.example",
        created_at=NOW,
        lease_expires_at=NOW + timedelta(hours=1),
        idle_seconds=900,
        retire_seconds=300,
        config_key=f"config/{number}.json",
        launches=(launch,),
    )


def record(one: Annex, request_id: str = "1") -> RequestRecord:
    return RequestRecord(one.caller, RequestId(request_id), "print", one.annex_id, NOW)


def test_what_is_recorded_is_read_back_whole(ledger: Ledger) -> None:
    created = ledger.create(annex(), record(annex()), 0)
    tried = transitions.with_attempt(
        created, created.launches[0], Ask(PLACE, Market.ON_DEMAND), NOW
    )
    token = tried.attempts[0].client_token
    settled = transitions.with_outcome(tried, token, Launched(((InstanceId("i-1"), 1),)))
    saved = ledger.save(settled)
    assert ledger.get(created.annex_id) == saved
    assert ledger.find(AnnexName("foo")) == saved
    assert saved.launches[0].spec.user_data == b"\x1f\x8b\x00binary\xff"


def test_refusals_survive_the_way_to_the_table_and_back(ledger: Ledger) -> None:
    created = ledger.create(annex(), record(annex()), 0)
    tried = transitions.with_attempt(
        created, created.launches[0], Ask(PLACE, Market.ON_DEMAND), NOW
    )
    no = Refusal(RefusalKind.QUOTA, "VcpuLimitExceeded", "no")
    saved = ledger.save(transitions.with_outcome(tried, tried.attempts[0].client_token, no))
    assert ledger.get(created.annex_id) == saved


def test_notices_survive_the_way_to_the_table_and_back(ledger: Ledger) -> None:
    created = ledger.create(annex(), record(annex()), 0)
    notice = Notice(InstanceId("i-1"), NoticeKind.RECLAIM, NOW)
    saved = ledger.save(transitions.with_notice(created, notice))
    assert ledger.get(saved.annex_id) == saved
    assert saved.notice_of(InstanceId("i-1"), NoticeKind.RECLAIM) == notice


def test_what_was_never_recorded_is_none(ledger: Ledger) -> None:
    assert ledger.get(AnnexId("annex-0")) is None
    assert ledger.find(AnnexName("nobody")) is None
    assert ledger.request(ALICE, RequestId("0")) is None
    assert ledger.turn(ALICE) == 0
    assert ledger.annexes() == ([], [])
    assert ledger.sweep_state() == SweepState()


def test_name_belongs_to_one_annex_at_a_time(ledger: Ledger) -> None:
    ledger.create(annex(1), record(annex(1)), 0)
    other = annex(2, caller=BOB)
    with pytest.raises(Conflict):
        ledger.create(other, record(other), 0)
    assert ledger.get(other.annex_id) is None
    assert ledger.request(BOB, RequestId("1")) is None
    assert ledger.turn(BOB) == 0


def test_name_is_free_after_termination_and_the_old_record_stays(ledger: Ledger) -> None:
    first = ledger.create(annex(1), record(annex(1)), 0)
    ending = ledger.save(transitions.begin_ending(first, "over"))
    ended = ledger.save(transitions.terminated(ending, NOW))
    second = annex(2, caller=BOB)
    ledger.create(second, record(second), 0)
    found = ledger.find(AnnexName("foo"))
    assert found is not None
    assert found.annex_id == second.annex_id
    assert ledger.get(first.annex_id) == ended


def test_names_are_exact(ledger: Ledger) -> None:
    for number, name in enumerate(("foo", "foobar", "foo_bar", "foo.bar", "f" * 64)):
        one = annex(number, name)
        ledger.create(one, record(one, str(number)), number)
    found = ledger.find(AnnexName("foo"))
    assert found is not None
    assert found.name == "foo"
    assert ledger.find(AnnexName("fo")) is None


def test_request_id_is_used_once_by_each_caller(ledger: Ledger) -> None:
    ledger.create(annex(1), record(annex(1)), 0)
    again = annex(2, "bar")
    with pytest.raises(Conflict):
        ledger.create(again, record(again), 1)
    others = annex(3, "baz", BOB)
    ledger.create(others, record(others), 0)
    known = ledger.request(ALICE, RequestId("1"))
    assert known == record(annex(1))


def test_turn_moves_with_every_reservation_and_stops_the_second_of_two(ledger: Ledger) -> None:
    ledger.create(annex(1), record(annex(1)), 0)
    assert ledger.turn(ALICE) == 1
    second = annex(2, "bar")
    with pytest.raises(Conflict):
        ledger.create(second, record(second, "2"), 0)
    created = ledger.create(second, record(second, "2"), 1)
    assert ledger.turn(ALICE) == 2
    with pytest.raises(Conflict):
        ledger.save(created, record(second, "3"), 1)
    ledger.save(created, record(second, "3"), 2)
    assert ledger.turn(ALICE) == 3


def test_save_over_a_record_that_moved_on_is_refused(ledger: Ledger) -> None:
    created = ledger.create(annex(), record(annex()), 0)
    saved = ledger.save(replace(created, idle_seconds=1))
    assert saved.version == created.version + 1
    with pytest.raises(Conflict):
        ledger.save(replace(created, idle_seconds=2))
    assert ledger.get(created.annex_id) == saved


def test_save_of_what_was_never_created_is_refused(ledger: Ledger) -> None:
    with pytest.raises(Conflict):
        ledger.save(annex())


def test_save_with_a_known_request_changes_nothing(ledger: Ledger) -> None:
    created = ledger.create(annex(), record(annex()), 0)
    with pytest.raises(Conflict):
        ledger.save(replace(created, idle_seconds=1), record(annex()))
    assert ledger.get(created.annex_id) == created


def test_annexes_of_one_caller_are_no_one_elses(ledger: Ledger) -> None:
    for number, caller in enumerate((ALICE, BOB, ALICE)):
        one = annex(number, f"a{number}", caller)
        ledger.create(one, record(one, str(number)), ledger.turn(caller))
    mine, unreadable = ledger.annexes(ALICE)
    assert sorted(one.name for one in mine) == ["a0", "a2"]
    assert unreadable == []
    assert len(ledger.annexes()[0]) == 3


def test_marker_is_set_once(ledger: Ledger) -> None:
    assert ledger.marked_at() is None
    ledger.mark(NOW)
    ledger.mark(NOW + timedelta(hours=1))
    assert ledger.marked_at() == NOW


def test_sweeps_state_is_kept(ledger: Ledger) -> None:
    state = SweepState(NOW, AnnexId("annex-1"), ("one", "two"))
    ledger.save_sweep_state(state)
    assert ledger.sweep_state() == state


# What DynamoDB alone can show


def test_unreadable_record_hides_no_other(account: Account) -> None:
    table = account.table()
    client = account.client("dynamodb")
    ledger = DynamoDBLedger(client, table)
    for number, name in ((1, "foo"), (2, "bar")):
        ledger.create(annex(number, name), record(annex(number), str(number)), number - 1)
    client.update_item(
        TableName=table,
        Key={"pk": {"S": "annex"}, "sk": {"S": "annex-1"}},
        UpdateExpression="SET body = :x",
        ExpressionAttributeValues={":x": {"S": '{"annex_id": 1}'}},
    )
    readable, unreadable = ledger.annexes()
    assert [one.name for one in readable] == ["bar"]
    assert unreadable == ["annex-1"]
    with pytest.raises(Unreadable):
        ledger.get(AnnexId("annex-1"))


def test_record_from_before_ec2_s_notices_is_read(account: Account) -> None:
    table, client = account.table(), account.client("dynamodb")
    ledger = DynamoDBLedger(client, table)
    created = ledger.create(annex(), record(annex()), 0)
    key = {"pk": {"S": "annex"}, "sk": {"S": created.annex_id}}
    item = client.get_item(TableName=table, Key=key)["Item"]
    body = json.loads(item["body"]["S"])
    del body["notices"]
    client.put_item(TableName=table, Item={**item, "body": {"S": json.dumps(body)}})
    assert ledger.get(created.annex_id) == created


def test_marker_of_another_table_is_none(account: Account) -> None:
    """A backup that is restored brings its marker along, into a table of another age."""
    table, client = account.table(), account.client("dynamodb")
    ledger = DynamoDBLedger(client, table)
    ledger.mark(NOW)
    item = client.get_item(TableName=table, Key={"pk": {"S": "marker"}, "sk": {"S": "deployment"}})
    item["Item"]["table_made_at"] = {"S": "2020-01-01T00:00:00+00:00"}
    client.put_item(TableName=table, Item=item["Item"])
    assert ledger.marked_at() is None
    ledger.mark(NOW + timedelta(hours=1))
    assert ledger.marked_at() == NOW + timedelta(hours=1)


def test_only_what_has_ended_expires(account: Account) -> None:
    table, client = account.table(), account.client("dynamodb")
    ledger = DynamoDBLedger(client, table)
    created = ledger.create(annex(), record(annex()), 0)
    key = {"pk": {"S": "annex"}, "sk": {"S": created.annex_id}}
    assert "ttl" not in client.get_item(TableName=table, Key=key)["Item"]
    ending = ledger.save(transitions.begin_ending(created, "over"))
    assert "ttl" not in client.get_item(TableName=table, Key=key)["Item"]
    ledger.save(transitions.terminated(ending, NOW))
    expires = int(client.get_item(TableName=table, Key=key)["Item"]["ttl"]["N"])
    assert expires == int((NOW + transitions.KEPT_FOR).timestamp())


def test_many_pages_are_all_read(account: Account) -> None:
    ledger = DynamoDBLedger(account.client("dynamodb"), account.table())
    big = annex()
    spec = replace(big.launches[0].spec, user_data=b"x" * 16000)
    for number in range(60):  # over 1 MB, a page of a query
        one = replace(annex(number, f"a{number}"), launches=(replace(big.launches[0], spec=spec),))
        ledger.create(one, record(one, str(number)), number)
    assert len(ledger.annexes()[0]) == 60


def test_terminated_state_is_for_good(ledger: Ledger) -> None:
    created = ledger.create(annex(), record(annex()), 0)
    ended = transitions.terminated(transitions.begin_ending(created, "over"), NOW)
    saved = ledger.save(ended)
    assert saved.state is AnnexState.TERMINATED
    assert transitions.begin_ending(saved, "again") == saved
