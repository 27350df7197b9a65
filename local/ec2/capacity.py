"""What a fleet's target capacity means, and what each pool offers for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.ec2 import allocation, prices
from local.ec2.launch import ON_DEMAND, SPOT
from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.ec2.pools import Pool
    from local.options import Options


@dataclass(frozen=True)
class Targets:
    """Units wanted: in all, by market, and the market of the rest."""

    total: int
    on_demand: int
    spot: int
    default: str


def targets(specification: Mapping[str, Any]) -> Targets:
    """The units that TargetCapacitySpecificationRequest asks for.

    Raises:
        AwsError: where the numbers do not fit, or nothing says what the rest is to be.
    """
    check_unit(specification)
    total = int(specification.get("TotalTargetCapacity") or 0)
    on_demand = int(specification.get("OnDemandTargetCapacity") or 0)
    spot = int(specification.get("SpotTargetCapacity") or 0)
    default = specification.get("DefaultTargetCapacityType")
    rest = total - on_demand - spot
    if total < 1 or rest < 0 or min(on_demand, spot) < 0:
        message = (
            f"The target capacity ({total}) must be positive, and no less than its on-demand "
            f"({on_demand}) and spot ({spot}) parts together."
        )
        raise AwsError("InvalidTargetCapacitySpecification", message)
    if rest and default not in {SPOT, ON_DEMAND}:
        message = "The DefaultTargetCapacityType must be specified: the parts are less than all."
        raise AwsError("InvalidTargetCapacitySpecification", message)
    if default == SPOT:
        spot += rest
    else:
        on_demand += rest
    return Targets(total, on_demand, spot, str(default or ON_DEMAND))


def check_unit(specification: Mapping[str, Any]) -> None:
    """Refuse to count vCPUs or memory instead of units.

    Raises:
        AwsError: NotImplemented.
    """
    if specification.get("TargetCapacityUnitType", "units") != "units":
        raise AwsError("NotImplemented", "The local account counts a fleet's capacity in units.")


def price(options: Options, pool: Pool, market: str) -> float:
    """Dollars an hour of one of the pool's instances."""
    if market == SPOT:
        return prices.spot(pool.instance_type, pool.zone, options.spot_prices)
    return prices.on_demand(pool.instance_type)


def ordered(
    options: Options, pools: Sequence[Pool], strategy: str, units: float, market: str
) -> list[Pool]:
    """The pools, the one to draw from first in front.

    Raises:
        AwsError: InvalidParameterValue for a strategy that the market has not.
    """
    known = allocation.SPOT_STRATEGIES if market == SPOT else allocation.ON_DEMAND_STRATEGIES
    if strategy not in known:
        message = f"Invalid value '{strategy}' for the allocation strategy of {market} capacity."
        raise AwsError("InvalidParameterValue", message)
    candidates = [
        allocation.Candidate(
            pool.weight,
            price(options, pool, market),
            pool.priority,
            options.available(pool.zone, pool.instance_type, market),
        )
        for pool in pools
    ]
    return [pools[index] for index in allocation.order(candidates, strategy, units)]


def launch(pool: Pool, count: int, market: str, max_price: str | None) -> dict[str, Any]:
    """RunInstances' parameters for up to `count` of a pool."""
    params = {**pool.params, "MinCount": 1, "MaxCount": count}
    if market == SPOT:
        options = {"SpotOptions": {"MaxPrice": max_price}} if max_price else {}
        params["InstanceMarketOptions"] = {"MarketType": SPOT, **options}
    return params
