"""ARNs and condition keys of EC2's resources, as far as policies here name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends

from local.callers import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Keys = dict[str, "str | tuple[str, ...]"]

_KIND_OF_ID = {
    "i": "instance",
    "vol": "volume",
    "sg": "security-group",
    "subnet": "subnet",
    "vpc": "vpc",
    "eni": "network-interface",
    "lt": "launch-template",
    "key": "key-pair",
    "snap": "snapshot",
    "sir": "spot-instances-request",
    "sfr": "spot-fleet-request",
    "fleet": "fleet",
}


def arn(region: str, resource_id: str) -> str:
    """The ARN of a resource by its id."""
    kind = _KIND_OF_ID.get(resource_id.partition("-")[0], "*")
    return f"arn:aws:ec2:{region}:{ACCOUNT}:{kind}/{resource_id}"


def in_region(region: str) -> Keys:
    """What every request to EC2 has."""
    return {"ec2:Region": region, "aws:RequestedRegion": region}


def tags_of(region: str, resource_id: str) -> Keys:
    """The condition keys that a resource's own tags give."""
    context: Keys = {}
    for key, value in ec2_backends[ACCOUNT][region].tags.get(resource_id, {}).items():
        context[f"aws:ResourceTag/{key}"] = value
        context[f"ec2:ResourceTag/{key}"] = value
    return context


def requested_tags(tags: Iterable[Mapping[str, Any]]) -> Keys:
    """The condition keys of tags that a request gives."""
    pairs = {str(tag.get("Key")): str(tag.get("Value", "")) for tag in tags}
    context: Keys = {f"aws:RequestTag/{key}": value for key, value in pairs.items()}
    if pairs:
        context["aws:TagKeys"] = tuple(pairs)
    return context


def specified_tags(params: Mapping[str, Any]) -> dict[str, Keys]:
    """The same for each type of resource in TagSpecifications."""
    specifications = params.get("TagSpecifications") or ()
    return {str(s.get("ResourceType")): requested_tags(s.get("Tags") or ()) for s in specifications}
