"""A Spot Fleet's launches: as the fleet role, whose policies must allow them.

Source: EC2 User Guide, "IAM role for tagging a Spot Fleet"; EC2 API reference, EventInformation,
for the history's words. A launch goes the way of RunInstances (local/ec2/launch.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local import authz, callers
from local.ec2 import allocation, capacity, filling, templates
from local.ec2.launch import ON_DEMAND, SPOT
from local.ec2.spot_fleet import TAG
from local.ec2.spot_fleet_config import role_of
from local.iam.needs_launch import of_launch

if TYPE_CHECKING:
    from local.ec2.launch import Launches
    from local.ec2.pools import Pool
    from local.ec2.spot_fleet import SpotFleet
    from local.errors import AwsError
    from local.options import Options

# What the history calls trouble that is not the configuration's.
_NO_CAPACITY = {
    "InsufficientInstanceCapacity",
    "UnfulfillableCapacity",
    "SpotMaxPriceTooLow",
    "MaxSpotInstanceCountExceeded",
    "VcpuLimitExceeded",
}


class Filler:
    """Launches what a request still wants."""

    def __init__(self, options: Options, launches: Launches) -> None:
        self._options = options
        self._launches = launches

    def fill(self, fleet: SpotFleet) -> None:
        """Launch what there is capacity for; the fleet then knows whether it has all it wants."""
        config = fleet.config
        on_demand = int(config.get("OnDemandTargetCapacity") or 0)
        wanted = {ON_DEMAND: on_demand, SPOT: int(config["TargetCapacity"]) - on_demand}
        fleet.failed = False
        left = 0.0
        for market, units in wanted.items():
            open_units = units - fleet.units.get(market, 0.0)
            if open_units > 0:
                left += max(0.0, self._fill(fleet, market, open_units))
        fleet.fulfilled = left <= 0

    def _fill(self, fleet: SpotFleet, market: str, units: float) -> float:
        """Launch for one market; returns what is still open."""
        config = fleet.config
        spot = market == SPOT
        field = "AllocationStrategy" if spot else "OnDemandAllocationStrategy"
        strategy = allocation.kebab(config.get(field) or "lowestPrice")
        ordered = capacity.ordered(self._options, fleet.pools, strategy, units, market)
        to_use = int(config.get("InstancePoolsToUseCount") or 1)
        most = config.get("SpotMaxTotalPrice" if spot else "OnDemandMaxTotalPrice")
        filled = filling.fill(
            ordered,
            units,
            allocation.spread(strategy, len(ordered), to_use),
            filling.Market(
                lambda pool, count: self._start(fleet, pool, count, market),
                lambda pool: capacity.price(self._options, pool, market),
                float(most) if most else None,
            ),
        )
        for pool, instances in filled.started:
            fleet.started.append((pool, market, instances))
            drawn = pool.weight * len(instances)
            fleet.units[market] = fleet.units.get(market, 0.0) + drawn
            for instance in instances:
                fleet.note("instanceChange", "launched", instance_id=instance.id)
        for pool, error in filled.errors:
            self._trouble(fleet, pool, error)
        return filled.left

    def _start(self, fleet: SpotFleet, pool: Pool, count: int, market: str) -> list[Any]:
        """One launch of one pool: some of `count`, or AwsError."""
        price = pool.max_price or fleet.config.get("SpotPrice")
        params = capacity.launch(pool, count, market, price)
        region = fleet.backend.region_name
        template_id = pool.version.template.id if pool.version else None
        role = callers.role_caller(role_of(fleet.config), "SpotFleet", "", None)
        authz.require(role, of_launch(region, params, template_id))
        tags = {TAG: fleet.id, **(templates.own_tags(pool.version) if pool.version else {})}
        return list(self._launches.start(fleet.backend, params, tags).instances)

    def _trouble(self, fleet: SpotFleet, pool: Pool, error: AwsError) -> None:
        described = f"{pool.instance_type}, {pool.params.get('ImageId')}, Linux/UNIX"
        if error.code in _NO_CAPACITY:
            kind, what = "information", "launchSpecUnusable"
        elif error.code in {"UnauthorizedOperation", "InvalidSpotFleetRequestConfig"}:
            kind, what = "error", "iamFleetRoleInvalid"
        else:
            kind, what = "error", "spotFleetRequestConfigurationInvalid"
        fleet.failed = fleet.failed or kind == "error"
        last = [each["EventInformation"] for each in fleet.history[-len(fleet.pools) :]]
        text = f"{described} ({pool.zone}): {error.message}"
        if not any(each["EventDescription"] == text for each in last):  # tried again and again
            fleet.note(kind, what, text)
