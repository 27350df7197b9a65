"""What a launch has tried so far, in places and in words, and what it tries next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .model import Annex, Ask, Launch, Market, RefusalKind, Road
from .refusal_words import said as in_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .model import Attempt

_FINAL = (RefusalKind.FATAL, RefusalKind.SPENT)


def next_ask(launch: Launch) -> Ask | None:
    """What to ask EC2 for next, or None when nothing is left to try.

    Places one by one, each at most once, in the order that was asked for: one that gave a part has
    nothing left; a type over the account's quota is over it in every zone. A fleet knows all its
    places and is asked once in each market. After a fatal refusal, or a token used up, nothing else
    is any good.
    """
    if any(no.kind in _FINAL for no in launch.refusals):
        return None
    spec = launch.spec
    if spec.road is not Road.RUN_INSTANCES:
        markets = (spec.market, *((Market.ON_DEMAND,) if spec.fallback else ()))
        asked = {attempt.market for attempt in launch.attempts}
        return next((Ask(None, market) for market in markets if market not in asked), None)
    tried = {attempt.place for attempt in launch.attempts}
    refused = [(a.place, a.refusal) for a in launch.attempts if a.place and a.refusal]
    over_quota = {p.instance_type for p, no in refused if no.kind is RefusalKind.QUOTA}
    left = (p for p in spec.places if p not in tried and p.instance_type not in over_quota)
    return next((Ask(place, spec.market) for place in left), None)


def notes(launch: Launch) -> tuple[str, ...]:
    """What a user should know of a launch's attempts, a sentence each, none twice."""
    said = [sentence for attempt in launch.attempts for sentence in _notes(launch, attempt)]
    if launch.closed not in ("", "complete"):
        said.append(f"{launch.closed[0].upper()}{launch.closed[1:]}.")
    return tuple(dict.fromkeys(said))


def _notes(launch: Launch, attempt: Attempt) -> Iterator[str]:
    where = _where(launch, attempt)
    if attempt.refusal is not None:
        kind = attempt.place.instance_type if attempt.place else ""
        yield f"{where}: {in_words(attempt.refusal, kind)}"
        return
    for no in attempt.refusals:
        sentence = in_words(no, no.where.partition(" ")[0])
        # What holds whatever the type and zone need not be told of each.
        whole = sentence[:1].upper() + sentence[1:]
        yield whole if no.kind in _FINAL else f"{no.where}: {sentence}"
    if attempt.got >= attempt.count:
        return
    if attempt.settled:
        yield f"{where}: EC2 gave {attempt.got} of {attempt.count}."
    elif attempt.fleet_id:
        yield f"{where}: EC2 has given {attempt.got} of {attempt.count} so far."
    else:
        yield f"{where}: EC2 has not answered yet."


def _where(launch: Launch, attempt: Attempt) -> str:
    if attempt.place is not None:
        return f"{attempt.place.instance_type} in {attempt.place.zone}"
    if launch.spec.road is Road.SPOT_FLEET:
        return "Spot Fleet" + (f" {attempt.fleet_id}" if attempt.fleet_id else "")
    return f"All types and zones, {attempt.market}"


def why_nothing_started(annex: Annex) -> str:
    """The reason of an annex that never had a machine."""
    said = " ".join(notes(annex.launches[-1])) if annex.launches else "nothing was asked for"
    return f"no machine could be started: {said}"


def requested(annex: Annex) -> int:
    """What was asked for, in the annex's unit, without the launches that started none."""
    asked = sum(_asked(annex, one) for one in annex.launches if one.started or not one.closed)
    return asked or (_asked(annex, annex.launches[0]) if annex.launches else 0)


def started(annex: Annex) -> int:
    """What has been started, in the annex's unit."""
    return sum(one.got if unit(annex) == "slot" else len(one.started) for one in annex.launches)


def _asked(annex: Annex, launch: Launch) -> int:
    if unit(annex) == "slot" or not launch.spec.weights:
        return launch.asked
    # Slots of an annex that is counted in machines, as far as it is known which they are.
    return len(launch.started) + launch.spec.machines(launch.missing)


def unit(annex: Annex) -> str:
    """What the annex is counted in: machines, unless all of it was asked for in slots."""
    return "slot" if all(one.spec.weights for one in annex.launches) else "machine"


def how_it_went(launch: Launch, outcome: str) -> str:
    """The note with which a launch is closed."""
    return f"{outcome}: {launch.got} of {launch.asked} started"


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
