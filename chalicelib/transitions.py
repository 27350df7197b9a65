"""What may happen to an annex: pure functions from a record to the next one.

Each may be applied again to a record that has moved on: it then changes nothing, or what is left
to change. Whether it is time for one is `lifecycle`'s business.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from .launch import Attempt, Launch, Refusal, Road
from .model import Annex, AnnexState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from .ids import InstanceId
    from .launch import Ask, Launched
    from .model import Notice

TRANSITIONS: dict[AnnexState, frozenset[AnnexState]] = {
    AnnexState.LAUNCHING: frozenset({AnnexState.ACTIVE, AnnexState.TERMINATING}),
    AnnexState.ACTIVE: frozenset({AnnexState.TERMINATING}),
    AnnexState.TERMINATING: frozenset({AnnexState.TERMINATED}),
    AnnexState.TERMINATED: frozenset(),
}

# The ledger keeps what has ended this long, so that status can say why it ended.
KEPT_FOR = timedelta(days=7)
# The newest, for people: a record has little room, and may have had thousands of machines.
NOTICES_KEPT = 200


def _move(annex: Annex, state: AnnexState) -> Annex:
    return replace(annex, state=state) if state in TRANSITIONS[annex.state] else annex


def begin_ending(annex: Annex, reason: str) -> Annex:
    """From here on nothing is launched, and the record only waits for the machines' end."""
    if AnnexState.TERMINATING not in TRANSITIONS[annex.state]:
        return annex
    launches = tuple(
        launch if launch.closed else _close(launch, "the annex is ending")
        for launch in annex.launches
    )
    return _move(replace(annex, launches=launches, reason=reason), AnnexState.TERMINATING)


def terminated(annex: Annex, now: datetime) -> Annex:
    """The end: no machine is left, and the name is free."""
    if AnnexState.TERMINATED not in TRANSITIONS[annex.state]:
        return annex
    return _move(replace(annex, terminated_at=now, ended=annex.started), AnnexState.TERMINATED)


def configuration_written(annex: Annex, generation: int) -> Annex:
    """The machines can read this generation."""
    return replace(annex, written_generation=max(generation, annex.written_generation))


def with_attempt(annex: Annex, launch: Launch, ask: Ask, now: datetime) -> Annex:
    """Save what is about to be asked of EC2. The token is unique: annex, launch, attempt."""
    # A legacy image takes what stands before the first '_' of its client token for its annex.
    mark = "_" if launch.spec.legacy else "-"
    attempt = Attempt(
        client_token=f"{annex.annex_id}{mark}{launch.number}-{len(launch.attempts)}",
        place=ask.place,
        count=launch.missing,
        called_at=now,
        market=ask.market,
    )
    return _with_launch(annex, replace(launch, attempts=(*launch.attempts, attempt)))


def with_machines(annex: Annex, client_token: str, machines: Mapping[InstanceId, int]) -> Annex:
    """Machines that a token is known to have started, and their units; the first makes it active.

    A growing start's lease and idle time become the annex's with its first machine: a grow that
    starts nothing leaves the annex as it was.
    """
    launch, attempt = _by_token(annex, client_token)
    new = {one: units for one, units in machines.items() if one not in attempt.started}
    if not new:
        return annex
    started = (*attempt.started, *new)
    units = (*(attempt.units or (1,) * len(attempt.started)), *new.values())
    if all(one == 1 for one in units):
        units = ()
    grown = _with_attempt(launch, replace(attempt, started=started, units=units))
    annex = _with_launch(annex, grown)
    if not annex.state.is_living:
        return annex
    return _adopt_terms(_move(annex, AnnexState.ACTIVE), launch)


def with_outcome(
    annex: Annex, client_token: str, outcome: Launched | Refusal, *, repeated: bool = False
) -> Annex:
    """EC2 has answered an attempt: its machines, or a definite no.

    A no to a repeated call says nothing of the first one: a Spot Fleet request may be there, and
    goes on until it is cancelled.
    """
    if isinstance(outcome, Refusal):
        launch, attempt = _by_token(annex, client_token)
        if attempt.settled:
            return annex  # what comes after it was asked for by what it came to
        settled = not (repeated and launch.spec.road is Road.SPOT_FLEET)
        answered = replace(attempt, settled=settled, refusal=attempt.refusal or outcome)
    else:
        annex = with_machines(annex, client_token, dict(outcome.machines))
        launch, attempt = _by_token(annex, client_token)
        # A repeated call may be under way while its request is looked for, and not found: what
        # was settled without it is open again, until it is cancelled.
        late = not outcome.final and outcome.fleet_id != attempt.fleet_id
        answered = replace(
            attempt,
            settled=outcome.final or (attempt.settled and not late),
            refusals=outcome.refusals or attempt.refusals,
            fleet_id=outcome.fleet_id or attempt.fleet_id,
        )
    return _with_launch(annex, _with_attempt(launch, answered))


def requests_cancelled(
    annex: Annex, found: Mapping[str, tuple[Refusal, ...]], before: datetime
) -> Annex:
    """Spot Fleet requests that start nothing more: those found, and those asked for `before`.

    `found` has by their tokens what EC2 said of machines that it did not start. A call that was
    never answered may still be under way when it is not found.
    """
    for launch in annex.launches:
        if launch.spec.road is not Road.SPOT_FLEET:
            continue
        for attempt in launch.attempts:
            if attempt.client_token in found or attempt.called_at < before:
                told = found.get(attempt.client_token) or attempt.refusals
                done = _with_attempt(
                    annex.launch_by(launch.number), replace(attempt, settled=True, refusals=told)
                )
                annex = _with_launch(annex, done)
    return annex


def close_launch(annex: Annex, number: int, note: str) -> Annex:
    """Nothing more is tried for this launch; `note` says how it went."""
    launch = next((one for one in annex.launches if one.number == number), None)
    if launch is None or launch.closed:
        return annex
    return _with_launch(annex, _close(launch, note))


def with_ended(annex: Annex, instance_ids: Iterable[InstanceId]) -> Annex:
    """Machines known to be gone."""
    return replace(annex, ended=tuple(dict.fromkeys((*annex.ended, *instance_ids))))


def with_notice(annex: Annex, notice: Notice) -> Annex:
    """What EC2 has announced of a machine; of a kind, the first one holds while it is kept."""
    if annex.notice_of(notice.instance_id, notice.kind) is not None:
        return annex
    return replace(annex, notices=(*annex.notices, notice)[-NOTICES_KEPT:])


def with_launch(annex: Annex, launch: Launch) -> Annex:
    """A grow begins; its fresh token is a new generation of the configuration."""
    return replace(annex, launches=(*annex.launches, launch), generation=annex.generation + 1)


def renewed(annex: Annex, expires_at: datetime) -> Annex:
    """Another end of the lease, of which the machines must hear."""
    return replace(annex, lease_expires_at=expires_at, generation=annex.generation + 1)


def _adopt_terms(annex: Annex, launch: Launch) -> Annex:
    # The later lease wins: a renewal may have come while the launch went on.
    expires_at = max(annex.lease_expires_at, launch.lease_expires_at or annex.lease_expires_at)
    idle_seconds = annex.idle_seconds if launch.idle_seconds is None else launch.idle_seconds
    if (expires_at, idle_seconds) == (annex.lease_expires_at, annex.idle_seconds):
        return annex
    return replace(
        annex,
        lease_expires_at=expires_at,
        idle_seconds=idle_seconds,
        generation=annex.generation + 1,
    )


def _close(launch: Launch, note: str) -> Launch:
    # Nothing of the request is ever sent again, and its large parts would fill the record.
    spec = replace(launch.spec, user_data=b"", places=(), tags=(), spot_fleet=None, notes=())
    return replace(launch, closed=note, spec=spec)


def _by_token(annex: Annex, client_token: str) -> tuple[Launch, Attempt]:
    for launch in annex.launches:
        for attempt in launch.attempts:
            if attempt.client_token == client_token:
                return launch, attempt
    raise LookupError(f"annex {annex.annex_id} has no attempt {client_token}")


def _with_attempt(launch: Launch, attempt: Attempt) -> Launch:
    attempts = tuple(
        attempt if one.client_token == attempt.client_token else one for one in launch.attempts
    )
    return replace(launch, attempts=attempts)


def _with_launch(annex: Annex, launch: Launch) -> Annex:
    launches = tuple(launch if one.number == launch.number else one for one in annex.launches)
    return replace(annex, launches=launches)
