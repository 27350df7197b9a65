"""The permissions that launches need, by whatever call they come: resource by resource.

Source: Service Authorization Reference, RunInstances, CreateFleet and RequestSpotFleet; EC2 User
Guide, "Grant permission to tag Amazon EC2 resources during creation" and "Spot Fleet permissions".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.iam.models import iam_backends

from local.callers import ACCOUNT
from local.iam.ec2_context import Keys, arn, in_region, specified_tags, tags_of
from local.iam.policy import Need

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def of_launch(
    region: str,
    params: Mapping[str, Any],
    template_id: str | None = None,
    actions: tuple[str, ...] = ("RunInstances",),
) -> list[Need]:
    """What a launch needs; `params` are RunInstances', with what a template says filled in.

    A fleet's launches need the fleet's own action on every resource, too.
    """
    found = [
        Need(f"ec2:{action}", resource, context)
        for resource, context in _resources(region, params, template_id)
        for action in actions
    ]
    for kind, tags in specified_tags(params).items():
        resource = f"arn:aws:ec2:{region}:{ACCOUNT}:{kind}/*"
        created: Keys = {**in_region(region), **tags}
        found += [
            Need("ec2:CreateTags", resource, {**created, "ec2:CreateAction": action})
            for action in actions
        ]
    role, _ = _profile(params)
    if role:
        found.append(Need("iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"}))
    return found


def _resources(
    region: str, params: Mapping[str, Any], template_id: str | None
) -> list[tuple[str, Keys]]:
    base = f"arn:aws:ec2:{region}:{ACCOUNT}"
    common, tags = in_region(region), specified_tags(params)
    if template_id:
        common["ec2:LaunchTemplate"] = arn(region, template_id)
    interfaces = params.get("NetworkInterfaces") or ()
    subnets = _listed(params, interfaces, "SubnetId") or ["*"]
    groups = [*(params.get("SecurityGroupIds") or ())] + [
        g for n in interfaces for g in n.get("Groups") or ()
    ]
    found = [
        (f"arn:aws:ec2:{region}::image/{params.get('ImageId')}", common),
        (f"{base}:instance/*", _instance(params, common | tags.get("instance", {}))),
        (f"{base}:volume/*", common | tags.get("volume", {})),
        (f"{base}:network-interface/*", common | tags.get("network-interface", {})),
    ]
    found += [(f"{base}:subnet/{each}", common | tags_of(region, each)) for each in subnets]
    found += [
        (f"{base}:security-group/{each}", common | tags_of(region, each)) for each in groups or "*"
    ]
    if params.get("KeyName"):
        found.append((f"{base}:key-pair/{params['KeyName']}", common))
    if template_id:
        found.append((arn(region, template_id), common | tags_of(region, template_id)))
    # Of an image's own snapshots nothing is asked, of those that the launch names itself it is
    # (github.com/terraform-aws-modules/terraform-aws-eks/issues/2648).
    disks = [each.get("Ebs") or {} for each in params.get("BlockDeviceMappings") or ()]
    found += [
        (f"arn:aws:ec2:{region}::snapshot/{each['SnapshotId']}", common)
        for each in disks
        if each.get("SnapshotId")
    ]
    # "EC2 doesn't need to evaluate the spot-instances-request resource" of requests without tags.
    spot = "spot-instances-request"
    if spot in tags:
        found.append((f"{base}:{spot}/*", common | tags[spot]))
    return found


def _instance(params: Mapping[str, Any], common: Keys) -> Keys:
    _, profile = _profile(params)
    tokens = (params.get("MetadataOptions") or {}).get("HttpTokens", "optional")
    return {
        **common,
        "ec2:InstanceType": str(params.get("InstanceType", "m1.small")),
        "ec2:MetadataHttpTokens": str(tokens),
        "ec2:InstanceMarketType": "spot" if params.get("InstanceMarketOptions") else "on-demand",
        **({"ec2:InstanceProfile": profile} if profile else {}),
    }


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
