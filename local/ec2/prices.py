"""What an hour of an instance costs here: enough for prices to differ sensibly, no price list.

Dollars an hour in us-east-1 for Linux. The large sizes are AWS's public on-demand prices as of
2025 (aws.amazon.com/ec2/pricing/on-demand), other sizes of a family follow by their vCPUs. Spot
prices are a share of these that differs by zone; `Options.spot_prices` sets others.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from local.ec2 import shapes

if TYPE_CHECKING:
    from collections.abc import Mapping

# The price of a family's `large`, which has two vCPUs.
_LARGE = {
    "c5": 0.085,
    "c6a": 0.0765,
    "c6g": 0.068,
    "c6i": 0.085,
    "c7a": 0.10264,
    "c7g": 0.0725,
    "c7i": 0.08925,
    "m5": 0.096,
    "m5a": 0.086,
    "m6a": 0.0864,
    "m6g": 0.077,
    "m6i": 0.096,
    "m7a": 0.11592,
    "m7g": 0.0816,
    "m7i": 0.1008,
    "r5": 0.126,
    "r6g": 0.1008,
    "r6i": 0.126,
    "r7g": 0.1071,
    "r7i": 0.1323,
    "t3": 0.0832,
    "t3a": 0.0752,
}
# For families that are not in the table: what C, M and R have in common, roughly.
_VCPU, _GIB, _GPU = 0.035, 0.0035, 0.5
USUAL_SPOT_SHARE = 0.4
_SPOT_SHARE = {"a": 0.40, "b": 0.38, "c": 0.42, "d": 0.36, "e": 0.44, "f": 0.41}


def on_demand(instance_type: str) -> float:
    """Dollars an hour on demand, in any zone."""
    family, size = instance_type.split(".", 1)
    vcpus, memory_mib = shapes.figures(instance_type)
    if family in _LARGE and not size.startswith("metal"):
        return round(_LARGE[family] * vcpus / 2, 5)
    gpus = shapes.accelerators(instance_type)
    return round(_VCPU * vcpus + _GIB * memory_mib / 1024 + _GPU * gpus, 5)


def spot(instance_type: str, zone: str, fixed: Mapping[str, float]) -> float:
    """Dollars an hour for spot in a zone; `fixed` holds prices by "zone/type" with wildcards."""
    place = f"{zone}/{instance_type}"
    for pattern, price in fixed.items():
        if fnmatchcase(place, pattern):
            return price
    return round(on_demand(instance_type) * _SPOT_SHARE.get(zone[-1], USUAL_SPOT_SHARE), 5)


def text(price: float) -> str:
    """A price as EC2 writes it."""
    return f"{price:.6f}"
