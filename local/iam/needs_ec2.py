"""The permissions that EC2 calls need, resource by resource.

Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon EC2".
What a fleet launches is judged launch by launch, where it is launched (local/ec2/fleets.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends

from local.callers import ACCOUNT
from local.ec2 import templates
from local.iam.ec2_context import arn, in_region, requested_tags, specified_tags, tags_of
from local.iam.needs_launch import of_launch
from local.iam.policy import Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.call import Call

# Which parameter names the resource of an action that acts on existing things.
_ID_PARAMETERS = (
    "InstanceIds",
    "InstanceId",
    "GroupId",
    "VolumeId",
    "Resources",
    "LaunchTemplateId",
    "FleetIds",
    "FleetId",
    "SpotFleetRequestIds",
    "SpotFleetRequestId",
    "SpotInstanceRequestIds",
    "SubnetId",
    "VpcId",
)
_CREATIONS = {
    "CreateSecurityGroup": "security-group",
    "CreateLaunchTemplate": "launch-template",
    "CreateFleet": "fleet",
    "CreateVolume": "volume",
    "RequestSpotFleet": "spot-fleet-request",
}


def needs(call: Call) -> list[Need]:
    """Every permission that the call needs.

    Raises:
        AwsError: for a launch template that does not exist.
    """
    if call.action == "RunInstances":
        return _run_instances(call)
    action = f"ec2:{call.action}"
    if call.action.startswith(("Describe", "Get", "List")):
        return [Need(action, "*", in_region(call.region))]
    if call.action in _CREATIONS:
        return _creation(call)
    ids = _ids(call)
    if not ids:
        return [Need(action, "*", in_region(call.region))]
    requested = requested_tags(call.params.get("Tags") or ())
    return [
        Need(
            action,
            arn(call.region, each),
            in_region(call.region) | tags_of(call.region, each) | requested,
        )
        for each in ids
    ]


def _run_instances(call: Call) -> list[Need]:
    backend = ec2_backends[ACCOUNT][call.region]
    reference = call.params.get("LaunchTemplate")
    template_id = templates.find(backend, reference).id if reference else None
    return of_launch(call.region, templates.merged(backend, call.params), template_id)


def _ids(call: Call) -> list[str]:
    for name in _ID_PARAMETERS:
        value = call.params.get(name)
        if value:
            return [value] if isinstance(value, str) else [str(each) for each in value]
    if call.params.get("LaunchTemplateName"):
        return [templates.find(ec2_backends[ACCOUNT][call.region], call.params).id]
    return []


def _creation(call: Call) -> list[Need]:
    kind, action = _CREATIONS[call.action], f"ec2:{call.action}"
    config = call.params.get("SpotFleetRequestConfig") or call.params
    resource = f"arn:aws:ec2:{call.region}:{ACCOUNT}:{kind}/*"
    tags = specified_tags(config).get(kind, {})
    found = [Need(action, resource, in_region(call.region) | tags)]
    if call.params.get("VpcId"):
        found.append(Need(action, arn(call.region, call.params["VpcId"]), in_region(call.region)))
    found += _templates(call, config)
    if tags:
        found.append(Need("ec2:CreateTags", resource, {**tags, "ec2:CreateAction": call.action}))
    role = config.get("IamFleetRole")
    if role:
        passed = {"iam:PassedToService": "spotfleet.amazonaws.com"}
        found.append(Need("iam:PassRole", str(role), passed))
    return found


def _templates(call: Call, config: Mapping[str, Any]) -> list[Need]:
    """A fleet's own action on each launch template that it names."""
    backend = ec2_backends[ACCOUNT][call.region]
    ids = dict.fromkeys(
        templates.find(backend, each.get("LaunchTemplateSpecification") or {}).id
        for each in config.get("LaunchTemplateConfigs") or ()
    )
    return [
        Need(
            f"ec2:{call.action}",
            arn(call.region, each),
            in_region(call.region) | tags_of(call.region, each),
        )
        for each in ids
    ]
