"""What may happen to an annex: pure functions from a record to the next one.

Each may be applied again to a record that has moved on: it then changes nothing, or what is left
to change. Whether it is time for one is `lifecycle`'s business.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from .model import Annex, AnnexState, Attempt, Launch, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from .model import InstanceId, Notice, Place

TRANSITIONS: dict[AnnexState, frozenset[AnnexState]] = {
    AnnexState.LAUNCHING: frozenset({AnnexState.ACTIVE, AnnexState.TERMINATING}),
    AnnexState.ACTIVE: frozenset({AnnexState.TERMINATING}),
    AnnexState.TERMINATING: frozenset({AnnexState.TERMINATED}),
    AnnexState.TERMINATED: frozenset(),
}

# The ledger keeps what has ended this long, so that status can say why it ended.
KEPT_FOR = timedelta(days=7)


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


def with_attempt(annex: Annex, launch: Launch, place: Place, now: datetime) -> Annex:
    """Save what is about to be asked of EC2. The token is unique: annex, launch, attempt."""
    attempt = Attempt(
        client_token=f"{annex.annex_id}-{launch.number}-{len(launch.attempts)}",
        place=place,
        count=launch.missing,
        called_at=now,
    )
    return _with_launch(annex, replace(launch, attempts=(*launch.attempts, attempt)))


def with_machines(annex: Annex, client_token: str, instance_ids: Iterable[InstanceId]) -> Annex:
    """Machines that a token is known to have started; the first makes the annex active.

    A growing start's lease and idle time become the annex's with its first machine: a grow that
    starts nothing leaves the annex as it was.
    """
    launch, attempt = _by_token(annex, client_token)
    new = tuple(one for one in dict.fromkeys(instance_ids) if one not in attempt.started)
    if not new:
        return annex
    grown = _with_attempt(launch, replace(attempt, started=(*attempt.started, *new)))
    annex = _with_launch(annex, grown)
    if annex.state in (AnnexState.TERMINATING, AnnexState.TERMINATED):
        return annex
    return _adopt_terms(_move(annex, AnnexState.ACTIVE), launch)


def with_outcome(
    annex: Annex, client_token: str, outcome: tuple[InstanceId, ...] | Refusal
) -> Annex:
    """EC2 has answered an attempt: its machines, or a definite no."""
    if not isinstance(outcome, Refusal):
        annex = with_machines(annex, client_token, outcome)
    launch, attempt = _by_token(annex, client_token)
    refusal = outcome if isinstance(outcome, Refusal) else None
    settled = replace(attempt, settled=True, refusal=attempt.refusal or refusal)
    return _with_launch(annex, _with_attempt(launch, settled))


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
    """What EC2 has announced of a machine; of a kind, the first one holds."""
    if annex.notice_of(notice.instance_id, notice.kind) is not None:
        return annex
    return replace(annex, notices=(*annex.notices, notice))


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
    spec = replace(launch.spec, user_data=b"", places=(), tags=())
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
