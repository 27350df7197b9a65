"""One launch goes on at a time: how long each has, and what is said of those that wait."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from .launch import Road

if TYPE_CHECKING:
    from datetime import datetime

    from .launch import Launch
    from .model import Annex

# The sweep goes on with a launch for so long from when its turn came, and then gives up.
LAUNCH_WINDOW = timedelta(minutes=5)
# A Spot Fleet request waits for capacity, and says so itself to EC2 (ValidUntil).
SPOT_FLEET_WINDOW = timedelta(minutes=15)


def gives_up_at(annex: Annex, launch: Launch) -> datetime:
    """When a launch has had its time: that begins with its first call, or when it must be its turn.

    A launch waits for those before it, and a Spot Fleet request goes on for long.
    """
    end = annex.created_at
    for one in annex.launches:
        begins = min([max(end, one.opened_at), *(attempt.called_at for attempt in one.attempts)])
        end = begins + (SPOT_FLEET_WINDOW if one.spec.road is Road.SPOT_FLEET else LAUNCH_WINDOW)
        if one.number == launch.number:
            break
    return end


def turn_note(annex: Annex, launch: Launch) -> tuple[str, ...]:
    """What to say of a launch that waits for earlier ones."""
    before = [one for one in annex.launches if not one.closed and one.number < launch.number]
    if launch.closed or not before:
        return ()
    over = f"{gives_up_at(annex, before[-1]):%H:%M:%S} UTC"
    said = f"Annex {annex.name} has an earlier request that still goes on: this one has its turn "
    return (said + f"when that is over, at {over} at the latest.",)
