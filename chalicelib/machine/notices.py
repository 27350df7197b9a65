"""What EC2 tells a spot machine: that it takes it back, and before that, that it soon might.

Source: EC2 User Guide, 'Spot Instance interruption notices' and 'EC2 instance rebalance
recommendations': both are in the metadata service from when they are given, and a 404 until then.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .metadata import Metadata, MetadataError
from .parameters import parse_time
from .shell import log

if TYPE_CHECKING:
    from .configure import Facts

INTERRUPTION = ("meta-data/spot/instance-action", "time")
REBALANCE = ("meta-data/events/recommendations/rebalance", "noticeTime")
# As often as AWS advises, 'Spot Instance interruption notices'.
LISTEN_SECONDS = 5.0


@dataclass(frozen=True)
class Notices:
    """What EC2 has told so far, Unix times: when it takes the machine back, when it warned."""

    reclaim_at: int | None = None
    rebalance_at: int | None = None


class Ears:
    """Listens to EC2; what was heard once holds. On an on-demand machine there is nothing."""

    def __init__(self, metadata: Metadata, facts: Facts) -> None:
        self._metadata = metadata
        self._spot = facts.lifecycle == "spot"
        self._heard = Notices()
        self._listen_at = 0.0

    def listen(self, now: float) -> Notices:
        """Everything heard until `now`; asks no more than every five seconds, and never raises."""
        if self._spot and now >= self._listen_at:
            self._listen_at = now + LISTEN_SECONDS
            heard = self._heard
            self._heard = replace(
                heard,
                reclaim_at=self._ask(*INTERRUPTION) or heard.reclaim_at,
                rebalance_at=heard.rebalance_at or self._ask(*REBALANCE),
            )
        return self._heard

    def _ask(self, path: str, field: str) -> int | None:
        try:
            answer = self._metadata.get(path)
            return parse_time(json.loads(answer)[field]) if answer is not None else None
        except MetadataError as error:
            log(error)
        except (ValueError, TypeError, KeyError) as error:
            # No reason to go: what EC2 really means, it does at its time.
            log(f"The metadata service's {path} cannot be read ({type(error).__name__}).")
        return None
