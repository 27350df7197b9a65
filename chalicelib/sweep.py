"""Keeps the promises when nobody asks: every annex, longest overdue first, then every orphan.

The machines are listed before the records are read. A machine that appears in between is only not
seen this time; a record that is missing afterwards was missing when the machine already ran.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from .clearing import Seen
from .errors import AnnexError
from .model import AnnexState, SweepState
from .orphans import is_orphan, past_own_tag

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from .clearing import Clearing
    from .ids import AnnexId, InstanceId
    from .model import Annex, Instance
    from .ports import Clock, Compute, Journal, Ledger
    from .reconcile import Reconciler

# A minute's schedule leaves this much for the work; the function's own time-out is longer.
BUDGET = timedelta(seconds=45)
# For those who ask for them; the log has all. (The state is one item of DynamoDB's 400 KB.)
PROBLEMS_KEPT = 50


@dataclass(frozen=True)
class Sweep:
    """One run through everything there is."""

    ledger: Ledger
    compute: Compute
    reconciler: Reconciler
    clearing: Clearing
    clock: Clock
    journal: Journal

    def run(self) -> SweepState:
        """Sweep; whatever fails for one annex is noted and the next one has its turn.

        Returns what it wrote for the next sweep: where to resume if time ran out, and a sentence
        for each problem that an administrator should know of.
        """
        started = self.clock.now()
        problems: list[str] = []
        listed = self._machines(problems)
        records = self._records(problems)
        resume_after = None
        if records is None:
            # Fleets before machines, here as below: what may launch more goes first.
            self._clear(Seen(listed, None), problems)
            self._end_by_own_tag(listed or [], problems)
        else:
            annexes, unreadable = records
            resume_after = self._annexes(annexes, listed, started + BUDGET, problems)
            self._clear(Seen(listed, annexes, unreadable), problems)
            self._strangers(listed or [], annexes, unreadable, problems)
            self._mark(problems)
        if problems:
            self.journal.count("SweepProblems", len(problems))
        more = len(problems) - PROBLEMS_KEPT
        if more > 0:
            problems[PROBLEMS_KEPT:] = [f"and {more} more: see the sweep's log"]
        complete = listed is not None and records is not None
        finished_at = self.clock.now() if complete else self._finished_before()
        state = SweepState(finished_at, resume_after, tuple(problems))
        self._finish(state, complete=complete)
        return state

    def _machines(self, problems: list[str]) -> list[Instance] | None:
        try:
            return self.compute.instances()
        except Exception as error:  # noqa: BLE001  whatever it is, the records say enough to act
            self._note(problems, "EC2's machines could not be listed", error)
            return None

    def _records(self, problems: list[str]) -> tuple[list[Annex], list[AnnexId]] | None:
        try:
            annexes, unreadable = self.ledger.annexes()
        except Exception as error:  # noqa: BLE001  whatever it is, the tags say enough to act
            self._note(problems, "the ledger could not be read", error)
            return None
        for annex_id in unreadable:
            self.journal.count("UnreadableRecords")
            problems.append(f"the record of {annex_id} cannot be read")
        return annexes, unreadable

    def _annexes(
        self,
        annexes: Sequence[Annex],
        listed: Sequence[Instance] | None,
        until: datetime,
        problems: list[str],
    ) -> AnnexId | None:
        """Reconcile each; returns after which one to resume, or None if all had their turn."""
        machines: dict[AnnexId | None, list[Instance]] = defaultdict(list)
        for one in listed or ():
            machines[one.annex_id].append(one)
        last: AnnexId | None = None
        started = self.clock.now()
        queue = self._queue(annexes, started)
        for position, annex in enumerate(queue):
            if position and self.clock.now() >= until:
                self.journal.count("SweepsOutOfTime")
                return last
            seen = None if listed is None else machines[annex.annex_id]
            try:
                result = self.reconciler.run(annex, seen, until)
            except Exception as error:  # noqa: BLE001  a defect in one annex's turn is its own
                self._note(problems, f"annex {annex.name}", error)
            else:
                problems += [f"annex {annex.name}: {one.message}" for one in result.failures]
            if not _is_overdue(annex, started):
                last = annex.annex_id
        return None

    def _clear(self, seen: Seen, problems: list[str]) -> None:
        try:
            problems += self.clearing.run(seen)
        except Exception as error:  # noqa: BLE001  a defect there must not keep a machine alive
            self._note(problems, "what annexes left behind", error)

    def _queue(self, annexes: Sequence[Annex], now: datetime) -> list[Annex]:
        """The overdue, longest first; then the rest, after where the last sweep ran out of time."""
        overdue = sorted(
            (a for a in annexes if _is_overdue(a, now)), key=lambda a: a.overdue(now), reverse=True
        )
        rest = sorted((a for a in annexes if not _is_overdue(a, now)), key=lambda a: a.annex_id)
        try:
            resume_after = self.ledger.sweep_state().resume_after
        except AnnexError:
            resume_after = None
        if resume_after is not None:
            rest.sort(key=lambda a: a.annex_id <= resume_after)
        return [*overdue, *rest]

    def _strangers(
        self,
        listed: Sequence[Instance],
        annexes: Sequence[Annex],
        unreadable: Sequence[AnnexId],
        problems: list[str],
    ) -> None:
        """Machines whose record is not among those read."""
        known = {annex.annex_id for annex in annexes}
        strangers = [one for one in listed if one.state.is_endable and one.annex_id not in known]
        now = self.clock.now()
        try:
            marked_at = self.ledger.marked_at() if strangers else None
        except AnnexError as error:
            self._note(problems, "the ledger's marker could not be read", error)
            marked_at = None
        orphans: list[InstanceId] = []
        spared = 0
        for one in strangers:
            if one.annex_id is None or one.annex_id in unreadable:
                doomed = past_own_tag(one, now)
            else:
                try:
                    annex = self.ledger.get(one.annex_id)
                except AnnexError:
                    doomed = past_own_tag(one, now)
                else:
                    doomed = is_orphan(one, annex, marked_at, now)
            if doomed:
                orphans.append(one.instance_id)
            elif marked_at is None or one.launched_at < marked_at:
                spared += 1
        if spared:
            self.journal.count("LedgerNotTrusted")
            problems.append(
                f"{spared} machines are older than the ledger and not in it: they are left to the "
                "lease in their own tags"
            )
        self._end(orphans, problems)

    def _mark(self, problems: list[str]) -> None:
        """From now on this table's silence about a machine means that nobody asked for it.

        Last, so that machines a new or restored table cannot know are older than its mark.
        """
        try:
            self.ledger.mark(self.clock.now())
        except AnnexError as error:
            self._note(problems, "the ledger could not be marked", error)

    def _end_by_own_tag(self, listed: Sequence[Instance], problems: list[str]) -> None:
        """Without a ledger only what is past the lease in its own tag is certain."""
        now = self.clock.now()
        self._end([m.instance_id for m in listed if past_own_tag(m, now)], problems)

    def _end(self, orphans: list[InstanceId], problems: list[str]) -> None:
        if not orphans:
            return
        self.journal.count("OrphansEnded", len(orphans))
        self.journal.fact("ending orphans", instances=orphans)
        try:
            refused = self.compute.terminate(orphans)
        except AnnexError as error:
            self._note(problems, "orphans could not be ended", error)
            return
        problems += [f"orphan {one} could not be ended: {why}" for one, why in refused.items()]

    def _finished_before(self) -> datetime | None:
        """A sweep that was blind is none: whoever looks at the time must see the last good one."""
        try:
            return self.ledger.sweep_state().finished_at
        except AnnexError:
            return None  # nor will this state be saved

    def _finish(self, state: SweepState, *, complete: bool) -> None:
        if complete:
            # The alarm hangs on this metric: missing when the sweep is, or when it was blind.
            self.journal.count("SweepFinished")
        try:
            self.ledger.save_sweep_state(state)
        except AnnexError as error:
            self.journal.trouble("the sweep's state could not be saved", error)

    def _note(self, problems: list[str], what: str, error: Exception) -> None:
        self.journal.trouble(what, error)
        said = error.message if isinstance(error, AnnexError) else type(error).__name__
        problems.append(f"{what}: {said}")


def _is_overdue(annex: Annex, now: datetime) -> bool:
    return annex.state is not AnnexState.TERMINATED and annex.is_over(now)
