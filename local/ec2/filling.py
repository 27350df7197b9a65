"""Drawing a fleet's units from its pools, in order, until they are there or all have failed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from local.ec2.pools import Pool

_ROUNDING = 1e-9  # weights are floats: three times 0.1 is enough for 0.3


@dataclass
class Filled:
    """What came of it: instances by pool, each failed pool's error once, the units still open."""

    left: float
    started: list[tuple[Pool, list[Any]]] = field(default_factory=list)
    errors: list[tuple[Pool, AwsError]] = field(default_factory=list)


@dataclass(frozen=True)
class Market:
    """How to start `count` of a pool (some may start, or AwsError), and what one costs an hour."""

    start: Callable[[Pool, int], list[Any]]
    price: Callable[[Pool], float]
    most_an_hour: float | None = None


def fill(pools: Sequence[Pool], units: float, spread: int, market: Market) -> Filled:
    """Draw `units` from `pools`: evenly from the first `spread`, then in order from all."""
    filled = Filled(units)
    failed: set[int] = set()
    spent = 0.0

    def draw(index: int, share: float) -> None:
        nonlocal spent
        pool = pools[index]
        wanted = math.ceil(share / pool.weight - _ROUNDING)
        while wanted > 0:
            if market.most_an_hour is not None:
                room = (market.most_an_hour - spent) / market.price(pool)
                wanted = min(wanted, math.floor(room + _ROUNDING))
                if wanted <= 0:
                    return
            try:
                instances = market.start(pool, wanted)
            except AwsError as error:
                filled.errors.append((pool, error))
                failed.add(index)
                return
            filled.started.append((pool, instances))
            filled.left -= len(instances) * pool.weight
            spent += len(instances) * market.price(pool)
            wanted -= len(instances)

    for index in range(spread):
        draw(index, filled.left / (spread - index))
    for index in range(len(pools)):
        if index not in failed and filled.left > _ROUNDING:
            draw(index, filled.left)
    return filled
