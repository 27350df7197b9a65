"""The ledger in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chalicelib.errors import Conflict, Unreadable
from chalicelib.model import Annex, AnnexState, RequestRecord, SweepState

if TYPE_CHECKING:
    from datetime import datetime

    from chalicelib.ids import AnnexId, AnnexName, CallerId, RequestId


class FakeLedger:
    """`ports.Ledger`. `broken` holds ids whose records cannot be read.

    `listed_until` makes the list of all records stale: it lacks those created later.
    """

    def __init__(self) -> None:
        self.records: dict[AnnexId, Annex] = {}
        self.names: dict[AnnexName, AnnexId] = {}
        self.requests: dict[tuple[CallerId, RequestId], RequestRecord] = {}
        self.turns: dict[CallerId, int] = {}
        self.state = SweepState()
        self.broken: set[AnnexId] = set()
        self.mark_time: datetime | None = None
        self.listed_until: datetime | None = None

    def get(self, annex_id: AnnexId) -> Annex | None:
        if annex_id in self.broken:
            raise Unreadable(f"record {annex_id}")
        return self.records.get(annex_id)

    def find(self, name: AnnexName) -> Annex | None:
        annex_id = self.names.get(name)
        return None if annex_id is None else self.get(annex_id)

    def annexes(self, caller: CallerId | None = None) -> tuple[list[Annex], list[AnnexId]]:
        mine = [
            one
            for one in self.records.values()
            if caller in (None, one.caller)
            and (self.listed_until is None or one.created_at <= self.listed_until)
        ]
        return (
            [one for one in mine if one.annex_id not in self.broken],
            [one.annex_id for one in mine if one.annex_id in self.broken],
        )

    def request(self, caller: CallerId, request_id: RequestId) -> RequestRecord | None:
        return self.requests.get((caller, request_id))

    def turn(self, caller: CallerId) -> int:
        return self.turns.get(caller, 0)

    def create(self, annex: Annex, request: RequestRecord, turn: int) -> Annex:
        before = self.find(annex.name)
        if before is not None and before.state is not AnnexState.TERMINATED:
            raise Conflict("name")
        self._check(request, annex, turn)
        self.names[annex.name] = annex.annex_id
        return self._put(annex, request, turn)

    def save(
        self, annex: Annex, request: RequestRecord | None = None, turn: int | None = None
    ) -> Annex:
        current = self.records.get(annex.annex_id)
        if current is None or current.version != annex.version:
            raise Conflict("version")
        self._check(request, annex, turn)
        return self._put(annex, request, turn)

    def marked_at(self) -> datetime | None:
        return self.mark_time

    def mark(self, now: datetime) -> None:
        self.mark_time = self.mark_time or now

    def sweep_state(self) -> SweepState:
        return self.state

    def save_sweep_state(self, state: SweepState) -> None:
        self.state = state

    def _check(self, request: RequestRecord | None, annex: Annex, turn: int | None) -> None:
        if request is not None and (request.caller, request.request_id) in self.requests:
            raise Conflict("request")
        if turn is not None and turn != self.turn(annex.caller):
            raise Conflict("turn")

    def _put(self, annex: Annex, request: RequestRecord | None, turn: int | None) -> Annex:
        saved = replace(annex, version=annex.version + 1)
        self.records[annex.annex_id] = saved
        if request is not None:
            self.requests[request.caller, request.request_id] = request
        if turn is not None:
            self.turns[annex.caller] = turn + 1
        return saved
