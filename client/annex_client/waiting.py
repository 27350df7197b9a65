"""Waiting, with progress, for machines to join or to end. Ctrl-C and time-outs lose nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from annex_client import merge
from annex_client.errors import AwsTrouble, Interrupted, TimedOut
from annex_client.render import plural

if TYPE_CHECKING:
    from annex_client.session import Session
    from annex_client.views import Annex, Started

DEFAULT_SECONDS = 900
# The collector is asked often, since asking is cheap; the control plane less often.
_POOL_SECONDS = 2
_API_EVERY = 5


@dataclass(frozen=True)
class Goal:
    """`number` units of an annex in the pool: machines, or slots, or of both together.

    EC2 may still start more of them for `coming_seconds`; later, what is missing has ended. A sum
    of machines and slots (`mixed`) has no name of its own, and is told in machines.
    """

    number: int
    unit: str = "machine"
    coming_seconds: int = 0
    mixed: bool = False

    def joined(self, whole: merge.Whole) -> int:
        """How much of it is in the pool, in the unit that it is told in."""
        if not self.mixed:
            return whole.units_joined
        alive = whole.annex.alive
        return sum(1 for machine in whole.machines if machine.joined and machine.instance in alive)

    def told(self, whole: merge.Whole) -> str:
        """`3 of 5 slots`; of machines and slots, `3 of 4 machines`: those that are there so far."""
        all_of_it = len(whole.annex.alive) if self.mixed else self.number
        return f"{self.joined(whole)} of {plural(all_of_it, self.unit)}"


def goal(answer: Started, asked_unit: str) -> Goal:
    """All that is in the annex when what was asked for, in `asked_unit`s, is there, too."""
    annex = answer.annex
    coming = max(0, answer.asked - answer.started) if answer.pending else 0
    mixed = annex.unit == "machine" and (
        asked_unit == "slot" or any(one.units > 1 for one in annex.instances)
    )
    seconds = answer.pending_seconds if answer.pending else 0
    return Goal(annex.units_alive + coming, annex.unit, seconds, mixed)


def for_machines(session: Session, annex: Annex, goal: Goal, seconds: int) -> merge.Whole:
    """Wait until so much of the annex is in the collector, or will not come.

    Returns what there is when all have joined or those missing have ended.

    Raises:
        TimedOut: after `seconds`; the machines go on.
        Interrupted: on Ctrl-C; the same.
    """
    name, clock = annex.name, session.context.clock
    deadline = clock.now() + timedelta(seconds=seconds)
    started = clock.now()
    turn = 0
    whole = merge.merge(annex, (), clock.now())
    try:
        while True:
            if turn % _API_EVERY == 0:
                annex = _refreshed(session, annex)
            turn += 1
            slots, trouble = session.slots(name)
            whole = merge.merge(annex, slots, clock.now())
            waited = clock.now() - started
            coming = annex.live and waited.total_seconds() < goal.coming_seconds
            settled = annex.state != "launching" and not coming
            if whole.units_joined >= goal.number or (settled and _hopeless(whole, goal)):
                return whole
            session.out.progress(_progress(whole, goal, trouble), f"{waited.seconds} s")
            if clock.now() >= deadline:
                raise TimedOut(
                    f"After {seconds} seconds {goal.told(whole)} of {name} have joined."
                    f"  {_goes_on(name)}"
                )
            clock.sleep(_POOL_SECONDS)
    except KeyboardInterrupt:
        raise Interrupted(f"Not waiting any longer.  {_goes_on(name)}") from None


def for_end(session: Session, annex: Annex, seconds: int) -> Annex:
    """Wait until nothing of the annex runs.

    Raises:
        TimedOut: after `seconds`; the ending goes on.
        Interrupted: on Ctrl-C; the same.
    """
    clock = session.context.clock
    deadline = clock.now() + timedelta(seconds=seconds)
    goes_on = f"It goes on ending by itself; 'annex-client status {annex.name}' shows it."
    try:
        while not annex.over:
            left = len(annex.not_ended)
            rest = "what is left beside machines to be removed"
            session.out.progress(
                f"Waiting for {plural(left, 'machine') + ' to end' if left else rest}"
            )
            if clock.now() >= deadline:
                raise TimedOut(f"{annex.name} has not ended within {seconds} seconds.  {goes_on}")
            clock.sleep(_POOL_SECONDS)
            annex = _refreshed(session, annex)
    except KeyboardInterrupt:
        raise Interrupted(f"Not waiting any longer.  {goes_on}") from None
    return annex


def _refreshed(session: Session, annex: Annex) -> Annex:
    """The control plane's newest view; a moment of its absence does not end a wait."""
    try:
        return session.api.annex(annex.name)
    except AwsTrouble:
        return annex


def _hopeless(whole: merge.Whole, goal: Goal) -> bool:
    """Whether even all that still live could not be enough."""
    return whole.annex.units_alive < goal.number and all(
        machine.joined for machine in whole.machines if machine.instance in whole.annex.alive
    )


def _progress(whole: merge.Whole, goal: Goal, trouble: str) -> str:
    reasons: dict[str, int] = {}
    for machine in whole.machines:
        if not machine.joined:
            reasons[machine.reason] = reasons.get(machine.reason, 0) + 1
    told = ", ".join(f"{n} {_of_many(why) if n > 1 else why}" for why, n in reasons.items())
    text = f"Waiting: {goal.told(whole)} in the pool"
    told = told or whole.annex.state
    return f"{text} ({told})" if not trouble else f"{text} (the collector cannot be asked)"


def _of_many(reason: str) -> str:
    """One machine's reason, said of several."""
    if not reason.startswith("has "):
        return reason
    return reason.partition(": ")[0].replace("has", "have", 1).replace(" its ", " their ")


def _goes_on(name: str) -> str:
    return (
        f"The annex goes on, until its lease ends: 'annex-client status {name}' shows it,"
        f" 'annex-client stop {name}' ends it."
    )
