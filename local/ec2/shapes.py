"""What instance types are: vCPUs, memory, architectures, and the zones that offer them.

The figures are moto's copies of DescribeInstanceTypes and DescribeInstanceTypeOfferings.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES


def exists(instance_type: str) -> bool:
    """Whether there is such a type."""
    return instance_type in INSTANCE_TYPES


def vcpus(instance_type: str) -> int:
    """Its vCPUs."""
    return int(INSTANCE_TYPES[instance_type]["VCpuInfo"]["DefaultVCpus"])


def shape(instance: Any) -> tuple[int, int]:
    """(vCPUs, memory in MiB) of an instance of moto's."""
    return figures(instance.instance_type)


def figures(instance_type: str) -> tuple[int, int]:
    """(vCPUs, memory in MiB) of a type."""
    return vcpus(instance_type), int(INSTANCE_TYPES[instance_type]["MemoryInfo"]["SizeInMiB"])


def accelerators(instance_type: str) -> int:
    """Its GPUs and other accelerators."""
    details = INSTANCE_TYPES[instance_type]
    kinds = (("GpuInfo", "Gpus"), ("InferenceAcceleratorInfo", "Accelerators"))
    return sum(
        int(each.get("Count", 1))
        for info, key in kinds
        for each in details.get(info, {}).get(key, ())
    )


def details(instance_type: str) -> dict[str, Any]:
    """What DescribeInstanceTypes says of it."""
    found: dict[str, Any] = INSTANCE_TYPES[instance_type]
    return found


@cache
def offered(region: str) -> tuple[str, ...]:
    """Every type that some zone of the region offers."""
    offerings = INSTANCE_TYPE_OFFERINGS["availability-zone"].get(region, ())
    return tuple(sorted({e["InstanceType"] for e in offerings if exists(e["InstanceType"])}))


def architectures(instance_type: str) -> tuple[str, ...]:
    """EC2's words: i386, x86_64, arm64."""
    return tuple(INSTANCE_TYPES[instance_type]["ProcessorInfo"]["SupportedArchitectures"])


@cache
def zones(region: str, instance_type: str) -> tuple[str, ...]:
    """The zones of a region that offer the type."""
    offerings = INSTANCE_TYPE_OFFERINGS["availability-zone"].get(region, ())
    return tuple(
        sorted(each["Location"] for each in offerings if each["InstanceType"] == instance_type)
    )
