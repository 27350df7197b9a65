"""Whether an annex's record has room for another launch: DynamoDB takes 400 KB an item.

A record holds every launch, attempt and machine of an annex's life, and of each launch that goes
on also all that its calls need. tests/contract/test_ledger_size.py weighs the largest one.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import msgspec

from .errors import BadRequest, CapExceeded, StillLaunching
from .launch import Road
from .turns import gives_up_at

if TYPE_CHECKING:
    from .launch import Launch
    from .model import Annex

LAUNCHES_PER_RECORD = 100
ANSWERS_PER_RECORD = 2_000  # before the newest launch, which may get 400: 20 types in 20 subnets
MACHINES_PER_RECORD = 6_000
# User data, templates and places of the launches that go on, packed as the ledger packs them; when
# a launch is closed they go. The largest Spot Fleet that is taken has about 140 KB.
OPEN_BYTES = 160_000


def check_room(annex: Annex, launch: Launch) -> None:
    """Whether a launch can be added to a record, and end with it, whatever EC2 answers.

    Args:
        annex: the record without it.
        launch: what is asked for.

    Raises:
        CapExceeded: the record is full for good.
        StillLaunching: it has room when launches that go on are closed.
        BadRequest: the launch is too large for any record.
    """
    machines = len(annex.started) + sum(
        one.spec.machines(one.missing) for one in (*annex.launches, launch) if not one.closed
    )
    if machines > MACHINES_PER_RECORD:
        raise CapExceeded(
            f"The annex would have had {machines} machines in its life, those that have ended "
            f"among them: {MACHINES_PER_RECORD} is the most that its record holds. Start another."
        )
    for what, have, most in (
        ("launches", len(annex.launches), LAUNCHES_PER_RECORD),
        ("answers of EC2's", sum(map(_answers_had, annex.launches)), ANSWERS_PER_RECORD),
    ):
        if have >= most:
            raise CapExceeded(
                f"Annex {annex.name} has had {have} {what}: {most} is the most that its record "
                "holds. Start another.",
                annex=annex.name,
            )
    own = packed_bytes(launch)
    if own > OPEN_BYTES:
        raise BadRequest(
            f"What the machines are to be made of has {own} bytes, packed: {OPEN_BYTES} is the "
            "most that a record holds. Use fewer different launch specifications, or smaller user "
            "data and tags.",
            annex=annex.name,
        )
    goes_on = [one for one in annex.launches if not one.closed]
    expected = sum(map(_answers_expected, annex.launches))
    too_large = own + sum(map(packed_bytes, goes_on)) > OPEN_BYTES
    if goes_on and (too_large or expected >= ANSWERS_PER_RECORD):
        raise StillLaunching(
            f"The record of annex {annex.name} has no room for this request beside earlier ones "
            "that still go on. Nothing was started or changed: ask again when they are over, at "
            f"{gives_up_at(annex, goes_on[-1]):%H:%M:%S} UTC at the latest, or for less (fewer "
            "launch specifications, smaller user data), or start another annex.",
            annex=annex.name,
        )


def packed_bytes(launch: Launch) -> int:
    """What the ledger's packing leaves of all that the launch's calls need."""
    return len(zlib.compress(msgspec.json.encode(launch.spec)))


def _answers_had(launch: Launch) -> int:
    """A fleet is one attempt, and answers for each type and zone."""
    return sum(max(1, len(attempt.refusals)) for attempt in launch.attempts)


def _answers_expected(launch: Launch) -> int:
    """Those that it has had, and those that it may still get."""
    had, spec = _answers_had(launch), launch.spec
    if launch.closed or spec.road is Road.SPOT_FLEET:
        return had
    return max(had, len(spec.places) * (2 if spec.fallback else 1))
