"""From a user's launch specification or launch template to a template of ours.

What the user says of image, disks and network stays; what leases and safety hang on is ours.
"""

from __future__ import annotations

import base64
import binascii
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import tags
from .admission import check_key_name
from .errors import BadRequest
from .fleet_json import passed_on
from .spot_fleet_fields import TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from .model import Image

_METADATA = {
    "HttpTokens": "required",
    "HttpPutResponseHopLimit": 1,
    "HttpEndpoint": "enabled",
    "InstanceMetadataTags": "enabled",
}
_TAGGED_BY_US = ("instance", "volume")


@dataclass(frozen=True, slots=True)
class Terms:
    """What deployment and request say, whatever the configuration does.

    `tags` are ours and those of the request, which go on everything; `compose` makes user data
    around a user's own part, or raises BadRequest. `key_names` of None are all key pairs;
    `default_image` is the deployment's for x86_64.
    """

    slots: int
    now: datetime
    fleet_role: str
    profile_arn: str
    key_names: tuple[str, ...] | None
    our_tags: Mapping[str, str]
    user_tags: Mapping[str, str]
    compose: Callable[[bytes | None], bytes] = field(repr=False)
    default_image: Callable[[], str]

    @property
    def tags(self) -> dict[str, str]:
        """What goes on everything."""
        return {**self.our_tags, **self.user_tags}


def template_of(specification: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a launch specification that belongs into a template, as a template has it."""
    same = [*("BlockDeviceMappings", "EbsOptimized", "IamInstanceProfile", "ImageId", "KernelId")]
    same += ["KeyName", "Monitoring", "NetworkInterfaces", "TagSpecifications", "UserData"]
    data = {name: specification[name] for name in same if name in specification}
    if "RamdiskId" in specification:
        data["RamDiskId"] = specification["RamdiskId"]
    groups = specification.get("SecurityGroups", [])
    ids = [one["GroupId"] for one in groups if "GroupId" in one]
    names = [one["GroupName"] for one in groups if "GroupName" in one and "GroupId" not in one]
    data |= {
        key: found for key, found in (("SecurityGroupIds", ids), ("SecurityGroups", names)) if found
    }
    placement = specification.get("Placement", {})
    kept = {name: placement[name] for name in ("GroupName", "Tenancy") if name in placement}
    return {**data, "Placement": kept} if kept else data


def hardened(
    data: Mapping[str, Any], path: str, image: Image, terms: Terms, notes: list[str]
) -> dict[str, Any]:
    """The LaunchTemplateData that EC2 gets. Raises BadRequest, naming the field under `path`."""
    _check_profile(data.get("IamInstanceProfile", {}), f"{path}.IamInstanceProfile", terms)
    if "KeyName" in data:
        with at(f"{path}.KeyName"):
            check_key_name(data["KeyName"], terms.key_names)
    if data.get("Placement", {}).get("Tenancy") == "host":
        raise BadRequest(f"{path}.Placement.Tenancy: spot machines have no hosts of their own.")
    result = passed_on(data, TEMPLATE)
    result |= {
        "IamInstanceProfile": {"Arn": terms.profile_arn},
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {**result.get("MetadataOptions", {}), **_METADATA},
        "BlockDeviceMappings": _devices(data, result, path, image),
        "TagSpecifications": _tagged(data, path, terms),
        "UserData": _user_data(data, path, terms),
    }
    if "IamInstanceProfile" not in data:
        notes.append(f"The machines get the instance profile {terms.profile_arn}.")
    for name in ("NetworkInterfaces", "SecondaryInterfaces"):
        for interface in result.get(name, []):
            interface["DeleteOnTermination"] = True
    return result


def _check_profile(profile: Mapping[str, str], path: str, terms: Terms) -> None:
    """Machines get the deployment's role: a configuration is no way to another one."""
    allowed = {"Arn": terms.profile_arn, "Name": terms.profile_arn.rpartition("/")[2]}
    for name, value in profile.items():
        if value != allowed[name]:
            raise BadRequest(
                f"{path}.{name}: machines of an annex have {terms.profile_arn} and no other "
                "profile; choose it, or leave it out."
            )


def _devices(
    data: Mapping[str, Any], result: Mapping[str, Any], path: str, image: Image
) -> list[dict[str, Any]]:
    """The disks: each goes with its machine and is encrypted, unless a snapshot decides."""
    devices: list[dict[str, Any]] = []
    given = data.get("BlockDeviceMappings", [])
    for number, (device, original) in enumerate(
        zip(result.get("BlockDeviceMappings", []), given, strict=True)
    ):
        here = f"{path}.BlockDeviceMappings[{number}].Ebs"
        if "Ebs" in device:
            root = device.get("DeviceName") == image.root_device
            if root and device["Ebs"].get("VolumeSize", image.root_gib) < image.root_gib:
                raise BadRequest(
                    f"{here}.VolumeSize: the root volume of {image.image_id} has {image.root_gib} "
                    "GiB and cannot be smaller."
                )
            ebs = _disk(device["Ebs"], image if root else None, here)
            if "SnapshotId" in ebs:
                ebs.pop("Encrypted", None)
                # Encrypting a copy may be asked for; encryption cannot be taken off.
                if original["Ebs"].get("Encrypted"):
                    ebs["Encrypted"] = True
            device = {**device, "Ebs": ebs}  # noqa: PLW2901
        devices.append(device)
    if not any(one.get("DeviceName") == image.root_device for one in devices):
        ebs = {"DeleteOnTermination": True, "Encrypted": True}
        devices.append({"DeviceName": image.root_device, "Ebs": ebs})
    return devices


def _disk(ebs: dict[str, Any], root_of: Image | None, path: str) -> dict[str, Any]:
    ebs = {**ebs, "DeleteOnTermination": True, "Encrypted": True}
    if root_of is None or not root_of.root_snapshot:
        return ebs
    # EC2 User Guide, 'Block device mappings': of a root volume only size, type and
    # DeleteOnTermination can be said, so its snapshot is the image's own or wrong.
    if ebs.pop("SnapshotId", root_of.root_snapshot) != root_of.root_snapshot:
        raise BadRequest(
            f"{path}.SnapshotId: the root volume of {root_of.image_id} comes from "
            f"{root_of.root_snapshot}; leave it out."
        )
    return ebs


def _tagged(data: Mapping[str, Any], path: str, terms: Terms) -> list[dict[str, Any]]:
    """The user's tags with ours: those of machines and disks must be ours too."""
    found: dict[str, dict[str, str]] = {kind: {} for kind in _TAGGED_BY_US}
    for number, one in enumerate(data.get("TagSpecifications", [])):
        here = f"{path}.TagSpecifications[{number}]"
        pairs = pairs_of(one.get("Tags", []), here)
        kind = one.get("ResourceType", "instance")
        with at(here):
            tags.check_reserved(pairs)
            if kind == "instance":
                tags.check_user_tags({**pairs, **terms.user_tags})
        found[kind] = {**found.get(kind, {}), **pairs}
    return [
        specified(
            kind, {**terms.our_tags, **own, **terms.user_tags} if kind in _TAGGED_BY_US else own
        )
        for kind, own in found.items()
        if own or kind in _TAGGED_BY_US
    ]


def _user_data(data: Mapping[str, Any], path: str, terms: Terms) -> str:
    part = None
    if "UserData" in data:
        try:
            part = base64.b64decode("".join(data["UserData"].split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadRequest(f"{path}.UserData: is not base64.") from error
    with at(f"{path}.UserData"):
        return base64.b64encode(terms.compose(part or None)).decode()


def pairs_of(listed: list[Mapping[str, str]], path: str) -> dict[str, str]:
    """A list of tags as a mapping. Raises BadRequest."""
    if any("Key" not in one for one in listed):
        raise BadRequest(f"{path}.Tags: a tag without a Key.")
    return {one["Key"]: one.get("Value", "") for one in listed}


def specified(kind: str, pairs: Mapping[str, str]) -> dict[str, Any]:
    """A TagSpecification."""
    return {"ResourceType": kind, "Tags": tags.listed(sorted(pairs.items()))}


@contextmanager
def at(path: str) -> Iterator[None]:
    """Let a refusal name the field."""
    try:
        yield
    except BadRequest as error:
        raise BadRequest(f"{path}: {error.message}") from error
