"""One Spot Fleet request: its state, its instances and what happened to it.

Source: EC2 User Guide, "Spot Fleet request states"; EC2 API reference, SpotFleetRequestConfig and
HistoryRecord.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from local.ec2.launch import ENDED, SPOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.ec2.pools import Pool

TAG = "aws:ec2spot:fleet-request-id"
RUNNING, TERMINATING, CANCELLED = "cancelled_running", "cancelled_terminating", "cancelled"
ENDED_STATES = {RUNNING, TERMINATING, CANCELLED}


@dataclass
class SpotFleet:
    """A request. `pools` and `config` stay as they were asked for."""

    backend: Any
    config: Mapping[str, Any]
    pools: Sequence[Pool]
    id: str = field(default_factory=lambda: f"sfr-{uuid4()}")
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    begun: bool = False
    failed: bool = False
    fulfilled: bool = False
    cancelled_as: str = ""
    units: dict[str, float] = field(default_factory=dict)  # drawn so far, by market
    started: list[tuple[Pool, str, list[Any]]] = field(default_factory=list)  # pool, market
    history: list[dict[str, Any]] = field(default_factory=list)

    def state(self) -> str:
        """Its state; a cancelled one is `cancelled` once its last instance has ended."""
        if self.cancelled_as:
            left = any(each.state != "terminated" for each in self._all())
            return self.cancelled_as if left else CANCELLED
        return "active" if self.begun else "submitted"

    def living(self) -> list[Any]:
        """Its instances that have not ended."""
        return [each for each in self._all() if each.state not in ENDED]

    def begin(self) -> None:
        """It is active from now on."""
        if not self.begun:
            self.begun = True
            self.note("fleetRequestChange", "active")

    def cancel(self, *, terminate: bool) -> None:
        """Launch nothing any more; end what runs where that is asked for."""
        self.cancelled_as = TERMINATING if terminate else RUNNING
        self.note("fleetRequestChange", self.cancelled_as)
        if terminate:
            for instance in self.living():
                instance.terminate()
                self.note("instanceChange", "terminated", instance_id=instance.id)

    def note(
        self, kind: str, what: str, description: str = "", instance_id: str | None = None
    ) -> None:
        """Add to its history."""
        information = {
            "EventSubType": what,
            "EventDescription": description or None,
            "InstanceId": instance_id,
        }
        now = datetime.now(UTC)
        self.history.append({"EventType": kind, "EventInformation": information, "Timestamp": now})

    def view(self) -> dict[str, Any]:
        """It as DescribeSpotFleetRequests has it."""
        units = {SPOT: 0.0}
        for pool, market, instances in self.started:
            living = sum(each.state not in ENDED for each in instances)
            units[market] = units.get(market, 0.0) + pool.weight * living
        tags = self.backend.tags.get(self.id, {})
        return {
            "SpotFleetRequestId": self.id,
            "SpotFleetRequestState": self.state(),
            "ActivityStatus": self._activity(),
            "CreateTime": self.created_at,
            "SpotFleetRequestConfig": {
                "AllocationStrategy": "lowestPrice",
                "Type": "maintain",
                **self.config,
                "FulfilledCapacity": sum(units.values()),
                "OnDemandFulfilledCapacity": units.get("on-demand", 0.0),
            },
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }

    def _activity(self) -> str:
        if self.cancelled_as:
            return "pending_termination" if self.state() == TERMINATING else "fulfilled"
        if self.fulfilled:
            return "fulfilled"
        return "error" if self.failed else "pending_fulfillment"

    def _all(self) -> list[Any]:
        return [each for _, _, some in self.started for each in some]
