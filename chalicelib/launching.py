"""What a launch has tried so far, in places and in words, and what it tries next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .model import Annex, Launch, RefusalKind
from .refusal_words import said as in_words

if TYPE_CHECKING:
    from .model import Place


def next_place(launch: Launch) -> Place | None:
    """The next type and subnet to try: each at most once, in the order that was asked for.

    A place that gave a part has nothing left; a type over the account's quota is over it in every
    zone; after a fatal refusal, or a token used up, no place is any good.
    """
    tried = {attempt.place for attempt in launch.attempts}
    refused = [(a.place, a.refusal) for a in launch.attempts if a.refusal is not None]
    if any(no.kind in (RefusalKind.FATAL, RefusalKind.SPENT) for _, no in refused):
        return None
    over_quota = {place.instance_type for place, no in refused if no.kind is RefusalKind.QUOTA}
    return next(
        (p for p in launch.spec.places if p not in tried and p.instance_type not in over_quota),
        None,
    )


def notes(launch: Launch) -> tuple[str, ...]:
    """What a user should know of a launch's attempts, a sentence each."""
    said = []
    for attempt in launch.attempts:
        where = f"{attempt.place.instance_type} in {attempt.place.zone}"
        if attempt.refusal is not None:
            said.append(f"{where}: {in_words(attempt.refusal, attempt.place.instance_type)}")
        elif attempt.settled and len(attempt.started) < attempt.count:
            said.append(f"{where}: EC2 gave {len(attempt.started)} of {attempt.count}.")
        elif not attempt.settled and len(attempt.started) < attempt.count:
            said.append(f"{where}: EC2 has not answered yet.")
    if launch.closed not in ("", "complete"):
        said.append(f"{launch.closed[0].upper()}{launch.closed[1:]}.")
    return tuple(said)


def why_nothing_started(annex: Annex) -> str:
    """The reason of an annex that never had a machine."""
    said = " ".join(notes(annex.launches[-1])) if annex.launches else "nothing was asked for"
    return f"no machine could be started: {said}"


def requested(annex: Annex) -> int:
    """Machines asked for, without the launches that started none."""
    asked = sum(one.asked for one in annex.launches if one.started or not one.closed)
    return asked or (annex.launches[0].asked if annex.launches else 0)


def how_it_went(launch: Launch, outcome: str) -> str:
    """The note with which a launch is closed."""
    return f"{outcome}: {len(launch.started)} of {launch.asked} started"


def late_token(annex: Annex) -> tuple[str, ...]:
    """What to say when a grow's token was not delivered.

    The sweep brings a longer lease to the machines, but the token that it needs is lost. Without
    a longer lease the one they have is good to the end.
    """
    ends = (launch.lease_expires_at for launch in annex.launches if not launch.closed)
    if not any(end is not None and end > annex.lease_expires_at for end in ends):
        return ()
    said = f"The machines of annex {annex.name} have no fresh token for the longer lease yet: run "
    return (said + f"'annex-client renew {annex.name} --duration HOURS'.",)
