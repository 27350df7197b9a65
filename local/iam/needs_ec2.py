"""The permissions that EC2 calls need, resource by resource.

Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon EC2";
EC2 User Guide, "Grant permission to tag Amazon EC2 resources during creation".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends

from local.callers import ACCOUNT
from local.iam.policy import Need

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local.call import Call

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
    "fleet": "fleet",
}
# Which parameter names the resource of an action that acts on existing things.
_ID_PARAMETERS = (
    "InstanceIds",
    "InstanceId",
    "GroupId",
    "VolumeId",
    "Resources",
    "LaunchTemplateId",
    "FleetIds",
    "SubnetId",
    "VpcId",
)


def needs(call: Call) -> list[Need]:
    """Every permission that the call needs."""
    if call.action == "RunInstances":
        return _run_instances(call)
    action = f"ec2:{call.action}"
    if call.action.startswith(("Describe", "Get", "List")):
        return [Need(action, "*", _region(call))]
    if call.action in {
        "CreateSecurityGroup",
        "CreateLaunchTemplate",
        "CreateFleet",
        "CreateVolume",
    }:
        return _creation(call)
    ids = _ids(call.params)
    if not ids:
        return [Need(action, "*", _region(call))]
    requested = _requested_tags(call.params.get("Tags") or ())
    return [
        Need(action, _arn(call, each), _region(call) | tags_of(call, each) | requested)
        for each in ids
    ]


def tags_of(call: Call, resource_id: str) -> dict[str, str]:
    """The condition keys that a resource's own tags give."""
    backend = ec2_backends[ACCOUNT][call.region]
    tags = backend.tags.get(resource_id, {})
    context = {}
    for key, value in tags.items():
        context[f"aws:ResourceTag/{key}"] = value
        context[f"ec2:ResourceTag/{key}"] = value
    return context


def _ids(params: Mapping[str, Any]) -> list[str]:
    for name in _ID_PARAMETERS:
        value = params.get(name)
        if value:
            return [value] if isinstance(value, str) else [str(each) for each in value]
    return []


def _arn(call: Call, resource_id: str) -> str:
    kind = _KIND_OF_ID.get(resource_id.partition("-")[0], "*")
    return f"arn:aws:ec2:{call.region}:{ACCOUNT}:{kind}/{resource_id}"


def _region(call: Call) -> dict[str, str]:
    return {"ec2:Region": call.region, "aws:RequestedRegion": call.region}


def _requested_tags(tags: Iterable[Mapping[str, Any]]) -> dict[str, str | tuple[str, ...]]:
    pairs = {str(tag.get("Key")): str(tag.get("Value", "")) for tag in tags}
    context: dict[str, str | tuple[str, ...]] = {
        f"aws:RequestTag/{key}": value for key, value in pairs.items()
    }
    if pairs:
        context["aws:TagKeys"] = tuple(pairs)
    return context


def _specified_tags(params: Mapping[str, Any]) -> dict[str, dict[str, str | tuple[str, ...]]]:
    specifications = params.get("TagSpecifications") or ()
    return {
        str(s.get("ResourceType")): _requested_tags(s.get("Tags") or ()) for s in specifications
    }


def _creation(call: Call) -> list[Need]:
    kind = {
        "CreateSecurityGroup": "security-group",
        "CreateLaunchTemplate": "launch-template",
        "CreateFleet": "fleet",
        "CreateVolume": "volume",
    }[call.action]
    arn = f"arn:aws:ec2:{call.region}:{ACCOUNT}:{kind}/*"
    tags = _specified_tags(call.params).get(kind, {})
    found = [Need(f"ec2:{call.action}", arn, _region(call) | tags)]
    if call.params.get("VpcId"):
        found.append(Need(f"ec2:{call.action}", _arn(call, call.params["VpcId"]), _region(call)))
    if tags:
        found.append(Need("ec2:CreateTags", arn, {**tags, "ec2:CreateAction": call.action}))
    return found


def _run_instances(call: Call) -> list[Need]:
    params, base = call.params, f"arn:aws:ec2:{call.region}:{ACCOUNT}"
    common, tags = _region(call), _specified_tags(params)
    action = "ec2:RunInstances"
    instance: dict[str, str | tuple[str, ...]] = {
        **common,
        "ec2:InstanceType": str(params.get("InstanceType", "m1.small")),
        "ec2:MetadataHttpTokens": str(
            params.get("MetadataOptions", {}).get("HttpTokens", "optional")
        ),
        "ec2:InstanceMarketType": "spot" if params.get("InstanceMarketOptions") else "on-demand",
        **tags.get("instance", {}),
    }
    role, profile = _profile(params)
    if profile:
        instance["ec2:InstanceProfile"] = profile
    interfaces = params.get("NetworkInterfaces") or ()
    subnets = _listed(params, interfaces, "SubnetId") or ["*"]
    groups = [*(params.get("SecurityGroupIds") or ())] + [
        g for n in interfaces for g in n.get("Groups", ())
    ]
    found = [
        Need(action, f"arn:aws:ec2:{call.region}::image/{params.get('ImageId')}", common),
        Need(action, f"{base}:instance/*", instance),
        Need(action, f"{base}:volume/*", common | tags.get("volume", {})),
        Need(action, f"{base}:network-interface/*", common | tags.get("network-interface", {})),
    ]
    found += [
        Need(action, f"{base}:subnet/{each}", common | tags_of(call, each)) for each in subnets
    ]
    found += [
        Need(action, f"{base}:security-group/{each}", common | tags_of(call, each))
        for each in groups or ["*"]
    ]
    if params.get("KeyName"):
        found.append(Need(action, f"{base}:key-pair/{params['KeyName']}", common))
    for kind, context in tags.items():
        created = {**common, **context, "ec2:CreateAction": "RunInstances"}
        found.append(Need("ec2:CreateTags", f"{base}:{kind}/*", created))
    if role:
        found.append(Need("iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"}))
    return found


def _listed(
    params: Mapping[str, Any], interfaces: Iterable[Mapping[str, Any]], key: str
) -> list[str]:
    values = [params.get(key), *(interface.get(key) for interface in interfaces)]
    return [str(value) for value in values if value]


def _profile(params: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """(role ARN, instance profile ARN) of a launch; an unknown profile passes no role."""
    wanted = params.get("IamInstanceProfile") or {}
    for profile in list(iam_backends[ACCOUNT]["aws"].instance_profiles.values()):
        if wanted and (profile.arn == wanted.get("Arn") or profile.name == wanted.get("Name")):
            role = profile.roles[0].arn if profile.roles else None
            return role, profile.arn
    return None, None
