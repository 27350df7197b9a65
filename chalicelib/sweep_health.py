"""Whether the sweep still keeps its promises, in words for whoever can do something about it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from .iso import iso

if TYPE_CHECKING:
    from datetime import datetime

    from .model import SweepState

# The sweep runs each minute; after this many without one somebody should know.
MISSED_AFTER = timedelta(minutes=3)


def sweep_missed(state: SweepState | None, now: datetime) -> str:
    """A sentence where the sweep has not finished lately, or nobody knows; else empty.

    Args:
        state: what the last sweep left; None where the ledger could not be read.
        now: the time.
    """
    if state is None:
        return "The ledger, where the sweep leaves word, cannot be read."
    if state.finished_at is None:
        return "The sweep has not run yet: wait a minute and look again."
    if now - state.finished_at > MISSED_AFTER:
        return (
            f"The sweep last finished at {iso(state.finished_at)}: leases are kept by the machines "
            "alone. Look at its schedule and its log."
        )
    return ""
