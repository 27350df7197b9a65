"""A user's own SpotFleetRequestConfig, translated into a Spot Fleet of ours.

A launch specification cannot carry what leases need (IMDSv2, tags in metadata, how a machine shuts
down), and overrides cannot change a template's user data or profile. So every specification and
every template version becomes a launch template of ours, and what chooses types, places, weights
and prices becomes its overrides. `spot_fleet_fields` says what becomes of each field.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import tags
from .errors import BadRequest, NotSetUp
from .fleet_json import parsed, passed_on, read
from .launch import SpotFleet
from .spot_fleet_fields import REQUEST
from .spot_fleet_pools import images_of, places_of, pools_of, subnets_of
from .spot_fleet_template import Terms, at, hardened, pairs_of, specified
from .spot_fleet_weights import told_apart, weights_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .launch import Place
    from .model import Image
    from .ports import Catalog
    from .spot_fleet_pools import Pools

_REQUEST = "spot-fleet-request"
_WRAPPER = "SpotFleetRequestConfig"
_TUTORIAL_IMAGE, _TUTORIAL_ROOT = "ami-cd5f95b0", "/dev/xvda"
# What the console and AWS's guide call the fleet role (EC2 User Guide, 'Spot Fleet permissions').
_CONSOLE_ROLES = ("aws-ec2-spot-fleet-tagging-role", "aws-ec2-spot-fleet-role")
# DynamoDB takes 400 KB an item; what else is in a record: `record_room`.
_MOST_BYTES = 180_000


@dataclass(frozen=True, slots=True)
class Translated:
    """A fleet, where it would be and what a machine of each type counts for; notes for the user.

    The type '' stands for those that EC2 chooses, of which a machine counts one; places are for
    people, and lack what the configuration does not say.
    """

    fleet: SpotFleet
    places: tuple[Place, ...]
    weights: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]


def spot_fleet(text: str, terms: Terms, catalog: Catalog) -> Translated:
    """Translate `aws ec2 request-spot-fleet`'s JSON, also within {"SpotFleetRequestConfig": ...}.

    Raises BadRequest, its message beginning with the field; NotSetUp without a fleet role.
    """
    notes: list[str] = []
    asked = read(_unwrapped(parsed(text, "The Spot Fleet configuration")), REQUEST, "", notes)
    _check_request(asked, terms, notes)
    _replace_tutorial_image(asked, terms, notes)
    pools = pools_of(asked, catalog, notes)
    images, subnets = images_of(pools, catalog), subnets_of(pools, catalog)
    weights = weights_of(pools)
    pools = told_apart(pools, weights, notes)
    fleet = _fleet(asked, pools, images, terms, notes)
    return Translated(fleet, places_of(pools, subnets), weights, tuple(dict.fromkeys(notes)))


def _unwrapped(given: dict[str, Any]) -> dict[str, Any]:
    """The configuration itself; AWS's guide has fields beside the wrapper, too."""
    if given.pop("DryRun", False):
        raise BadRequest("DryRun: ask for a dry run of the annex itself (--dry-run).")
    inner = given.get(_WRAPPER)
    if inner is None:
        return given
    if not isinstance(inner, dict):
        raise BadRequest(f"{_WRAPPER}: must be a structure in braces.")
    beside = {name: value for name, value in given.items() if name != _WRAPPER}
    twice = sorted(beside.keys() & inner.keys())
    if twice:
        raise BadRequest(f"{twice[0]}: is there twice, in {_WRAPPER} and beside it.")
    return {**beside, **inner}


def _check_request(asked: Mapping[str, Any], terms: Terms, notes: list[str]) -> None:
    if not terms.fleet_role:
        raise NotSetUp(
            "There is no Spot Fleet role in the settings (spot_fleet_role_arn): the administrator "
            "runs annex-client setup again."
        )
    _check_role(asked.get("IamFleetRole", terms.fleet_role), terms.fleet_role, notes)
    if asked.get("TargetCapacity", terms.slots) != terms.slots:
        notes.append(
            f"TargetCapacity: {terms.slots}, the slots asked for, not {asked['TargetCapacity']}."
        )
    if asked.get("OnDemandTargetCapacity", 0) > terms.slots:
        raise BadRequest(
            f"OnDemandTargetCapacity: {asked['OnDemandTargetCapacity']} are more than the "
            f"{terms.slots} slots asked for."
        )
    if asked.get("ValidFrom", terms.now) > terms.now:
        raise BadRequest(
            "ValidFrom: lies in the future, and an annex starts at once; leave it out."
        )


def _replace_tutorial_image(asked: Mapping[str, Any], terms: Terms, notes: list[str]) -> None:
    """The default image instead, with a root volume of its own: on demand it is the same."""
    for one in asked.get("LaunchSpecifications", []):
        if one.get("ImageId") == _TUTORIAL_IMAGE:
            one["ImageId"] = terms.default_image()
            devices = one.get("BlockDeviceMappings", [])
            one["BlockDeviceMappings"] = [
                each for each in devices if each.get("DeviceName") != _TUTORIAL_ROOT
            ]
            notes.append(
                f"ImageId: {_TUTORIAL_IMAGE} is the tutorial's image of 2017, which no longer "
                "works; the default image and its root volume are used instead."
            )


def _check_role(role: str, our_role: str, notes: list[str]) -> None:
    if role == our_role:
        return
    consoles = [f"{our_role.partition(':role/')[0]}:role/{name}" for name in _CONSOLE_ROLES]
    if role not in consoles:
        raise BadRequest(
            f"IamFleetRole: an annex's fleets have {our_role} and no other role; choose it, or "
            "leave it out."
        )
    notes.append(f"IamFleetRole: {our_role}, not the console's own.")


def _fleet(
    asked: Mapping[str, Any],
    pools: Sequence[Pools],
    images: Mapping[str, Image],
    terms: Terms,
    notes: list[str],
) -> SpotFleet:
    """Equal templates are one, and so are the configurations of it."""
    configs: dict[str, list[dict[str, Any]]] = {}
    for one in pools:
        data = hardened(one.data, one.path, images[one.data["ImageId"]], terms, notes)
        overrides = configs.setdefault(_compact(data), [])
        overrides += [it for _, it in one.overrides if it not in overrides]
    templates = tuple(configs)
    config = passed_on(asked, REQUEST)
    config.pop("LaunchSpecifications", None)
    config |= {
        "IamFleetRole": terms.fleet_role,
        "LaunchTemplateConfigs": [
            {"Template": number, **({"Overrides": overrides} if overrides else {})}
            for number, overrides in enumerate(configs.values())
        ],
        "Type": "request",
        "TerminateInstancesWithExpiration": False,
        "ReplaceUnhealthyInstances": False,
        "TagSpecifications": [_request_tags(asked, terms)],
    }
    fleet = SpotFleet(templates, _compact(config))
    size = len(fleet.config) + sum(len(one) for one in templates)
    if size > _MOST_BYTES:
        raise BadRequest(
            f"The Spot Fleet configuration is {size} bytes with the annex's user data in each of "
            f"its {len(templates)} templates, and {_MOST_BYTES} are the limit: use fewer different "
            "launch specifications, or smaller user data."
        )
    return fleet


def _request_tags(asked: Mapping[str, Any], terms: Terms) -> dict[str, Any]:
    found: dict[str, str] = {}
    for number, one in enumerate(asked.get("TagSpecifications", [])):
        path = f"TagSpecifications[{number}]"
        if one.get("ResourceType", _REQUEST) != _REQUEST:
            raise BadRequest(
                f"{path}.ResourceType: only {_REQUEST} can be tagged here; machines are tagged in "
                "the launch specification or template."
            )
        found |= pairs_of(one.get("Tags", []), path)
        with at(path):
            tags.check_reserved(found)
    return specified(_REQUEST, {**terms.our_tags, **found, **terms.user_tags})


def _compact(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
