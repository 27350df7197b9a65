"""What a start asks for: machines or slots, of which kind, from which market. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MIB_PER_GIB = 1024


@dataclass(frozen=True)
class Range:
    """From `least` to `most`, both included; None is no limit."""

    least: int
    most: int | None = None


@dataclass(frozen=True)
class Wanted:
    """One of `count` and `slots` is given, or neither for one machine.

    `spot_fleet` is the text of a Spot Fleet's own JSON, which says all but the number of slots.
    """

    count: int | None = None
    slots: int | None = None
    spot: bool = False
    instance_types: tuple[str, ...] = ()
    cpus: Range | None = None
    memory_mib: Range | None = None
    max_price: str | None = None  # USD per unit and hour
    fallback: bool = False  # what spot does not give is started on demand
    spot_fleet: str | None = None

    @property
    def number(self) -> int:
        """How many units."""
        return self.slots or self.count or 1

    @property
    def unit(self) -> str:
        """What they are, in the wire's words."""
        return "machine" if self.slots is None else "slot"

    @property
    def by_requirements(self) -> bool:
        """Whether the types are left to EC2."""
        return self.cpus is not None or self.memory_mib is not None

    def types(self, default: str) -> tuple[str, ...]:
        """The types by name, or none where something else says what is wanted."""
        if self.spot_fleet is not None or self.by_requirements:
            return ()
        return self.instance_types or (default,)

    def body(self, default_type: str) -> dict[str, Any]:
        """This part of the request; what is not asked for is left out."""
        market = "spot" if self.spot or self.spot_fleet is not None else None
        found = {
            "count": self.number if self.slots is None else None,
            "slots": self.slots,
            "market": market,
            "instance_types": [*self.types(default_type)],
            "requirements": self._requirements() if self.by_requirements else None,
            "max_price": self.max_price,
            "fallback": "on-demand" if self.fallback else None,
            "spot_fleet_config": self.spot_fleet,
        }
        return {key: value for key, value in found.items() if value}

    def _requirements(self) -> dict[str, int]:
        found = {}
        for name, asked in (("cpus", self.cpus), ("memory_mib", self.memory_mib)):
            if asked is not None:
                found[f"{name}_min"] = asked.least
                if asked.most is not None:
                    found[f"{name}_max"] = asked.most
        return found
