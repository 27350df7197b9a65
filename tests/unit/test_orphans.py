"""The judgement on what nobody answers for, as a table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.ids import AnnexId, InstanceId
from chalicelib.model import AnnexState, Instance, InstanceState, Leftover, LeftoverKind
from chalicelib.orphans import ORPHAN_GRACE, Verdict, verdict

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
OLD = NOW - timedelta(hours=1)
LATER = NOW + timedelta(hours=1)
BEFORE, AFTER = OLD - timedelta(seconds=1), OLD + timedelta(seconds=1)
SECOND = timedelta(seconds=1)


def record(state: AnnexState) -> Any:
    return SimpleNamespace(state=state)


def machine(
    lease: datetime | None,
    annex_id: str = "annex-1",
    state: InstanceState = InstanceState.RUNNING,
) -> Instance:
    return Instance(
        InstanceId("i-1"), state, "m7i.large", "us-east-1a", OLD, AnnexId(annex_id), "", lease
    )


def thing(
    made_at: datetime = OLD, lease: datetime | None = LATER, annex_id: str | None = "annex-1"
) -> Leftover:
    return Leftover(
        LeftoverKind.VOLUME, "vol-1", made_at, AnnexId(annex_id) if annex_id else None, lease
    )


TRUSTED, NEVER = BEFORE, None
CASES = [
    # (thing, record, marked_at, machines) -> verdict
    (thing(NOW - ORPHAN_GRACE + SECOND), None, TRUSTED, [], Verdict.KEEP),
    (thing(NOW - ORPHAN_GRACE), None, TRUSTED, [], Verdict.REMOVE),
    (thing(lease=OLD), record(AnnexState.LAUNCHING), TRUSTED, [], Verdict.KEEP),
    (thing(lease=OLD), record(AnnexState.ACTIVE), NEVER, [], Verdict.KEEP),
    (thing(lease=OLD), record(AnnexState.TERMINATING), TRUSTED, [], Verdict.KEEP),
    (thing(), record(AnnexState.TERMINATED), TRUSTED, [], Verdict.REMOVE),
    (thing(), record(AnnexState.TERMINATED), NEVER, None, Verdict.REMOVE),
    # No record: the ledger's silence counts for what is younger than its mark
    (thing(), None, OLD, [], Verdict.REMOVE),
    (thing(), None, AFTER, [], Verdict.DOUBT),
    (thing(), None, NEVER, [], Verdict.DOUBT),
    # And else the lease in the thing's own tag, and in those of its annex's machines
    (thing(lease=NOW - ORPHAN_GRACE), None, NEVER, [], Verdict.REMOVE),
    (thing(lease=NOW - ORPHAN_GRACE + SECOND), None, NEVER, [], Verdict.DOUBT),
    (thing(lease=None), None, NEVER, [], Verdict.DOUBT),
    (thing(lease=OLD), None, NEVER, None, Verdict.DOUBT),
    (thing(lease=OLD), None, NEVER, [machine(LATER)], Verdict.DOUBT),
    (thing(lease=OLD), None, NEVER, [machine(None)], Verdict.DOUBT),
    (thing(lease=OLD), None, NEVER, [machine(OLD), machine(LATER)], Verdict.DOUBT),
    (thing(lease=OLD), None, NEVER, [machine(OLD)], Verdict.REMOVE),
    (thing(lease=OLD), None, NEVER, [machine(LATER, "annex-2")], Verdict.REMOVE),
    (
        thing(lease=OLD),
        None,
        NEVER,
        [machine(LATER, state=InstanceState.TERMINATED)],
        Verdict.REMOVE,
    ),
    (thing(lease=LATER), None, NEVER, [machine(OLD)], Verdict.DOUBT),
    (thing(annex_id=None, lease=OLD), None, NEVER, [machine(LATER)], Verdict.REMOVE),
]


@pytest.mark.parametrize(("what", "annex", "marked_at", "machines", "expected"), CASES)
def test_verdict(
    what: Leftover,
    annex: Any,
    marked_at: datetime | None,
    machines: list[Instance] | None,
    expected: Verdict,
) -> None:
    assert verdict(what, annex, marked_at, machines, NOW) is expected
