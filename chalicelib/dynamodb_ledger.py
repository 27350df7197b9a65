"""The ledger in one DynamoDB table, keys `pk` and `sk`, both strings; TTL attribute `ttl`.

    pk        sk            what
    annex     ANNEX-ID      the record: JSON in `body`, or where it is long, compressed in `packed`;
                            plus `version`, `state`, `caller`, `name`
    name      NAME          the newest annex of that name: `annex_id`
    request   CALLER#UUID   what a request id was used for
    turn      CALLER        `turn`: moved by every reservation, so that two cannot both count alone
    marker    deployment    which table speaks for the deployment, and since when
    sweep     state         what the last sweep wrote

All records lie under one partition key, because only a query by partition is strongly consistent:
a secondary index never is. A partition does some 1,000 writes a second, a thousand annexes' worth.
"""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from botocore.exceptions import ClientError

from .aws_errors import code_of, translated
from .errors import Conflict, Unreadable
from .ids import AnnexId
from .model import Annex, AnnexState, RequestRecord, SweepState
from .transitions import KEPT_FOR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import PutTypeDef, TransactWriteItemTypeDef

    from .ids import AnnexName, CallerId, RequestId

# A request may be repeated for so long; nobody keeps an unanswered request id longer.
REQUESTS_KEPT_FOR = timedelta(days=30)
# An item has 400 KB at most (DynamoDB, 'Quotas'). A machine is named twice, when it starts and
# when it has ended: 44 bytes, packed 22 (5,000 machines: 221 KB, packed 112 KB). What `record_room`
# lets into a record stays below the limit: tests/contract/test_ledger_size.py.
_PLAIN_BYTES = 64 * 1024

Item = dict[str, Any]
_T = TypeVar("_T")


class DynamoDBLedger:
    """`ports.Ledger` on DynamoDB."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def get(self, annex_id: AnnexId) -> Annex | None:
        item = self._item("annex", annex_id)
        return None if item is None else _decode(item)

    def find(self, name: AnnexName) -> Annex | None:
        pointer = self._item("name", name)
        return None if pointer is None else self.get(AnnexId(pointer["annex_id"]["S"]))

    def annexes(self, caller: CallerId | None = None) -> tuple[list[Annex], list[AnnexId]]:
        annexes, unreadable = [], []
        for item in self._records():
            if caller is not None and item.get("caller", {}).get("S") != caller:
                continue
            try:
                annexes.append(_decode(item))
            except Unreadable:
                unreadable.append(AnnexId(item["sk"]["S"]))
        return annexes, unreadable

    def request(self, caller: CallerId, request_id: RequestId) -> RequestRecord | None:
        item = self._item("request", f"{caller}#{request_id}")
        return None if item is None else _body(item, RequestRecord)

    def turn(self, caller: CallerId) -> int:
        item = self._item("turn", caller)
        return 0 if item is None else int(item["turn"]["N"])

    def create(self, annex: Annex, request: RequestRecord, turn: int) -> Annex:
        created = _next_version(annex)
        self._transact(
            self._put_new(_encode(created)),
            self._claim_name(annex),
            self._put_new(_request_item(request)),
            self._take_turn(annex.caller, turn),
        )
        return created

    def save(
        self, annex: Annex, request: RequestRecord | None = None, turn: int | None = None
    ) -> Annex:
        saved = _next_version(annex)
        put: PutTypeDef = {
            "TableName": self._table,
            "Item": _encode(saved),
            # Only over the very version that was read: no update is ever lost. A retry of the SDK
            # may meet its own first try and lose to it; changes can be applied twice, so it is
            # enough to read again.
            "ConditionExpression": "version = :read",
            "ExpressionAttributeValues": {":read": {"N": str(annex.version)}},
        }
        also: list[TransactWriteItemTypeDef] = []
        if request is not None:
            also.append(self._put_new(_request_item(request)))
        if turn is not None:
            also.append(self._take_turn(annex.caller, turn))
        if also:
            self._transact({"Put": put}, *also)
        else:
            with translated("write the ledger"), _conditions():
                self._client.put_item(**put)
        return saved

    def marked_at(self) -> datetime | None:
        item = self._item("marker", "deployment")
        if item is None or item["table_made_at"]["S"] != self._made_at():
            return None
        return datetime.fromisoformat(item["marked_at"]["S"])

    def mark(self, now: datetime) -> None:
        if self.marked_at() is not None:
            return
        with translated("write the ledger"):
            self._client.put_item(
                TableName=self._table,
                Item={
                    "pk": {"S": "marker"},
                    "sk": {"S": "deployment"},
                    "marked_at": {"S": now.isoformat()},
                    "table_made_at": {"S": self._made_at()},
                },
            )

    def sweep_state(self) -> SweepState:
        item = self._item("sweep", "state")
        return SweepState() if item is None else _body(item, SweepState)

    def save_sweep_state(self, state: SweepState) -> None:
        with translated("write the ledger"):
            self._client.put_item(
                TableName=self._table,
                Item={"pk": {"S": "sweep"}, "sk": {"S": "state"}, "body": _json(state)},
            )

    def _made_at(self) -> str:
        """When this table was made: a restored or recreated one has another time."""
        with translated("describe the ledger"):
            table = self._client.describe_table(TableName=self._table)["Table"]
        return table["CreationDateTime"].astimezone(UTC).isoformat()

    def _item(self, pk: str, sk: str) -> Item | None:
        with translated("read the ledger"):
            answer = self._client.get_item(
                TableName=self._table,
                Key={"pk": {"S": pk}, "sk": {"S": sk}},
                ConsistentRead=True,
            )
        return answer.get("Item")

    def _records(self) -> Iterator[Item]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :annex",
            ExpressionAttributeValues={":annex": {"S": "annex"}},
            ConsistentRead=True,
        )
        with translated("read the ledger"):
            for page in pages:
                yield from page["Items"]

    def _put_new(self, item: Item) -> TransactWriteItemTypeDef:
        return {
            "Put": {
                "TableName": self._table,
                "Item": item,
                "ConditionExpression": "attribute_not_exists(pk)",
            }
        }

    def _claim_name(self, annex: Annex) -> TransactWriteItemTypeDef:
        """The name is free, or still points at an annex that has terminated, which is for good."""
        pointer = self._item("name", annex.name)
        item: Item = {
            "pk": {"S": "name"},
            "sk": {"S": annex.name},
            "annex_id": {"S": annex.annex_id},
        }
        if pointer is None:
            return self._put_new(item)
        before = self.get(AnnexId(pointer["annex_id"]["S"]))
        if before is not None and before.state is not AnnexState.TERMINATED:
            raise Conflict(f"The name {annex.name} is taken.", annex=annex.name)
        return {
            "Put": {
                "TableName": self._table,
                "Item": item,
                "ConditionExpression": "annex_id = :before",
                "ExpressionAttributeValues": {":before": pointer["annex_id"]},
            }
        }

    def _take_turn(self, caller: CallerId, turn: int) -> TransactWriteItemTypeDef:
        """Move the caller's turn on, if nobody else did since it was read."""
        return {
            "Update": {
                "TableName": self._table,
                "Key": {"pk": {"S": "turn"}, "sk": {"S": caller}},
                "UpdateExpression": "SET turn = :next",
                "ConditionExpression": "turn = :read"
                " OR (:read = :never AND attribute_not_exists(pk))",
                "ExpressionAttributeValues": {
                    ":read": {"N": str(turn)},
                    ":next": {"N": str(turn + 1)},
                    ":never": {"N": "0"},
                },
            }
        }

    def _transact(self, *writes: TransactWriteItemTypeDef) -> None:
        with translated("write the ledger"), _conditions():
            self._client.transact_write_items(TransactItems=writes)


@contextmanager
def _conditions() -> Iterator[None]:
    """Turn lost conditional writes, and those that two transactions lost to one another."""
    try:
        yield
    except ClientError as error:
        reasons = error.response.get("CancellationReasons", [])
        lost = {"ConditionalCheckFailed", "TransactionConflict"}
        if code_of(error) in (
            "ConditionalCheckFailedException",
            "TransactionConflictException",
        ) or any(reason.get("Code") in lost for reason in reasons):
            raise Conflict("The ledger changed meanwhile; read it again.") from error
        raise


def _next_version(annex: Annex) -> Annex:
    return replace(annex, version=annex.version + 1)


def _encode(annex: Annex) -> Item:
    item: Item = {
        "pk": {"S": "annex"},
        "sk": {"S": annex.annex_id},
        "version": {"N": str(annex.version)},
        "state": {"S": annex.state},
        "caller": {"S": annex.caller},
        "name": {"S": annex.name},
    }
    text = msgspec.json.encode(annex)
    if len(text) > _PLAIN_BYTES:
        item["packed"] = {"B": zlib.compress(text)}
    else:
        item["body"] = {"S": text.decode()}
    if annex.terminated_at is not None:
        item["ttl"] = {"N": str(int((annex.terminated_at + KEPT_FOR).timestamp()))}
    return item


def _decode(item: Item) -> Annex:
    return _body(item, Annex)


def _request_item(request: RequestRecord) -> Item:
    return {
        "pk": {"S": "request"},
        "sk": {"S": f"{request.caller}#{request.request_id}"},
        "body": _json(request),
        "ttl": {"N": str(int((request.made_at + REQUESTS_KEPT_FOR).timestamp()))},
    }


def _json(value: object) -> dict[str, str]:
    return {"S": msgspec.json.encode(value).decode()}


def _body(item: Item, kind: type[_T]) -> _T:
    try:
        packed = item.get("packed")
        text = item["body"]["S"] if packed is None else zlib.decompress(packed["B"])
        return msgspec.json.decode(text, type=kind)
    except (KeyError, zlib.error, msgspec.DecodeError) as error:
        raise Unreadable(
            f"The ledger's record {item['pk']['S']} {item['sk']['S']} cannot be read: {error}."
        ) from error
