"""What a Spot Fleet would start, of what template, and where: gathered and checked.

A launch specification's place, type, weight and price become overrides of its template, one for
each of the subnets or zones that it names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

from .errors import BadRequest
from .fleet_json import read
from .launch import Place
from .spot_fleet_fields import TEMPLATE
from .spot_fleet_template import template_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .model import Image, Subnet
    from .ports import Catalog

REQUIREMENTS = "InstanceRequirements"
_SAYS_TYPE = frozenset({"InstanceType", REQUIREMENTS})
_PLACES = ("SubnetId", "AvailabilityZone", "AvailabilityZoneId")
_ARCHITECTURES = ("x86_64", "arm64")


@dataclass(frozen=True, slots=True)
class Pools:
    """A template, and where and as what machines are started from it.

    Each override has its own path, so that an error can name the user's own field.
    """

    path: str
    data: Mapping[str, Any]
    overrides: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def typed(self) -> Iterable[tuple[str, str | None, Mapping[str, Any]]]:
        """Each override with its path and type; None where EC2 chooses one by requirements."""
        for path, override in self.overrides or [(self.path, {})]:
            says = next((one for one in (override, self.data) if one.keys() & _SAYS_TYPE), None)
            if says is None:
                raise BadRequest(
                    f"{path}.InstanceType: is missing, and so is InstanceRequirements."
                )
            if says.keys() >= _SAYS_TYPE:
                raise BadRequest(
                    f"{path}.{REQUIREMENTS}: cannot be there beside InstanceType; say one of them."
                )
            yield path, None if REQUIREMENTS in says else says["InstanceType"], override


def pools_of(asked: Mapping[str, Any], catalog: Catalog, notes: list[str]) -> list[Pools]:
    """All that a request names; never none. Raises BadRequest."""
    pools = [*_specified(asked), *_from_templates(asked, catalog, notes)]
    if not pools:
        raise BadRequest(
            "LaunchSpecifications: there are none, nor LaunchTemplateConfigs, so nothing says what "
            "to start."
        )
    return pools


def images_of(pools: Sequence[Pools], catalog: Catalog) -> dict[str, Image]:
    """The images by their ids. Raises BadRequest where one or a type is not there, or not right."""
    images = _images(pools, catalog)
    _check_types(pools, images, catalog)
    return images


def subnets_of(pools: Sequence[Pools], catalog: Catalog) -> Mapping[str, Subnet]:
    """The subnets by their ids. Raises BadRequest where a machine would not reach the pool."""
    named = [
        (path, place["SubnetId"], _first_interface(one))
        for one in pools
        for path, place in one.overrides
        if "SubnetId" in place
    ]
    named += [
        (f"{one.path}.NetworkInterfaces[{number}]", interface["SubnetId"], interface)
        for one in pools
        for number, interface in enumerate(one.data.get("NetworkInterfaces", []))
        if "SubnetId" in interface
    ]
    found = catalog.subnets(list(dict.fromkeys(one for _, one, _ in named))) if named else {}
    for path, subnet, interface in named:
        if subnet not in found:
            raise BadRequest(f"{path}.SubnetId: there is no subnet {subnet} in this region.")
        if found[subnet].way_out is None:
            raise BadRequest(
                f"{path}.SubnetId: {subnet} has no way out, neither an internet gateway nor a NAT, "
                "and its machines could not reach the pool."
            )
        public = interface.get("AssociatePublicIpAddress", found[subnet].gives_addresses)
        if found[subnet].way_out == "public" and not public:
            raise BadRequest(
                f"{path}.SubnetId: {subnet} leads out by an internet gateway, and machines get no "
                "public address there: say AssociatePublicIpAddress of a network interface."
            )
    return found


def places_of(pools: Sequence[Pools], subnets: Mapping[str, Subnet]) -> tuple[Place, ...]:
    """Each type and place, as far as they are said."""
    found = []
    for one in pools:
        interface = _first_interface(one)
        for _, kind, override in one.typed:
            subnet = subnets.get(override.get("SubnetId", interface.get("SubnetId", "")))
            zone = subnet.zone if subnet else override.get("AvailabilityZone", "")
            public = subnet is not None and subnet.way_out == "public"
            found.append(Place(kind or "", subnet.subnet_id if subnet else "", zone, public))
    return tuple(dict.fromkeys(found))


def _specified(asked: Mapping[str, Any]) -> Iterable[Pools]:
    for number, one in enumerate(asked.get("LaunchSpecifications", [])):
        if "LaunchTemplateConfigs" in asked:
            raise BadRequest("LaunchTemplateConfigs: cannot be there beside LaunchSpecifications.")
        path = f"LaunchSpecifications[{number}]"
        data = template_of(one)
        override = {
            name: one[name]
            for name in ("InstanceType", REQUIREMENTS, "SpotPrice", "WeightedCapacity")
            if name in one
        }
        place = {**one.get("Placement", {}), "SubnetId": one.get("SubnetId", "")}
        interfaces = one.get("NetworkInterfaces", [])
        if interfaces and "," in interfaces[0].get("SubnetId", ""):
            place["SubnetId"] = interfaces[0]["SubnetId"]
            first = {name: it for name, it in interfaces[0].items() if name != "SubnetId"}
            data["NetworkInterfaces"] = [first, *interfaces[1:]]
        yield Pools(path, data, [(path, each) for each in _spread(override, place)])


def _from_templates(
    asked: Mapping[str, Any], catalog: Catalog, notes: list[str]
) -> Iterable[Pools]:
    for number, one in enumerate(asked.get("LaunchTemplateConfigs", [])):
        path = f"LaunchTemplateConfigs[{number}]"
        named = one.get("LaunchTemplateSpecification", {})
        origin, data = _template(named, f"{path}.LaunchTemplateSpecification", catalog, notes)
        overrides = []
        for count, each in enumerate(one.get("Overrides", [])):
            place = {**each.get("Placement", {}), **each}
            rest = {
                name: value for name, value in each.items() if name not in ("Placement", *_PLACES)
            }
            here = f"{path}.Overrides[{count}]"
            overrides += [(here, spread) for spread in _spread(rest, place)]
        yield Pools(origin, data, overrides)


def _template(
    named: Mapping[str, str], path: str, catalog: Catalog, notes: list[str]
) -> tuple[str, dict[str, Any]]:
    """A version's data, and what it is called in messages about its fields."""
    template_id, name = named.get("LaunchTemplateId", ""), named.get("LaunchTemplateName", "")
    if bool(template_id) is bool(name):
        raise BadRequest(f"{path}: needs either LaunchTemplateId or LaunchTemplateName.")
    version = named.get("Version")
    if not version:
        raise BadRequest(f"{path}.Version: is missing; say a number, $Latest or $Default.")
    found = catalog.launch_template(template_id=template_id, name=name, version=version)
    if found is None:
        raise BadRequest(
            f"{path}: there is no launch template {template_id or name} of version {version} in "
            "this region."
        )
    origin = f"Version {version} of {template_id or name}"
    return origin, read(found, TEMPLATE, origin, notes)


def _spread(rest: Mapping[str, Any], place: Mapping[str, str]) -> list[dict[str, Any]]:
    """An override for each of the places, where EC2 takes a list with commas."""
    named = [
        [(name, one.strip()) for one in place[name].split(",") if one.strip()]
        for name in _PLACES
        if place.get(name)
    ]
    return [{**rest, **dict(each)} for each in product(*named)]


def _images(pools: Sequence[Pools], catalog: Catalog) -> dict[str, Image]:
    """Every image there is talk of, once each."""
    found: dict[str, Image] = {}
    for one in pools:
        path, image_id = f"{one.path}.ImageId", one.data.get("ImageId")
        if image_id is None:
            raise BadRequest(f"{path}: is missing.")
        image = found.get(image_id) or catalog.image(image_id)
        if image is None:
            raise BadRequest(
                f"{path}: there is no AMI {image_id} in this region that this account can use."
            )
        if image.architecture not in _ARCHITECTURES:
            raise BadRequest(
                f"{path}: {image_id} is {image.architecture}, and HTCondor's packages are for "
                "x86_64 and arm64."
            )
        found[image_id] = image
    return found


def _check_types(pools: Sequence[Pools], images: Mapping[str, Image], catalog: Catalog) -> None:
    typed = [(path, kind, one) for one in pools for path, kind, _ in one.typed if kind]
    types = list(dict.fromkeys(kind for _, kind, _ in typed))
    known = catalog.types(types) if types else {}
    for path, kind, one in typed:
        if kind not in known:
            raise BadRequest(f"{path}.InstanceType: EC2 has no {kind} in this region.")
        image = images[one.data["ImageId"]]
        if image.architecture not in known[kind].architectures:
            raise BadRequest(
                f"{path}.InstanceType: {kind} cannot run {image.image_id}, which is "
                f"{image.architecture}."
            )


def _first_interface(pools: Pools) -> Mapping[str, Any]:
    return next(iter(pools.data.get("NetworkInterfaces", [])), {})
