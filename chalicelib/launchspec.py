"""From a request to a frozen launch: image, types, subnets, groups, tags, user data.

All that could make EC2 refuse, and can be known, is found here: before anything is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from . import tags
from .admission import units, user_part
from .errors import BadRequest, NotSetUp
from .launch import LaunchSpec, Market, Place, Requirements, Road
from .launching import in_one_fleet
from .spot_fleet_config import spot_fleet
from .spot_fleet_template import Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from .ids import AnnexId
    from .model import Image, InstanceType
    from .ports import Catalog, Composer
    from .settings import Deployment, Settings
    from .wire import StartRequest

# CreateFleet takes 300 overrides, one for each type in each subnet (EC2 User Guide, 'EC2 Fleet
# quotas').
_MOST_PLACES = 300
_MOST_TYPES = 15  # of those that fit; requests name 20 subnets at most
# EC2's word for an architecture, and Debian's, which the image parameter has.
_DEBIAN = {"x86_64": "amd64", "arm64": "arm64"}


@dataclass(frozen=True)
class SpecMaker:
    """Asks the catalog, and freezes the answers."""

    catalog: Catalog
    compose: Composer
    settings: Settings
    deployment: Deployment

    def make(
        self,
        request: StartRequest,
        annex_id: AnnexId,
        identity: str,
        config_key: str,
        expires_at: datetime,
        now: datetime,
    ) -> LaunchSpec:
        """The launch that a request asks for.

        Raises BadRequest for what the user can change, NotSetUp for what the administrator must.
        """
        compose = partial(
            self.compose,
            annex_name=request.name,
            annex_id=annex_id,
            key=config_key,
            role_id=self.settings.instance_role_id,
            lease_expires_at=expires_at,
            dead_man_margin_seconds=self.settings.dead_man_margin_seconds,
            boot_limit_seconds=self.settings.boot_limit_seconds,
        )
        ours = tags.annex_tags(self.deployment.name, request.name, annex_id, identity, expires_at)
        if request.spot_fleet_config is not None:
            return self._spot_fleet(request, compose, ours, now)
        image = None if request.ami_id is None else self._image(request.ami_id)
        types = self._types(request, image)
        image = self._fitting(image, types)
        by_fleet = request.market == "spot" or request.slots or request.requirements
        weights = {one: kind.vcpus for one, kind in types.items()} if request.slots else {}
        # A user's own Name is welcome; nothing else of ours can be overridden.
        all_tags = {**ours, **request.tags}
        places = self._places(request, types)
        _check_fleet(places)
        return LaunchSpec(
            image_id=image.image_id,
            root_device=image.root_device,
            root_gib=max(image.root_gib, self.settings.root_volume_gib),
            places=in_one_fleet(places) if by_fleet else places,
            security_groups=request.security_groups or (self.settings.security_group,),
            instance_profile_arn=self.deployment.legacy_profile_arn
            if request.legacy
            else self.settings.instance_profile_arn,
            key_name=request.key_name,
            tags=tuple(sorted(all_tags.items())),
            user_data=b"" if request.legacy else compose(user_part=user_part(request)),
            road=Road.FLEET if by_fleet else Road.RUN_INSTANCES,
            market=Market(request.market),
            fallback=request.fallback is not None,
            max_price=request.max_price or "",
            in_order=request.requirements is None,
            weights=tuple(sorted(weights.items())),
            legacy=request.legacy,
        )

    def _spot_fleet(
        self,
        request: StartRequest,
        compose: Callable[..., bytes],
        ours: Mapping[str, str],
        now: datetime,
    ) -> LaunchSpec:
        """The user's own Spot Fleet; its templates hold what else is in a launch."""
        terms = Terms(
            slots=units(request),
            now=now,
            fleet_role=self.settings.spot_fleet_role_arn,
            profile_arn=self.settings.instance_profile_arn,
            key_names=self.settings.key_names,
            our_tags=ours,
            user_tags=request.tags,
            # A configuration may have many specifications, and most of them the same user data.
            compose=lru_cache(lambda part: compose(user_part=part)),
            default_image=lru_cache(partial(self._default_image, "x86_64")),
        )
        found = spot_fleet(request.spot_fleet_config or "", terms, self.catalog)
        return LaunchSpec(
            image_id="",
            root_device="",
            root_gib=0,
            places=found.places,
            security_groups=(),
            instance_profile_arn=self.settings.instance_profile_arn,
            key_name=None,
            tags=tuple(sorted(terms.tags.items())),
            user_data=b"",
            road=Road.SPOT_FLEET,
            market=Market.SPOT,
            weights=found.weights,
            spot_fleet=found.fleet,
            notes=found.notes,
        )

    def _types(self, request: StartRequest, image: Image | None) -> Mapping[str, InstanceType]:
        """The types by name, in order, or those that have what is required, small ones first."""
        if request.requirements is None:
            names = request.instance_types or (self.settings.default_instance_type,)
            known = self.catalog.types(names)
            unknown = [one for one in names if one not in known]
            if unknown:
                raise BadRequest(f"EC2 has no instance type {', '.join(unknown)} in this region.")
            return {one: known[one] for one in names}
        asked = request.requirements
        required = Requirements(
            (asked.cpus_min, asked.cpus_max), (asked.memory_mib_min, asked.memory_mib_max)
        )
        fitting = self.catalog.types_with(required, image.architecture if image else "x86_64")
        if not fitting:
            raise BadRequest(
                "EC2 has no current instance type with these CPUs and this memory: widen the range."
            )
        known = self.catalog.types(fitting)
        ordered = sorted(known, key=lambda one: (known[one].vcpus, one))
        return {one: known[one] for one in ordered[:_MOST_TYPES]}

    def _image(self, image_id: str) -> Image:
        image = self.catalog.image(image_id)
        if image is None:
            raise BadRequest(
                f"There is no AMI {image_id} in this region that this account can use."
            )
        return image

    def _fitting(self, image: Image | None, types: Mapping[str, InstanceType]) -> Image:
        """The user's own image, if it runs on the types, or the default one that does."""
        architecture = _architecture(types)
        if image is None:
            return self._image(self._default_image(architecture))
        if image.architecture != architecture:
            raise BadRequest(
                f"AMI {image.image_id} is {image.architecture}, but {', '.join(types)} is "
                f"{architecture}: choose another AMI or type."
            )
        return image

    def _default_image(self, architecture: str) -> str:
        parameter = self.settings.image_parameter.replace("{arch}", _DEBIAN[architecture])
        return self.catalog.published_image(parameter)

    def _places(self, request: StartRequest, types: Iterable[str]) -> tuple[Place, ...]:
        wanted = request.subnets or self.settings.subnets
        if not wanted:
            raise NotSetUp(
                "No subnets are configured: the administrator runs annex-client setup --subnets."
            )
        found = self.catalog.subnets(wanted)
        usable = []
        for subnet_id in wanted:
            subnet = found.get(subnet_id)
            if subnet is None:
                raise BadRequest(f"There is no subnet {subnet_id} in this region.")
            if subnet.way_out is None:
                raise BadRequest(
                    f"Subnet {subnet_id} has no way out: its route table leads neither to an "
                    "internet gateway nor to a NAT, and its machines could not reach the pool."
                )
            if request.legacy and subnet.way_out != "public":
                continue  # the image insists on a public address of its own
            usable.append(subnet)
        if not usable:
            raise BadRequest(
                "A legacy AMI needs a public IPv4 address, and none of the subnets gives one."
            )
        # Zones first: another zone of the type asked for is nearer than another type.
        return tuple(
            Place(one, subnet.subnet_id, subnet.zone, subnet.way_out == "public")
            for one in types
            for subnet in usable
        )


def _architecture(types: Mapping[str, InstanceType]) -> str:
    """What all of the types run. Raises BadRequest where there is nothing."""
    common = [a for a in _DEBIAN if all(a in kind.architectures for kind in types.values())]
    if common:
        return common[0]
    if len(types) == 1:
        raise BadRequest(f"{', '.join(types)} is neither x86_64 nor arm64; choose another type.")
    raise BadRequest(
        f"{', '.join(types)} have no architecture in common, and one AMI cannot serve both: start "
        "two annexes."
    )


def _check_fleet(places: Sequence[Place]) -> None:
    """Whether one fleet can be asked for all of them. Raises BadRequest."""
    found = in_one_fleet(places)
    if len(found) > _MOST_PLACES:
        types = len({place.instance_type for place in found})
        zones = len({place.zone for place in found})
        raise BadRequest(
            f"{types} instance types in {zones} zones are {len(found)} places to start machines "
            f"in, and EC2 takes {_MOST_PLACES} in one call: name fewer types or subnets."
        )
