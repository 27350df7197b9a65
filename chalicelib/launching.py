"""What a launch has tried so far, in places and in words, and what it tries next."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

from .launch import Ask, Launch, Market, RefusalKind, Road
from .refusal_words import said as in_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .launch import Attempt, LaunchSpec, Place, Refusal
    from .model import Annex


def next_ask(launch: Launch) -> Ask | None:
    """What to ask EC2 for next, or None when nothing is left to try.

    The first place by RunInstances, for one call starts it all where there is room; what it lacks
    by a fleet for all others, in the order that was asked for. A launch by fleet asks for all
    places at once, in one market after the other. A final refusal ends it.
    """
    if any(attempt.is_final for attempt in launch.attempts):
        return None
    spec = launch.spec
    if spec.road is not Road.RUN_INSTANCES:
        markets = (spec.market, *((Market.ON_DEMAND,) if spec.fallback else ()))
        asked = {attempt.market for attempt in launch.attempts}
        return next((Ask(None, market) for market in markets if market not in asked), None)
    left = _left(spec, launch.attempts)
    if not left:
        return None
    # A fleet's machines have client tokens of its own, and a legacy image looks for its annex's.
    alone = not launch.attempts or spec.legacy
    return Ask(left[0] if alone else None, spec.market)


def to_call(launch: Launch, attempt: Attempt) -> LaunchSpec:
    """The specification for the call of an attempt of the launch, the same at every repeat.

    It has the places that a fleet is asked for; what attempts before this one came to is settled.
    """
    if attempt.place is not None or launch.spec.road is not Road.RUN_INSTANCES:
        return launch.spec
    before = takewhile(lambda one: one.client_token != attempt.client_token, launch.attempts)
    return replace(launch.spec, places=in_one_fleet(_left(launch.spec, before)))


def in_one_fleet(places: Iterable[Place]) -> tuple[Place, ...]:
    """Those of the places that one fleet can have.

    EC2 calls a fleet invalid that has one type in two subnets of a zone: the first stays.
    """
    first: dict[tuple[str, str], Place] = {}
    for place in places:
        first.setdefault((place.instance_type, place.zone), place)
    return tuple(first.values())


def _left(spec: LaunchSpec, attempts: Iterable[Attempt]) -> tuple[Place, ...]:
    """The places that no attempt has asked for; a type over its quota is over it in every zone."""
    left = spec.places
    for attempt in attempts:
        asked = in_one_fleet(left) if attempt.place is None else (attempt.place,)
        over = {_type(attempt, no) for no in attempt.noes if no.kind is RefusalKind.QUOTA}
        left = tuple(p for p in left if p not in asked and p.instance_type not in over)
    return left


def _type(attempt: Attempt, no: Refusal) -> str:
    """The type that a refusal is about, empty where it is about several."""
    return attempt.place.instance_type if attempt.place else no.where.partition(" in ")[0]


def notes(launch: Launch) -> tuple[str, ...]:
    """What a user should know of a launch's attempts, a sentence each, none twice."""
    said = [sentence for attempt in launch.attempts for sentence in _notes(launch, attempt)]
    if launch.closed not in ("", "complete"):
        said.append(f"{launch.closed[0].upper()}{launch.closed[1:]}.")
    return tuple(dict.fromkeys(said))


def _notes(launch: Launch, attempt: Attempt) -> Iterator[str]:
    where = _where(launch, attempt)
    if attempt.refusal is not None:
        yield f"{where}: {in_words(attempt.refusal, _type(attempt, attempt.refusal))}"
        return
    for no in attempt.refusals:
        sentence = in_words(no, _type(attempt, no))
        # What holds whatever the type and zone, or whatever the zone, need not be told of each.
        if attempt.is_final:
            yield sentence[:1].upper() + sentence[1:]
        else:
            reach = _type(attempt, no) if no.kind is RefusalKind.QUOTA else no.where
            yield f"{reach}: {sentence}"
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
    if launch.spec.road is Road.RUN_INSTANCES:
        return "All other types and zones"
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
