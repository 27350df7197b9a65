"""Attribute-based instance type selection: which types meet InstanceRequirements.

Source: EC2 API reference, InstanceRequirementsRequest with its defaults, and
GetInstanceTypesFromInstanceRequirements, which does not look at prices. Attributes that are not
looked at here (network, EBS and local storage figures) are refused.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from local.ec2 import paging, prices, shapes
from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from moto.core.responses import ActionResult

_PRICES = {
    "SpotMaxPricePercentageOverLowestPrice",
    "OnDemandMaxPricePercentageOverLowestPrice",
    "MaxSpotPriceAsPercentageOfOptimalOnDemandPrice",
}
_DEFAULT_PERCENTAGE = 100  # SpotMaxPricePercentageOverLowestPrice
_PREVIOUS = re.compile(r"(?:t1|m1|m2|m3|m4|t2|c1|c3|c4|r3|r4|i2|d2|g2|g3s?|p2|x1e?|cc2|cr1|hs1)\.")
_MAKERS = {"a": "amd", "g": "amazon-web-services"}


def answer(response: Any) -> ActionResult:
    """GetInstanceTypesFromInstanceRequirements.

    Raises:
        AwsError: for requirements that are incomplete or not looked at here.
    """
    params = response.params
    response.error_on_dryrun()
    region = response.ec2_backend.region_name
    types = matching(region, params["ArchitectureTypes"], params["InstanceRequirements"])
    return paging.answer(params, "InstanceTypes", [{"InstanceType": each} for each in types])


def matching(region: str, architectures: Sequence[str], wanted: Mapping[str, Any]) -> list[str]:
    """The region's types that meet the requirements, whatever they cost.

    Raises:
        AwsError: for requirements that are incomplete or not looked at here.
    """
    unknown = set(wanted) - set(_TESTS) - _PRICES
    if unknown:
        message = f"The local account does not look at {', '.join(sorted(unknown))}."
        raise AwsError("NotImplemented", message)
    for name in ("VCpuCount", "MemoryMiB"):
        if (wanted.get(name) or {}).get("Min") is None:
            message = f"The request must contain the parameter InstanceRequirements.{name}.Min"
            raise AwsError("MissingParameter", message)
    return [
        each
        for each in shapes.offered(region)
        if set(shapes.architectures(each)) & set(architectures)
        and all(test(each, wanted.get(name)) for name, test in _TESTS.items())
    ]


def chosen(region: str, architectures: Sequence[str], wanted: Mapping[str, Any]) -> list[str]:
    """The types that a fleet uses: those that meet the requirements within the price protection.

    It is spot's, for on-demand capacity too: a tighter limit there would not change the cheapest.

    Raises:
        AwsError: for requirements that are incomplete, or that no type meets.
    """
    found = matching(region, architectures, wanted)
    common = [each for each in found if each[0] in "cmr"] or found
    if not common:
        message = "No instance types satisfy the instance requirements."
        raise AwsError("InvalidFleetConfig", message)
    share = wanted.get("MaxSpotPriceAsPercentageOfOptimalOnDemandPrice")
    if share:
        factor = float(share) / 100 / prices.USUAL_SPOT_SHARE
    else:
        over = wanted.get("SpotMaxPricePercentageOverLowestPrice") or _DEFAULT_PERCENTAGE
        factor = 1 + float(over) / 100
    most = min(map(prices.on_demand, common)) * factor
    return [each for each in found if prices.on_demand(each) <= most]


def _within(value: float, limits: Mapping[str, Any] | None) -> bool:
    least, most = (limits or {}).get("Min"), (limits or {}).get("Max")
    return (least is None or value >= least) and (most is None or value <= most)


def _named(instance_type: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(instance_type, pattern) for pattern in patterns)


def _kind(has: bool, wanted: str | None, default: str) -> bool:  # noqa: FBT001 (a truth about a type)
    choice = wanted or default
    return choice == "included" or (choice == "required") == has


def _maker(instance_type: str) -> str:
    """By the letter after the generation's digit: m7a, m7g, m7i."""
    found = re.match(r"[a-z]+\d+([a-z]?)", instance_type)
    return _MAKERS.get(found[1] if found else "", "intel")


def _memory_per_vcpu(instance_type: str) -> float:
    vcpus, memory_mib = shapes.figures(instance_type)
    return memory_mib / 1024 / vcpus


def _generation(instance_type: str) -> str:
    return "previous" if _PREVIOUS.match(instance_type) else "current"


def _flag(instance_type: str, name: str) -> bool:
    return bool(shapes.details(instance_type).get(name))


_TESTS: dict[str, Callable[[str, Any], bool]] = {
    "VCpuCount": lambda each, limits: _within(shapes.vcpus(each), limits),
    "MemoryMiB": lambda each, limits: _within(shapes.figures(each)[1], limits),
    "MemoryGiBPerVCpu": lambda each, limits: _within(_memory_per_vcpu(each), limits),
    "AcceleratorCount": lambda each, limits: _within(shapes.accelerators(each), limits),
    "CpuManufacturers": lambda each, makers: not makers or _maker(each) in makers,
    "InstanceGenerations": lambda each, wanted: not wanted or _generation(each) in wanted,
    "ExcludedInstanceTypes": lambda each, patterns: not _named(each, patterns or ()),
    "AllowedInstanceTypes": lambda each, patterns: not patterns or _named(each, patterns),
    "BareMetal": lambda each, wanted: _kind(_flag(each, "BareMetal"), wanted, "excluded"),
    "BurstablePerformance": lambda each, wanted: _kind(
        _flag(each, "BurstablePerformanceSupported"), wanted, "excluded"
    ),
    "LocalStorage": lambda each, wanted: _kind(
        _flag(each, "InstanceStorageSupported"), wanted, "included"
    ),
}
