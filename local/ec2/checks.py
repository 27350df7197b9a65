"""What RunInstances refuses before it starts anything, in EC2's own codes.

Source: "Error codes for the Amazon EC2 API" and RunInstances in the EC2 API reference.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from moto.iam.models import iam_backends

from local.callers import ACCOUNT
from local.ec2 import shapes
from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

USER_DATA_BYTES = 16384  # "User data is limited to 16 KB, in raw form" (EC2 User Guide)
# "Instance tag keys can only include letters, digits, and + - = . , _ : @" (View tags for your EC2
# instances using instance metadata).
_READABLE = re.compile(r"[0-9a-zA-Z\-_+=,.@:]{1,255}")
_RESERVED = {".", "..", "_index"}
_ID = "[0-9a-f]{8}(?:[0-9a-f]{9})?"


def check_launch(backend: Any, params: Mapping[str, Any], zone: str) -> None:
    """Refuse a launch that EC2 would refuse.

    Raises:
        AwsError: with EC2's own code.
    """
    counts = int(params.get("MinCount", 1)), int(params.get("MaxCount", 1))
    if not 1 <= counts[0] <= counts[1]:
        raise AwsError("InvalidParameterValue", f"Invalid instance counts: {counts[0]}-{counts[1]}")
    architecture = _check_image(backend, params.get("ImageId"))
    _check_type(params.get("InstanceType", "m1.small"), architecture, zone)
    _check_groups(backend, params)
    _check_key(backend, params.get("KeyName"))
    profile_of(params.get("IamInstanceProfile") or {})
    check_user_data(params.get("UserData"))
    market = params.get("InstanceMarketOptions") or {}
    _check_market(market)
    options = params.get("MetadataOptions") or {}
    for specification in params.get("TagSpecifications") or ():
        tags = specification.get("Tags") or ()
        check_tags(tags)
        if specification.get("ResourceType") == "spot-instances-request" and not market:
            # Told by users of fleets that fell back to on-demand machines.
            message = (
                "You cannot specify tags for Spot instances requests if there are no Spot "
                "instances requests being created by the request."
            )
            raise AwsError("InvalidParameterValue", message)
        if specification.get("ResourceType") == "instance":
            check_readable(options.get("InstanceMetadataTags"), tags)


def zone_of(backend: Any, params: Mapping[str, Any]) -> str:
    """Where the launch goes: the subnet's zone, the zone asked for, or EC2's choice (the first).

    Raises:
        AwsError: InvalidSubnetID.NotFound, InvalidParameterValue.
    """
    subnet_id = subnet_of(params)
    if subnet_id:
        subnet = _all(backend, "subnets").get(subnet_id)
        if subnet is None:
            message = f"The subnet ID '{subnet_id}' does not exist"
            raise AwsError("InvalidSubnetID.NotFound", message)
        return str(subnet.availability_zone)
    zone = (params.get("Placement") or {}).get("AvailabilityZone")
    names = {subnet.availability_zone for subnet in _all(backend, "subnets").values()}
    if zone and zone not in names:
        raise AwsError("InvalidParameterValue", f"Invalid availability zone: [{zone}]")
    return str(zone or f"{backend.region_name}a")


def zone_by_id(backend: Any, zone_id: str) -> str:
    """The zone with this id, as this account names it.

    Raises:
        AwsError: InvalidParameterValue.
    """
    for subnet in _all(backend, "subnets").values():
        if subnet.availability_zone_id == zone_id:
            return str(subnet.availability_zone)
    raise AwsError("InvalidParameterValue", f"Invalid availability zone-id: [{zone_id}]")


def profile_of(wanted: Mapping[str, str]) -> Any:
    """The instance profile that a launch names, by ARN or name; None where it names none.

    Raises:
        AwsError: InvalidParameterValue where there is no such profile.
    """
    profiles = list(iam_backends[ACCOUNT]["aws"].instance_profiles.values())
    found = None
    for field, attribute in (("Arn", "arn"), ("Name", "name")):
        value = wanted.get(field)
        if not value:
            continue
        found = next((each for each in profiles if getattr(each, attribute) == value), None)
        if found is None:
            raise AwsError(
                "InvalidParameterValue",
                f"Value ({value}) for parameter iamInstanceProfile.{attribute} is invalid. "
                f"Invalid IAM Instance Profile {'ARN' if attribute == 'arn' else attribute}",
            )
    return found


def subnet_of(params: Mapping[str, Any]) -> str | None:
    """The subnet that a launch names, or None."""
    interfaces = params.get("NetworkInterfaces") or ()
    named = [params.get("SubnetId"), *(each.get("SubnetId") for each in interfaces)]
    return next((str(each) for each in named if each), None)


def check_tags(tags: Iterable[Mapping[str, Any]]) -> None:
    """Refuse tags that no resource may have ("Tag restrictions", EC2 User Guide)."""
    pairs = [(str(tag.get("Key", "")), str(tag.get("Value", ""))) for tag in tags]
    if len(pairs) > 50:  # noqa: PLR2004 (the document's figure)
        raise AwsError(
            "TagLimitExceeded", "The maximum number of tags for the resource has been reached"
        )
    for key, value in pairs:
        if key.lower().startswith("aws:"):
            message = f"Tag keys starting with 'aws:' are reserved for internal use: {key}"
            raise AwsError("InvalidParameterValue", message)
        if not 1 <= len(key) <= 127 or len(value) > 255:  # noqa: PLR2004 (the document's figures)
            raise AwsError("InvalidParameterValue", f"Tag {key!r} is too long or empty.")


def check_readable(metadata_tags: str | None, tags: Iterable[Mapping[str, Any]]) -> None:
    """Refuse tag keys that cannot be read through the metadata service, where that is on."""
    if metadata_tags != "enabled":
        return
    for tag in tags:
        key = str(tag.get("Key", ""))
        if key in _RESERVED or not _READABLE.fullmatch(key):
            raise AwsError(
                "InvalidParameterValue",
                f"'{key}' is not a valid tag key. Tag keys must match pattern "
                f"({_READABLE.pattern}), and must not be a reserved name ('.', '..', '_index')",
            )


def check_ids(ids: Iterable[str], prefix: str = "i", code: str = "InvalidInstanceID") -> None:
    """Refuse ids that cannot be ids.

    Raises:
        AwsError: CODE.Malformed.
    """
    for each in ids:
        if not re.fullmatch(f"{prefix}-{_ID}", each):
            raise AwsError(f"{code}.Malformed", f'Invalid id: "{each}"')


def _all(backend: Any, kind: str) -> dict[str, Any]:
    """Subnets and groups by id: moto keeps them by zone and by VPC."""
    return {key: each for group in getattr(backend, kind).values() for key, each in group.items()}


def _check_image(backend: Any, image_id: str | None) -> str:
    if not image_id:
        raise AwsError("MissingParameter", "The request must contain the parameter ImageId")
    check_ids([image_id], "ami", "InvalidAMIID")
    image = backend.amis.get(image_id)
    if image is None:
        raise AwsError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
    return str(image.architecture)


def _check_type(instance_type: str, architecture: str, zone: str) -> None:
    if not shapes.exists(instance_type):
        raise AwsError(
            "InvalidParameterValue", f"Invalid value '{instance_type}' for InstanceType."
        )
    offered = shapes.architectures(instance_type)
    if architecture not in offered:
        raise AwsError(
            "InvalidParameterValue",
            f"The architecture '{', '.join(offered)}' of the specified instance type does not "
            f"match the architecture '{architecture}' of the specified AMI.",
        )
    zones = shapes.zones(zone[:-1], instance_type)
    if zone not in zones:
        raise AwsError(
            "Unsupported",
            f"Your requested instance type ({instance_type}) is not supported in your requested "
            f"Availability Zone ({zone}). Please retry your request by not specifying an "
            f"Availability Zone or choosing {', '.join(zones)}.",
        )


def _check_groups(backend: Any, params: Mapping[str, Any]) -> None:
    interfaces = params.get("NetworkInterfaces") or ()
    for field, what in (("SubnetId", "subnet ID"), ("SecurityGroupIds", "security groups")):
        if interfaces and params.get(field):
            message = (
                f"Network interfaces and an instance-level {what} may not be specified on the same "
                f"request"
            )
            raise AwsError("InvalidParameterCombination", message)
    names = {group.name for group in _all(backend, "groups").values()}
    for name in params.get("SecurityGroups") or ():
        if name not in names:
            message = f"The security group '{name}' does not exist in default VPC"
            raise AwsError("InvalidGroup.NotFound", message)
    ids = [*(params.get("SecurityGroupIds") or ())] + [
        g for n in interfaces for g in n.get("Groups") or ()
    ]
    subnet_id = subnet_of(params)
    subnet = _all(backend, "subnets").get(subnet_id or "")
    for group_id in ids:
        check_ids([group_id], "sg", "InvalidGroupId")
        group = _all(backend, "groups").get(group_id)
        if group is None:
            message = f"The security group '{group_id}' does not exist"
            raise AwsError("InvalidGroup.NotFound", message)
        if subnet is not None and group.vpc_id != subnet.vpc_id:
            message = (
                f"Security group {group_id} and subnet {subnet_id} belong to different networks."
            )
            raise AwsError("InvalidParameter", message)


def _check_key(backend: Any, key_name: str | None) -> None:
    if key_name and key_name not in backend.key_pairs:
        raise AwsError("InvalidKeyPair.NotFound", f"The key pair '{key_name}' does not exist")


def _check_market(market: Mapping[str, Any]) -> None:
    """One-time spot requests that end with a termination are all there is here."""
    if market and market.get("MarketType") != "spot":
        message = f"Invalid value '{market.get('MarketType')}' for marketType."
        raise AwsError("InvalidParameterValue", message)
    options = market.get("SpotOptions") or {}
    if options.get("SpotInstanceType", "one-time") != "one-time":
        raise AwsError("NotImplemented", "The local account has no persistent spot requests.")
    if options.get("InstanceInterruptionBehavior", "terminate") != "terminate":
        raise AwsError("NotImplemented", "The local account terminates what it reclaims.")


def check_user_data(encoded: str | None) -> None:
    """Refuse user data that is no base64, or too long.

    Raises:
        AwsError: InvalidParameterValue.
    """
    try:
        raw = base64.b64decode(encoded or "", validate=True)
    except binascii.Error:
        message = "Invalid BASE64 encoding of user data"
        raise AwsError("InvalidParameterValue", message) from None
    if len(raw) > USER_DATA_BYTES:
        message = f"User data is limited to {USER_DATA_BYTES} bytes"
        raise AwsError("InvalidParameterValue", message)
