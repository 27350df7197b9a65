"""What EC2 is asked for when machines are started, directly or through a launch template."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from .launch import Market
from .tags import listed

if TYPE_CHECKING:
    from .launch import Attempt, LaunchSpec


def run_instances_request(spec: LaunchSpec, attempt: Attempt) -> dict[str, Any]:
    """The RunInstances call of an attempt: the same values, and the same call, at every repeat.

    An attempt without a place of its own is asked for in the launch's first one: a rehearsal.
    """
    place = attempt.place or spec.places[0]
    request = _machine(spec, public=place.public_address)
    (interface,) = request["NetworkInterfaces"]
    interface["SubnetId"] = place.subnet_id
    request |= {
        "ClientToken": attempt.client_token,
        "InstanceType": place.instance_type,
        # What there is, up to what is asked: the rest is tried elsewhere.
        "MinCount": 1,
        "MaxCount": attempt.count,
    }
    if not spec.legacy:
        request["UserData"] = spec.user_data  # botocore makes it base64
    if attempt.market is Market.SPOT:
        request["InstanceMarketOptions"] = {"MarketType": "spot"}
    return request


def template_data(spec: LaunchSpec, market: Market, *, public: bool) -> dict[str, Any]:
    """The LaunchTemplateData for an attempt; type, subnet, price come with the fleet's overrides.

    Here the user data is base64 already: botocore leaves a template's alone. Where no spot
    machine is asked for, EC2 refuses tags for spot requests.
    """
    data = _machine(spec, public=public)
    data["UserData"] = base64.b64encode(spec.user_data).decode()
    if market is Market.SPOT:
        (machines, *_) = data["TagSpecifications"]
        data["TagSpecifications"].append({**machines, "ResourceType": "spot-instances-request"})
    return data


def _machine(spec: LaunchSpec, *, public: bool) -> dict[str, Any]:
    tags = listed(spec.tags)
    request: dict[str, Any] = {
        "ImageId": spec.image_id,
        "IamInstanceProfile": {"Arn": spec.instance_profile_arn},
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {
            # Legacy images ask without a token, and configure nothing where one is required.
            "HttpTokens": "optional" if spec.legacy else "required",
            "HttpPutResponseHopLimit": 1,
            "HttpEndpoint": "enabled",
            "InstanceMetadataTags": "enabled",
        },
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "Groups": list(spec.security_groups),
                "AssociatePublicIpAddress": public,
                "DeleteOnTermination": True,
            }
        ],
        "BlockDeviceMappings": [
            {
                "DeviceName": spec.root_device,
                "Ebs": {
                    "Encrypted": True,
                    "DeleteOnTermination": True,
                    "VolumeType": "gp3",
                    "VolumeSize": spec.root_gib,
                },
            }
        ],
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")
        ],
    }
    if spec.key_name is not None:
        request["KeyName"] = spec.key_name
    return request
