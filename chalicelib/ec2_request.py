"""What EC2 is asked for when machines are started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .model import Attempt, LaunchSpec


def run_instances_request(spec: LaunchSpec, attempt: Attempt) -> dict[str, Any]:
    """The RunInstances call of an attempt: the same values, and the same call, at every repeat."""
    tags = [{"Key": key, "Value": value} for key, value in spec.tags]
    request: dict[str, Any] = {
        "ClientToken": attempt.client_token,
        "ImageId": spec.image_id,
        "InstanceType": attempt.place.instance_type,
        # What there is, up to what is asked: the rest is tried elsewhere.
        "MinCount": 1,
        "MaxCount": attempt.count,
        "UserData": spec.user_data,  # botocore makes it base64
        "IamInstanceProfile": {"Arn": spec.instance_profile_arn},
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
            "HttpEndpoint": "enabled",
            "InstanceMetadataTags": "enabled",
        },
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "SubnetId": attempt.place.subnet_id,
                "Groups": list(spec.security_groups),
                "AssociatePublicIpAddress": attempt.place.public_address,
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
