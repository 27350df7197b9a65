"""The pools of a fleet: one for each instance type in each zone that it may draw from.

Source: EC2 API reference, FleetLaunchTemplateOverridesRequest, LaunchTemplateOverrides and
SpotFleetLaunchSpecification.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.ec2 import checks, requirements, shapes, templates
from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_MOST_POOLS = 300  # "launch specifications per fleet" (Amazon EC2 User Guide, "Fleet quotas")
_MOST_REQUIREMENTS = 4  # as CreateFleet says when it refuses more
DUPLICATE = "The fleet configuration contains duplicate instance pools."


@dataclass(frozen=True)
class Pool:
    """One pool.

    `params` are RunInstances' for one of its instances; `shown` is where it comes from, as
    CreateFleet's answers have it.
    """

    params: Mapping[str, Any]
    instance_type: str
    zone: str
    weight: float
    priority: float | None
    max_price: str | None
    version: Any
    shown: Mapping[str, Any]
    by_attributes: bool


def of_templates(backend: Any, configs: Sequence[Mapping[str, Any]]) -> list[Pool]:
    """The pools of launch templates and their overrides.

    Raises:
        AwsError: for a template that is not there, or a configuration that EC2 refuses.
    """
    overrides = [each for config in configs for each in config.get("Overrides") or [{}]]
    if len(overrides) > _MOST_POOLS:
        message = f"A fleet may have at most {_MOST_POOLS} launch specifications."
        raise AwsError("InvalidFleetConfig", message)
    if sum("InstanceRequirements" in each for each in overrides) > _MOST_REQUIREMENTS:
        message = (
            f"Your request contains more than the maximum allowed number of InstanceRequirements "
            f"({_MOST_REQUIREMENTS})"
        )
        raise AwsError("InvalidParameterValue", message)
    found = []
    for config in configs:
        reference = config.get("LaunchTemplateSpecification") or {}
        version = templates.resolve(backend, reference)
        if not reference.get("Version"):
            message = "The request must contain the version of the launch template"
            raise AwsError("MissingParameter", message)
        if version.data.get("InstanceMarketOptions"):
            message = "A launch template with InstanceMarketOptions cannot be used by a fleet."
            raise AwsError("InvalidFleetConfig", message)
        specification = {
            "LaunchTemplateId": version.template.id,
            "LaunchTemplateName": version.template.name,
            "Version": str(version.number),
        }
        for override in config.get("Overrides") or [{}]:
            found += of_one(backend, version.data, override, version, specification)
    check_distinct(found)
    return found


def of_one(
    backend: Any,
    base: Mapping[str, Any],
    override: Mapping[str, Any],
    version: Any = None,
    specification: Mapping[str, Any] | None = None,
) -> list[Pool]:
    """The pools of one override over one template's (or launch specification's) values.

    Raises:
        AwsError: for a configuration that EC2 refuses.
    """
    laid = {key: override[key] for key in ("ImageId", "BlockDeviceMappings") if key in override}
    placement = {**(base.get("Placement") or {}), **(override.get("Placement") or {})}
    placement.pop("AvailabilityZone", None)
    params = templates.over(base, {**laid, "Placement": placement})
    params["ImageId"] = templates.image_id(backend.region_name, str(params.get("ImageId") or ""))
    params.pop("InstanceRequirements", None)
    types, by_attributes = _types(backend, base, override, params["ImageId"])
    weight = float(override.get("WeightedCapacity") or 1)
    if weight <= 0:
        message = "The weighted capacity must be greater than zero."
        raise AwsError("InvalidParameterValue", message)
    shown = {key: value for key, value in override.items() if key != "InstanceRequirements"}
    return [
        Pool(
            params={**_placed(params, zone, subnet), "InstanceType": instance_type},
            instance_type=instance_type,
            zone=zone,
            weight=weight,
            priority=override.get("Priority"),
            max_price=override.get("MaxPrice") or override.get("SpotPrice"),
            version=version,
            shown={
                "LaunchTemplateSpecification": specification,
                "Overrides": {**shown, "InstanceType": instance_type} if override else {},
            },
            by_attributes=by_attributes,
        )
        for instance_type in types
        for zone, subnet in _places(backend, base, override, instance_type)
    ]


def check_distinct(pools: Sequence[Pool]) -> None:
    """Refuse two pools of one type in one zone, as two subnets of a zone would make.

    Raises:
        AwsError: InvalidFleetConfig.
    """
    seen = set()
    for pool in pools:
        if pool.by_attributes:
            continue
        key = (pool.instance_type, pool.zone, pool.params["ImageId"], pool.max_price)
        if key in seen:
            raise AwsError("InvalidFleetConfig", DUPLICATE)
        seen.add(key)


def _types(
    backend: Any, base: Mapping[str, Any], override: Mapping[str, Any], image_id: str
) -> tuple[Sequence[str], bool]:
    """The types that may be used, and whether attributes chose them."""
    for source in (override, base):
        named, wanted = source.get("InstanceType"), source.get("InstanceRequirements")
        if named and wanted:
            message = "InstanceType and InstanceRequirements cannot be specified together."
            raise AwsError("InvalidParameterCombination", message)
        if named:
            if not shapes.exists(named):
                message = f"Invalid: Parameter: InstanceTypes. Unsupported instance type {named}"
                raise AwsError("InvalidFleetConfig", message)
            return [named], False
        if wanted:
            image = backend.amis.get(image_id)
            architectures = [image.architecture] if image else []
            return requirements.chosen(backend.region_name, architectures, wanted), True
    raise AwsError("InvalidFleetConfig", "The fleet configuration names no instance type.")


def _places(
    backend: Any, base: Mapping[str, Any], override: Mapping[str, Any], instance_type: str
) -> Iterator[tuple[str, str | None]]:
    """(zone, subnet) of each place that may be used; lists are written with commas."""
    zones = override.get("AvailabilityZone") or _zone(override)
    if override.get("AvailabilityZoneId"):
        zones = checks.zone_by_id(backend, override["AvailabilityZoneId"])
    subnets = _split(override.get("SubnetId"))
    if not subnets and not zones:
        subnets, zones = _split(base.get("SubnetId") or checks.subnet_of(base)), _zone(base)
    for subnet in subnets:
        yield checks.zone_of(backend, {"SubnetId": subnet}), subnet
    if subnets:
        return
    named = _split(zones)
    for zone in named:
        yield checks.zone_of(backend, {"Placement": {"AvailabilityZone": zone}}), None
    if not named:
        defaults = backend.get_default_subnets()
        offering = shapes.zones(backend.region_name, instance_type)
        yield from ((zone, None) for zone in offering if zone in defaults)


def _zone(params: Mapping[str, Any]) -> str | None:
    return (params.get("Placement") or {}).get("AvailabilityZone")


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _placed(params: Mapping[str, Any], zone: str, subnet: str | None) -> dict[str, Any]:
    """The launch's parameters, in one zone or subnet."""
    placed = dict(params)
    interfaces = [dict(each) for each in params.get("NetworkInterfaces") or ()]
    if interfaces and subnet:
        interfaces[0]["SubnetId"] = subnet
    if interfaces:
        placed["NetworkInterfaces"] = interfaces
        placed.pop("SubnetId", None)
    elif subnet:
        placed["SubnetId"] = subnet
    if not subnet:
        placed.pop("SubnetId", None)
        placed["Placement"] = {**(params.get("Placement") or {}), "AvailabilityZone": zone}
    return placed
