"""What is to be done about an annex: pure decisions from its record, its machines and the time.

Nothing here acts, reads a clock or logs. `plan` is total: any record with any machines at any time
has a plan, and doing any part of it any number of times does no harm. The state table is in
docs/lifecycle.md, and why crashes between two actions are harmless, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from .launch import Launch, Road
from .launching import how_it_went, next_ask, why_nothing_started
from .model import Annex, AnnexState, InstanceState
from .turns import gives_up_at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from .ids import InstanceId
    from .launch import Ask, Attempt
    from .model import Instance

# A record whose configuration was never written belongs to a request that died; its token is lost
# with it. The client repeats a request within this time, or the annex ends without a machine.
CONFIGURATION_WAIT = timedelta(seconds=90)
# An EC2 call made by another function is over by then (`api` has 29 s); repeating it earlier would
# be harmless (client token), only wasteful.
CALL_ENDS_WITHIN = timedelta(seconds=40)
# DescribeInstances may not show a new machine yet (EC2 API, 'Eventual consistency'), and forgets a
# terminated one after about an hour: known but unseen means new, and later, gone. (The list goes
# by tags, so whoever records it as gone asks EC2 for its id first.)
UNSEEN_GRACE = timedelta(minutes=10)
# An ending annex with an unanswered launch call waits this long for its machines to show up.
UNSETTLED_GRACE = timedelta(minutes=4)


@dataclass(frozen=True, slots=True)
class BeginEnding:
    """Record that the annex ends, and why: nothing is launched from here on."""

    reason: str


@dataclass(frozen=True, slots=True)
class Terminate:
    """End these machines."""

    instance_ids: frozenset[InstanceId]


@dataclass(frozen=True, slots=True)
class Adopt:
    """Record machines that EC2 shows with one of the annex's own client tokens, and their units."""

    client_token: str
    machines: frozenset[tuple[InstanceId, int]]


@dataclass(frozen=True, slots=True)
class RecordEnded:
    """Record machines that are gone; those that are not shown only if EC2 denies their ids, too."""

    instance_ids: frozenset[InstanceId]


@dataclass(frozen=True, slots=True)
class Call:
    """Make (or repeat) the EC2 call of an attempt that is in the ledger and not settled."""

    launch: int
    client_token: str


@dataclass(frozen=True, slots=True)
class Try:
    """Save the next attempt of a launch; its call follows."""

    launch: int
    attempt: int
    ask: Ask


@dataclass(frozen=True, slots=True)
class CancelRequests:
    """Let EC2 start nothing more for the annex; with `terminate` it ends what it started, too."""

    terminate: bool


@dataclass(frozen=True, slots=True)
class CloseLaunch:
    """Try nothing more for this launch."""

    launch: int
    note: str


@dataclass(frozen=True, slots=True)
class RefreshConfiguration:
    """Bring lease and idle time in the configuration object up to the ledger's generation."""

    generation: int


@dataclass(frozen=True, slots=True)
class TagLease:
    """Bring the lease in the machines' tags up to the ledger's."""

    instance_ids: frozenset[InstanceId]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Finish:
    """Remove what no machine needs any more, the configuration object first; record the end then.

    One action, since the record is the only way to these things: the last never without the first.
    """


Action = (
    BeginEnding
    | Terminate
    | Adopt
    | RecordEnded
    | Call
    | Try
    | CancelRequests
    | CloseLaunch
    | RefreshConfiguration
    | TagLease
    | Finish
)


def plan(annex: Annex, seen: Sequence[Instance] | None, now: datetime) -> list[Action]:
    """What to do now, in order: ending machines comes before anything that could fail.

    Args:
        annex: the record.
        seen: every machine that EC2 shows with this annex's id, ended ones too, and those found
            by their own id, with no annex's; None when EC2 could not be asked, and then nothing
            is concluded from what was not seen.
        now: aware UTC.
    """
    match annex.state:
        case AnnexState.TERMINATED:
            # A machine or request of a finished annex came late; its record promises that there is
            # none.
            return _cancel(annex) + _terminate(_endable(seen))
        case AnnexState.TERMINATING:
            return _plan_ending(annex, seen, now)
        case AnnexState.LAUNCHING | AnnexState.ACTIVE:
            return _plan_living(annex, seen, now)


def _plan_ending(annex: Annex, seen: Sequence[Instance] | None, now: datetime) -> list[Action]:
    # Requests first, or EC2 starts more. Machines known from its own answer but not shown are ended
    # by their ids alone.
    actions = _cancel(annex) + _terminate(_endable(seen) | _unshown(annex, seen))
    actions += _adoptions(annex, seen)
    actions += _record_ended(annex, seen, now)
    if seen is None or annex.living or any(one.state != InstanceState.TERMINATED for one in seen):
        return actions
    if _requesting(annex):
        return actions
    if any(not a.known and now < a.called_at + UNSETTLED_GRACE for a in annex.attempts):
        return actions
    if annex.written_generation == 0 and now < annex.created_at + CONFIGURATION_WAIT:
        return actions  # its request may still write the object, which then must be deleted
    return [*actions, Finish()]


def _plan_living(annex: Annex, seen: Sequence[Instance] | None, now: datetime) -> list[Action]:
    if annex.is_over(now):
        # Terminating does not wait for the ledger: the lease is over, whoever can write what.
        doomed = _endable(seen) | _unshown(annex, seen)
        return [BeginEnding("its lease ended"), *_cancel(annex), *_terminate(doomed)]
    actions = _adoptions(annex, seen)
    actions += _record_ended(annex, seen, now)
    launch = annex.open_launch
    if launch is not None:
        return [*actions, *_plan_launch(annex, launch, now), *_deliver(annex, seen)]
    if not annex.started:
        return [BeginEnding(why_nothing_started(annex)), *actions]
    if not annex.living:
        return [BeginEnding("its last machine has ended"), *actions]
    return [*actions, *_deliver(annex, seen)]


def _plan_launch(annex: Annex, launch: Launch, now: datetime) -> list[Action]:
    if annex.written_generation == 0:
        if now < launch.opened_at + CONFIGURATION_WAIT:
            return []  # its request is about to write it, or is being repeated
        return [BeginEnding("the request that started it was cut off before any machine was asked")]
    spot_fleet = launch.spec.road is Road.SPOT_FLEET
    over = now >= gives_up_at(annex, launch)
    if (over or not launch.missing) and _requesting(annex):
        return [CancelRequests(terminate=False)]
    if not launch.missing:
        return [CloseLaunch(launch.number, "complete")]
    if over:
        how = f"given up after {'fifteen' if spot_fleet else 'five'} minutes"
        return [CloseLaunch(launch.number, how_it_went(launch, how))]
    return _plan_attempt(annex, launch, now)


def _plan_attempt(annex: Annex, launch: Launch, now: datetime) -> list[Action]:
    """One attempt at a time: the next only when what the last one started is known."""
    if launch.spec.legacy and annex.written_generation < annex.generation:
        return []  # its image reads the configuration once, when it boots
    pending = launch.unsettled
    if pending is not None:
        if pending.fleet_id:
            return []  # EC2 has the request; its machines are adopted as they come
        if pending.refusal is not None:
            return [CancelRequests(terminate=False)]  # a repeat was refused
        under_way = now < pending.called_at + CALL_ENDS_WITHIN
        return [] if under_way else [Call(launch.number, pending.client_token)]
    ask = next_ask(launch)
    if ask is None:
        return [CloseLaunch(launch.number, how_it_went(launch, "not to be had"))]
    return [Try(launch.number, len(launch.attempts), ask)]


def _requesting(annex: Annex) -> list[Attempt]:
    """Spot Fleet requests that may go on starting machines: accepted, or never answered."""
    return [
        attempt
        for launch in annex.launches
        if launch.spec.road is Road.SPOT_FLEET
        for attempt in launch.attempts
        if not attempt.settled
    ]


def _cancel(annex: Annex) -> list[Action]:
    return [CancelRequests(terminate=True)] if _requesting(annex) else []


def _endable(seen: Sequence[Instance] | None) -> frozenset[InstanceId]:
    return frozenset(one.instance_id for one in seen or () if one.state.is_endable)


def _terminate(instance_ids: frozenset[InstanceId]) -> list[Action]:
    return [Terminate(instance_ids)] if instance_ids else []


def _unshown(annex: Annex, seen: Sequence[Instance] | None) -> frozenset[InstanceId]:
    """Machines that are not known to be gone, though EC2 does not show them."""
    return frozenset(annex.living) - {one.instance_id for one in seen or ()}


def _unseen(annex: Annex, seen: Sequence[Instance] | None, now: datetime) -> frozenset[InstanceId]:
    """Machines that must exist though EC2 does not show them (yet, or could not be asked)."""
    young = (
        instance
        for attempt in annex.attempts
        if seen is None or now < attempt.called_at + UNSEEN_GRACE
        for instance in attempt.started
    )
    return frozenset(young) & _unshown(annex, seen)


def _record_ended(annex: Annex, seen: Sequence[Instance] | None, now: datetime) -> list[Action]:
    if seen is None:
        return []
    alive = {one.instance_id for one in seen if one.state is not InstanceState.TERMINATED}
    ended = frozenset(annex.living) - alive - _unseen(annex, seen, now)
    return [RecordEnded(ended)] if ended else []


def _adoptions(annex: Annex, seen: Sequence[Instance] | None) -> list[Action]:
    known = frozenset(annex.started)
    new: dict[str, set[tuple[InstanceId, int]]] = {}
    specs = {a.client_token: launch.spec for launch in annex.launches for a in launch.attempts}
    for one in seen or ():
        if one.client_token in specs and one.instance_id not in known:
            units = specs[one.client_token].units(one.instance_type)
            new.setdefault(one.client_token, set()).add((one.instance_id, units))
    return [Adopt(token, frozenset(new[token])) for token in specs if token in new]


def _deliver(annex: Annex, seen: Sequence[Instance] | None) -> list[Action]:
    actions: list[Action] = []
    if 0 < annex.written_generation < annex.generation:
        actions.append(RefreshConfiguration(annex.generation))
    # A machine that lost its tags may not be tagged by us, and would keep the others from it.
    stale = frozenset(
        one.instance_id
        for one in seen or ()
        if one.annex_id == annex.annex_id
        and one.state.is_endable
        and one.lease_tag != annex.lease_expires_at
    )
    if stale:
        actions.append(TagLease(stale, annex.lease_expires_at))
    return actions
