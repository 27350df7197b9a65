"""Carries out what `lifecycle` plans, one action at a time, planning anew after each.

Requests, sweep and events all go through here. Each action is safe to repeat; what one of them
could not do is noted and does not keep the next from being tried; what was not done is planned
again by the next sweep.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from . import transitions
from .delivery import CONFLICTS_BORNE, deliver
from .errors import AnnexError, AwsUnavailable, Conflict, Unreadable
from .last_words import SILENT, never_up, why_ending
from .launch import Refusal, Road
from .launching import to_call
from .lifecycle import (
    UNSETTLED_GRACE,
    Action,
    Adopt,
    BeginEnding,
    Call,
    CancelRequests,
    CloseLaunch,
    Finish,
    RecordEnded,
    RefreshConfiguration,
    TagLease,
    Terminate,
    Try,
    plan,
)
from .model import AnnexState, InstanceState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from .ids import InstanceId
    from .launch import Ask
    from .model import Annex, Instance
    from .ports import Clock, Compute, ConfigStore, Journal, Ledger, LegacyStore, Reports

# A renewal that was checked before the lease's end is saved by then, or its function was killed.
_RENEWALS_ARE_SAVED = timedelta(seconds=30)
# A sweep's records may be as old as a sweep can last.
_RECORDS_ARE_OLD = timedelta(seconds=180)


@dataclass
class Result:
    """The record afterwards, and what could not be done."""

    annex: Annex
    failures: list[AnnexError] = field(default_factory=list)


@dataclass(frozen=True)
class Reconciler:
    """Brings one annex to what its record, its lease and the time demand."""

    ledger: Ledger
    compute: Compute
    configs: ConfigStore
    legacy: LegacyStore
    reports: Reports
    clock: Clock
    journal: Journal

    def run(
        self,
        annex: Annex,
        seen: Sequence[Instance] | None,
        deadline: datetime | None = None,
        *,
        launches: bool = True,
    ) -> Result:
        """Do what is to be done now. After `deadline`, or without `launches`, none is begun.

        Args:
            annex: the record as read; the newest is read again whenever a write loses.
            seen: EC2's machines of this annex, read before the record was; None if it could not
                be asked.
            deadline: when whoever asked must have an answer.
            launches: whether EC2 may be asked for machines.
        """
        result = Result(annex)
        done: set[Action] = set()
        while True:
            now = self.clock.now()
            action = next((a for a in plan(result.annex, seen, now) if a not in done), None)
            if action is None:
                return result
            too_late = deadline is not None and now >= deadline
            if isinstance(action, Try | Call) and (too_late or not launches):
                return result
            done.add(action)
            try:
                if isinstance(action, RecordEnded) and seen is not None:
                    missed = self._missed(action.instance_ids, seen)
                    if missed:
                        seen = [*seen, *missed]
                        continue
                if isinstance(action, Finish) and (late := self._late(result.annex)):
                    seen = late
                    continue
                result.annex = self._do(action, result.annex, seen)
            except AnnexError as error:
                result.failures.append(error)
                self.journal.trouble(
                    "action failed", error, annex_id=annex.annex_id, action=type(action).__name__
                )

    def _do(  # noqa: C901, PLR0911  a line an action
        self, action: Action, annex: Annex, seen: Sequence[Instance] | None
    ) -> Annex:
        match action:
            case BeginEnding(reason):
                return self._begin_ending(annex, reason, seen)
            case Terminate(instance_ids):
                return self._terminate(annex, instance_ids)
            case Adopt(token, machines):
                found = dict(sorted(machines))
                return self.change(annex, lambda a: transitions.with_machines(a, token, found))
            case RecordEnded(instance_ids):
                self.journal.fact(
                    "machines ended", annex_id=annex.annex_id, instances=sorted(instance_ids)
                )
                ordered = sorted(instance_ids)
                return self.change(annex, lambda a: transitions.with_ended(a, ordered))
            case Try(number, _, ask):
                return self._try(annex, number, ask)
            case Call(_, token):
                return self._call(annex, token, repeated=True)
            case CancelRequests(terminate):
                return self._cancel(annex, terminate=terminate)
            case CloseLaunch(number, note):
                self.journal.fact("launch closed", annex_id=annex.annex_id, how=note)
                return self.change(annex, lambda a: transitions.close_launch(a, number, note))
            case RefreshConfiguration():
                return self.deliver(annex)
            case TagLease(instance_ids, expires_at):
                self.compute.tag_lease(sorted(instance_ids), expires_at)
                return annex
            case Finish():
                return self._finish(annex)

    def change(self, annex: Annex, transition: Callable[[Annex], Annex]) -> Annex:
        """Apply a transition to the record, to the newest one if another writer came between.

        Raises Conflict after several lost races, AwsUnavailable if the ledger is out of reach.
        """
        for _ in range(CONFLICTS_BORNE):
            changed = transition(annex)
            if changed == annex:
                return annex
            try:
                return self.ledger.save(changed)
            except Conflict:
                annex = self._again(annex)
        raise Conflict(
            f"Annex {annex.name} is being changed by others all the time; ask again.",
            annex=annex.name,
        )

    def _again(self, annex: Annex) -> Annex:
        fresh = self.ledger.get(annex.annex_id)
        if fresh is None:
            raise Unreadable(f"The record of annex {annex.name} is gone.", annex=annex.name)
        return fresh

    def _missed(
        self, instance_ids: frozenset[InstanceId], seen: Sequence[Instance]
    ) -> list[Instance]:
        """Machines that live though the list lacks them: it goes by tags, which can be removed."""
        unshown = instance_ids - {one.instance_id for one in seen}
        if not unshown:
            return []
        found = self.compute.by_id(sorted(unshown))
        alive = [
            replace(one, annex_id=None)
            for one in found
            if one.state is not InstanceState.TERMINATED
        ]
        if alive:
            ids = [one.instance_id for one in alive]
            self.journal.fact("machines live without their tags", instances=ids)
        return alive

    def _late(self, annex: Annex) -> list[Instance]:
        """All machines, if some live that came after the list and before their request's end."""
        if all(one.spec.road is not Road.SPOT_FLEET for one in annex.launches):
            return []
        shown = self.compute.instances(annex.annex_id)
        return shown if any(one.state is not InstanceState.TERMINATED for one in shown) else []

    def _begin_ending(self, annex: Annex, reason: str, seen: Sequence[Instance] | None) -> Annex:
        decision = BeginEnding(reason)
        if annex.started and not annex.living:
            last = annex.ended[-1]
            report = self.reports.read([last]).get(last)
            why = why_ending(annex, last, report)
            if not why and report is None and not annex.legacy:
                why = never_up(seen, last) or SILENT
            reason = f"{reason}: {why}" if why else reason

        def still_due(newest: Annex) -> Annex:
            # A renewal or a grow that was saved in between, and acknowledged, wins.
            if decision not in plan(newest, seen, self.clock.now()):
                return newest
            return transitions.begin_ending(newest, reason)

        before = annex
        annex = self.change(before, still_due)
        if annex.state is AnnexState.TERMINATING and before.state is not annex.state:
            self.journal.fact("annex ending", annex_id=annex.annex_id, why=annex.reason)
        return annex

    def _finish(self, annex: Annex) -> Annex:
        self.configs.delete(annex.config_key)
        if annex.legacy:
            self.legacy.delete(annex.annex_id)
        if any(attempt.place is None for attempt in annex.attempts):  # by a fleet
            self.compute.clear(annex)
        self.journal.fact("annex terminated", annex_id=annex.annex_id, why=annex.reason)
        return self.change(annex, lambda a: transitions.terminated(a, self.clock.now()))

    def _terminate(self, annex: Annex, instance_ids: frozenset[InstanceId]) -> Annex:
        annex = self._end_not_recorded(annex)
        if self._goes_on(annex):
            return annex
        self.journal.fact("terminating", annex_id=annex.annex_id, instances=sorted(instance_ids))
        refused = self.compute.terminate(sorted(instance_ids))
        if refused:
            self.journal.count("MachinesNotEnded", len(refused))
            told = "; ".join(f"{one}: {why}" for one, why in sorted(refused.items()))
            raise AwsUnavailable(f"EC2 would not end machines of annex {annex.name}: {told}.")
        return annex

    def _end_not_recorded(self, annex: Annex) -> Annex:
        """The newest record of an annex, if its lease's end could not be written; else this one.

        A renewal may have been saved, and acknowledged, since the record was read; the write that
        failed would have found it. Raises AwsUnavailable while one may still be.
        """
        if not annex.state.is_living:
            return annex
        certain_after = _RENEWALS_ARE_SAVED
        try:
            annex = self._again(annex)
        except AnnexError:
            certain_after += _RECORDS_ARE_OLD
        late = annex.overdue(self.clock.now())
        if annex.state.is_living and timedelta(0) <= late < certain_after:
            raise AwsUnavailable(
                f"The end of annex {annex.name} could not be recorded: the next sweep ends its "
                "machines.",
                annex=annex.name,
            )
        return annex

    def _goes_on(self, annex: Annex) -> bool:
        """Whether nobody has ended it: a renewal was saved after all."""
        return annex.state.is_living and not annex.is_over(self.clock.now())

    def _cancel(self, annex: Annex, *, terminate: bool) -> Annex:
        if terminate:
            annex = self._end_not_recorded(annex)
            if self._goes_on(annex):
                return annex
        asked = self.clock.now()
        ids = [attempt.fleet_id for attempt in annex.attempts if attempt.fleet_id]
        found = self.compute.cancel_requests(annex.annex_id, ids, terminate=terminate)
        self.journal.fact("requests cancelled", annex_id=annex.annex_id, fleets=ids)
        before = asked - UNSETTLED_GRACE
        return self.change(annex, lambda a: transitions.requests_cancelled(a, found, before))

    def _try(self, annex: Annex, number: int, ask: Ask) -> Annex:
        """Save the attempt, then make its call: never a call that the ledger does not know."""
        now = self.clock.now()
        try:
            annex = self.ledger.save(
                transitions.with_attempt(annex, annex.launch_by(number), ask, now)
            )
        except Conflict:
            # Another function took this turn, or the annex is being stopped: plan anew.
            return self._again(annex)
        attempt = annex.launch_by(number).attempts[-1]
        return self._call(annex, attempt.client_token)

    def _call(self, annex: Annex, client_token: str, *, repeated: bool = False) -> Annex:
        launch, attempt = next(
            (launch, attempt)
            for launch in annex.launches
            for attempt in launch.attempts
            if attempt.client_token == client_token
        )
        outcome = self.compute.launch(to_call(launch, attempt), attempt)
        if isinstance(outcome, Refusal):
            self.journal.fact(
                "launch refused", annex_id=annex.annex_id, code=outcome.code, **_where(annex)
            )
        else:
            ids = [one for one, _ in outcome.machines]
            self.journal.count("MachinesStarted", len(ids))
            self.journal.fact(
                "machines started",
                annex_id=annex.annex_id,
                instances=ids,
                fleet=outcome.fleet_id,
                refused=sorted({f"{no.where}: {no.code}" for no in outcome.refusals}),
            )
        return self.change(
            annex,
            lambda a: transitions.with_outcome(a, client_token, outcome, repeated=repeated),
        )

    def deliver(self, annex: Annex, token: str | None = None) -> Annex:
        """Bring the configuration object up to the ledger, and record that it is.

        Without a token the one that is there stays. Raises Conflict, AwsUnavailable.
        """
        deliver(annex, token, self.configs, self.legacy, self.journal)
        generation = annex.generation
        return self.change(annex, lambda a: transitions.configuration_written(a, generation))


def _where(annex: Annex) -> dict[str, object]:
    launch = annex.open_launch
    attempt = launch.unsettled if launch else None
    if attempt is None or attempt.place is None:
        return {}
    return {"instance_type": attempt.place.instance_type, "zone": attempt.place.zone}
