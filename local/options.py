"""What a test may change while the account is up: times, capacity, quota."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Options:
    """Times in seconds; without hosts the first two stand for a machine's boot and shutdown."""

    pending_seconds: float = 0.5
    shutting_down_seconds: float = 0.5
    # Terminated instances remain visible for a while (EC2 User Guide: about an hour).
    terminated_visible_seconds: float = 3600
    # How long a new instance is not found yet (EC2 API reference, "Eventual consistency"); with
    # nought, all are found at once.
    invisible_seconds: float = 0
    # How many instances can still be started, by "zone/type" or "zone/type/market" (market being
    # spot or on-demand) with wildcards; all that match count.
    capacity: dict[str, int] = field(default_factory=dict)
    # The quotas of running vCPUs, on demand and spot, or None.
    vcpu_limit: int | None = None
    spot_vcpu_limit: int | None = None
    # Spot prices in dollars an hour, by "zone/type" with wildcards (else local/ec2/prices.py's).
    spot_prices: dict[str, float] = field(default_factory=dict)
    # A Spot Fleet request is served so long after it was made, and again while capacity lacks.
    spot_fleet_seconds: float = 2
    spot_fleet_retry_seconds: float = 10
    # Longest age of the credentials that the metadata service hands out.
    instance_credential_seconds: int = 6 * 3600
    # Waits before the second and third try of an asynchronous invocation that failed.
    retry_seconds: tuple[float, float] = (60, 120)

    def change(self, values: Mapping[str, Any]) -> None:
        """Set some options; raises ValueError for a name that is none."""
        known = {each.name for each in fields(self)}
        if not set(values) <= known:
            raise ValueError(f"There is no option {', '.join(sorted(set(values) - known))}.")
        for name, value in values.items():
            setattr(self, name, value)

    def available(self, zone: str, instance_type: str, market: str) -> int | None:
        """How many instances of a type a zone still has; None for as many as one likes."""
        limits = [self.capacity[pattern] for pattern in self._limits(zone, instance_type, market)]
        return min(limits) if limits else None

    def use(self, zone: str, instance_type: str, market: str, started: int) -> None:
        """Take what was started off the capacity."""
        for pattern in self._limits(zone, instance_type, market):
            self.capacity[pattern] -= started

    def _limits(self, zone: str, instance_type: str, market: str) -> list[str]:
        place = f"{zone}/{instance_type}"
        return [
            pattern
            for pattern in self.capacity
            if fnmatchcase(place, pattern) or fnmatchcase(f"{place}/{market}", pattern)
        ]
