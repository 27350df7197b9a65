"""What `start` says: its question and the outcome, in the predecessor's words where it had them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from annex_client import inputs
from annex_client.render import plural
from annex_client.wanted import MIB_PER_GIB

if TYPE_CHECKING:
    from annex_client.views import Annex, Started
    from annex_client.wanted import Range, Wanted


def what_will_be(
    wanted: Wanted, default_type: str, body: dict[str, Any], live: Annex | None
) -> str:
    """What is requested; for a live annex what is there, and what is added."""
    lease, idle = (
        inputs.hours_of_seconds(body.get(name) or 0)
        for name in ("duration_seconds", "idle_seconds")
    )
    price = _price_in_words(wanted)
    if live is None:
        return (
            f"Will request {_in_words(wanted, default_type)} for {lease} hours.{price}  Each"
            f" instance will terminate after being idle for {idle} hours."
        )
    more = wanted.number if wanted.slots is None else plural(wanted.number, "slot")
    lease = f"  Its lease will end {lease} hours from now." if body.get("duration_seconds") else ""
    return f"{live.name} has {plural(len(live.alive), 'machine')}; add {more} more?{price}{lease}"


def what_became(wanted: Wanted, answer: Started) -> str:
    """The answer to a request that was accepted.

    A Spot Fleet's machines only come after the answer, and take longer: the predecessor's words.
    """
    asked = plural(answer.asked, wanted.unit)
    if answer.started < answer.asked and not answer.pending:
        return f"Annex started with {answer.started} of {asked} only."
    name, spot_fleet = answer.annex.name, wanted.spot_fleet is not None
    minutes = math.ceil(answer.pending_seconds / 60)
    most = f" for {plural(minutes, 'minute')} at most" if minutes else ""
    see = f"See 'annex-client status {name}'."
    if answer.pending and not spot_fleet:
        return (
            f"Annex accepted.  {answer.started} of {asked} are started; AWS is asked again each"
            f" minute{most and ','}{most}.  {see}"
        )
    about = "six" if spot_fleet else "three"
    said = (
        f"Annex started. It will take about {about} minutes for the new machines to join the pool."
    )
    if answer.pending:
        said += f"\n{answer.started} of {asked} are there so far; AWS goes on{most}.  {see}"
    return said


def what_ended(wanted: Wanted, answer: Started) -> str:
    """The answer to a request whose annex is over, or soon will be."""
    annex = answer.annex
    became = "has ended meanwhile" if annex.over else "is ending"
    why = f": {annex.reason.rstrip('.')}" if annex.reason else ""
    return (
        f"{annex.name} was started with {answer.started} of {plural(answer.asked, wanted.unit)},"
        f" and {became}{why}.  Nothing was started now."
    )


def _in_words(wanted: Wanted, default_type: str) -> str:
    """`1 m7i.large on-demand instance`, `3 spot instances of c7i.large`, `5 spot slots`.

    The first and the last are the predecessor's, on demand and for a Spot Fleet.
    """
    market = "spot" if wanted.spot or wanted.spot_fleet is not None else "on-demand"
    noun = "instance" if wanted.slots is None else "slot"
    kinds = " or ".join(wanted.types(default_type))
    if market == "on-demand" and wanted.slots is None and kinds:
        return plural(wanted.number, f"{kinds} on-demand instance")
    number = plural(wanted.number, f"{market} {noun}")
    if wanted.by_requirements:
        on = "" if wanted.slots is None else " on machines"
        return f"{number}{on} with {_requirements_in_words(wanted)}"
    if kinds:
        return f"{number} {'of' if wanted.slots is None else 'on'} {kinds}"
    return number


def _price_in_words(wanted: Wanted) -> str:
    """What it costs at most and what is done where spot has nothing: sentences, or nothing."""
    said = ""
    if wanted.max_price is not None:
        noun = "instance" if wanted.slots is None else "slot"
        said += f"  Each spot {noun} costs at most {wanted.max_price} USD an hour."
    if wanted.fallback:
        said += "  What spot does not give is started on demand, at the full price."
    return said


def _requirements_in_words(wanted: Wanted) -> str:
    said = []
    if wanted.cpus is not None:
        said.append(_range_in_words(wanted.cpus, 1, "vCPUs"))
    if wanted.memory_mib is not None:
        said.append(_range_in_words(wanted.memory_mib, MIB_PER_GIB, "GiB of memory"))
    return " and ".join(said)


def _range_in_words(asked: Range, divisor: int, what: str) -> str:
    least = f"{asked.least / divisor:g}"
    if asked.most is None:
        return f"{least} or more {what}"
    if asked.most == asked.least:
        return f"{least} {what}"
    return f"{least} to {asked.most / divisor:g} {what}"
