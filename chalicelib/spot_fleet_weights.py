"""What a machine of each type counts for, in a Spot Fleet that may name types and describe them.

EC2 counts a machine by the override that it comes of, and shows of the machine only its type. So a
type counts the same wherever it is named, and requirements leave out those that are named and do
not count one, as the types that EC2 chooses do.
"""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from .errors import BadRequest
from .spot_fleet_pools import REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .spot_fleet_pools import Pools

_ALLOWED, _EXCLUDED = "AllowedInstanceTypes", "ExcludedInstanceTypes"


def weights_of(pools: Sequence[Pools]) -> tuple[tuple[str, int], ...]:
    """Whole slots for each type; those of the type '' for the types that EC2 chooses."""
    found: dict[str, int] = {}
    for one in pools:
        for path, kind, override in one.typed:
            weight = override.get("WeightedCapacity", 1.0)
            if weight != int(weight) or weight < 1:
                # Rounded down, a fleet that EC2 calls complete would never be so here.
                raise BadRequest(
                    f"{path}.WeightedCapacity: {weight:g} is no whole number of slots from 1 on."
                )
            if kind is None and weight != 1:
                raise BadRequest(
                    f"{path}.WeightedCapacity: a machine of a type that EC2 chooses by "
                    "InstanceRequirements counts as one slot; leave it out, or list types."
                )
            if found.setdefault(kind or "", int(weight)) != weight:
                raise BadRequest(
                    f"{path}.WeightedCapacity: {kind} counts {found[kind or '']} elsewhere and "
                    f"{weight:g} here; give a type one weight."
                )
    return tuple(sorted(found.items()))


def told_apart(
    pools: Sequence[Pools], weights: Iterable[tuple[str, int]], notes: list[str]
) -> list[Pools]:
    """The pools with requirements that match no type which counts otherwise where it is named.

    Raises BadRequest where such a type is allowed by name or pattern: EC2 takes no exclusions then.
    """
    heavy = sorted(kind for kind, weight in weights if kind and weight != 1)
    chosen = any(kind is None for one in pools for _, kind, _ in one.typed)
    if not heavy or not chosen:
        return [*pools]
    notes.append(
        f"InstanceRequirements: without {', '.join(heavy)}, since EC2 does not tell a machine that "
        "it chose by them from one of a type that is named with another WeightedCapacity."
    )
    return [_without(one, heavy) for one in pools]


def _without(one: Pools, heavy: Sequence[str]) -> Pools:
    by_itself = any(kind is None for _, kind, override in one.typed if REQUIREMENTS not in override)
    data = one.data
    if by_itself:  # else its own requirements are overridden everywhere
        data = _narrowed(data, one.path, heavy)
    overrides = [
        (path, _narrowed(override, path, heavy) if REQUIREMENTS in override else override)
        for path, override in one.overrides
    ]
    return replace(one, data=data, overrides=overrides)


def _narrowed(holder: Mapping[str, Any], path: str, heavy: Sequence[str]) -> dict[str, Any]:
    required = holder[REQUIREMENTS]
    for pattern in required.get(_ALLOWED, ()):
        for kind in heavy:
            if fnmatchcase(kind, pattern):
                raise BadRequest(
                    f"{path}.{REQUIREMENTS}.{_ALLOWED}: {pattern!r} allows {kind}, which is also "
                    "named with another WeightedCapacity, and EC2 does not tell by which of them "
                    "it chose a machine; leave it out of one."
                )
    if _ALLOWED in required:
        return {**holder}
    excluded = dict.fromkeys((*required.get(_EXCLUDED, ()), *heavy))
    return {**holder, REQUIREMENTS: {**required, _EXCLUDED: [*excluded]}}
