"""Which pool a fleet draws from first: the decision alone.

Source: EC2 User Guide, "Use allocation strategies to determine how EC2 Fleet or Spot Fleet fulfills
Spot and On-Demand capacity". How much capacity a pool has is what the account's options say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LOWEST_PRICE, DIVERSIFIED = "lowest-price", "diversified"
SPOT_STRATEGIES = (
    LOWEST_PRICE,
    DIVERSIFIED,
    "capacity-optimized",
    "capacity-optimized-prioritized",
    "price-capacity-optimized",
)
ON_DEMAND_STRATEGIES = (LOWEST_PRICE, "prioritized")


@dataclass(frozen=True)
class Candidate:
    """A pool as a strategy sees it.

    `weight` and `price` are units and dollars an hour of one instance; `free` is how many instances
    there are still, None for as many as one likes.
    """

    weight: float
    price: float
    priority: float | None
    free: int | None


def order(candidates: Sequence[Candidate], strategy: str, units: float) -> list[int]:
    """The candidates' indexes, the one to draw from first in front.

    Raises:
        AwsError: InvalidParameterValue for a strategy that is none.
    """
    key = _KEYS.get(strategy)
    if key is None:
        message = f"Invalid value '{strategy}' for the allocation strategy."
        raise AwsError("InvalidParameterValue", message)
    return sorted(range(len(candidates)), key=lambda i: (*key(candidates[i], units), i))


def spread(strategy: str, pools: int, pools_to_use: int) -> int:
    """Among how many of the first pools the units are divided evenly."""
    if strategy == DIVERSIFIED:
        return pools
    return min(pools, pools_to_use) if strategy == LOWEST_PRICE else min(pools, 1)


def kebab(strategy: str) -> str:
    """Spot Fleet's word for a strategy as EC2 Fleet writes it."""
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in strategy)


def _unit_price(candidate: Candidate) -> float:
    return candidate.price / candidate.weight


def _scarcity(candidate: Candidate, units: float) -> int:
    """0 where there is enough for all, 1 for some, 2 for nothing."""
    if candidate.free is None or candidate.free * candidate.weight >= units:
        return 0
    return 1 if candidate.free > 0 else 2


def _priority(candidate: Candidate) -> float:
    return math.inf if candidate.priority is None else candidate.priority


_KEYS: dict[str, Callable[[Candidate, float], tuple[float, ...]]] = {
    LOWEST_PRICE: lambda c, _: (_unit_price(c),),
    DIVERSIFIED: lambda _, __: (),
    "capacity-optimized": lambda c, _: (-math.inf if c.free is None else -c.free,),
    "capacity-optimized-prioritized": lambda c, units: (_scarcity(c, units), _priority(c)),
    "price-capacity-optimized": lambda c, units: (_scarcity(c, units), _unit_price(c)),
    "prioritized": lambda c, _: (_priority(c),),
}
