"""What EC2 offers: types, images, and whether a subnet has a way out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from .aws_errors import code_of, translated
from .errors import NotSetUp
from .model import Image, InstanceType, Subnet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import (
        RouteTableTypeDef,
        VCpuCountRangeRequestTypeDef,
    )
    from mypy_boto3_ssm import SSMClient

    from .launch import Requirements

_NO_TEMPLATE = ("InvalidLaunchTemplate", "InvalidParameterValue")
_ANYWHERE = "0.0.0.0/0"
_FILTER_VALUES = 200  # EC2 API Reference, 'Filters'


class EC2Catalog:
    """`ports.Catalog` on EC2 and SSM's public parameters."""

    def __init__(self, ec2: EC2Client, ssm: SSMClient) -> None:
        self._ec2 = ec2
        self._ssm = ssm

    def types(self, names: Sequence[str]) -> Mapping[str, InstanceType]:
        found: dict[str, InstanceType] = {}
        for start in range(0, len(names), _FILTER_VALUES):
            # By filter: asked by name, one unknown type fails the whole call.
            values = list(names[start : start + _FILTER_VALUES])
            pages = self._ec2.get_paginator("describe_instance_types").paginate(
                Filters=[{"Name": "instance-type", "Values": values}]
            )
            with translated("look up instance types"):
                for one in (one for page in pages for one in page["InstanceTypes"]):
                    found[one["InstanceType"]] = InstanceType(
                        frozenset(one["ProcessorInfo"]["SupportedArchitectures"]),
                        one["VCpuInfo"]["DefaultVCpus"],
                    )
        return found

    def types_with(self, requirements: Requirements, architecture: str) -> Sequence[str]:
        pages = self._ec2.get_paginator("get_instance_types_from_instance_requirements").paginate(
            ArchitectureTypes=[architecture],  # type: ignore[list-item]  # one of EC2's own
            VirtualizationTypes=["hvm"],
            InstanceRequirements={
                "VCpuCount": _range(requirements.cpus),
                "MemoryMiB": _range(requirements.memory_mib),
                "InstanceGenerations": ["current"],
                "BareMetal": "excluded",
                "BurstablePerformance": "excluded",
                "AcceleratorCount": {"Max": 0},
            },
        )
        with translated("look up instance types by what they have"):
            return [one["InstanceType"] for page in pages for one in page["InstanceTypes"]]

    def image(self, image_id: str) -> Image | None:
        with translated("look up an AMI"):
            try:
                images = self._ec2.describe_images(ImageIds=[image_id])["Images"]
            except ClientError as error:
                if code_of(error).startswith("InvalidAMIID"):
                    return None
                raise
        found = next((one for one in images if one.get("State", "available") == "available"), None)
        if found is None:
            return None
        root = found.get("RootDeviceName", "/dev/xvda")
        gib = [
            int(mapping.get("Ebs", {}).get("VolumeSize", 0))
            for mapping in found.get("BlockDeviceMappings", [])
            if mapping.get("DeviceName") == root
        ]
        return Image(
            image_id, found["Architecture"], root, max(gib, default=0), _snapshot_of(found, root)
        )

    def launch_template(
        self, *, template_id: str = "", name: str = "", version: str
    ) -> Mapping[str, Any] | None:
        named: Any = (
            {"LaunchTemplateId": template_id} if template_id else {"LaunchTemplateName": name}
        )
        with translated("read a launch template"):
            try:
                # An image may be the name of a parameter: the alias.
                found = self._ec2.describe_launch_template_versions(
                    **named,
                    Versions=[version],
                    ResolveAlias=True,
                )["LaunchTemplateVersions"]
            except ClientError as error:
                if not code_of(error).startswith(_NO_TEMPLATE):
                    raise
                return None
        return found[0]["LaunchTemplateData"] if found else None

    def published_image(self, parameter: str) -> str:
        with translated(f"read the public parameter {parameter}"):
            try:
                return self._ssm.get_parameter(Name=parameter)["Parameter"]["Value"]
            except ClientError as error:
                if code_of(error) != "ParameterNotFound":
                    raise
                raise NotSetUp(
                    f"There is no AMI at {parameter} in this region: choose one with --ami-id, or "
                    "let the administrator change the setting image_parameter."
                ) from error

    def subnets(self, subnet_ids: Sequence[str]) -> Mapping[str, Subnet]:
        wanted = list(dict.fromkeys(subnet_ids))
        with translated("look up subnets"):
            found = [
                one
                for page in self._ec2.get_paginator("describe_subnets").paginate(
                    Filters=[{"Name": "subnet-id", "Values": wanted}]
                )
                for one in page["Subnets"]
            ]
            vpcs = sorted({one["VpcId"] for one in found})
            tables = [
                one
                for page in self._ec2.get_paginator("describe_route_tables").paginate(
                    Filters=[{"Name": "vpc-id", "Values": vpcs}]
                )
                for one in page["RouteTables"]
            ]
        return {
            one["SubnetId"]: Subnet(
                one["SubnetId"],
                one["AvailabilityZone"],
                _way_out(_table_of(one["SubnetId"], one["VpcId"], tables)),
                one.get("MapPublicIpOnLaunch", False),
            )
            for one in found
        }


def _snapshot_of(image: Any, device: str) -> str:  # noqa: ANN401  DescribeImages' own
    """What the root volume is made from, or nothing where EC2 does not say."""
    for one in image.get("BlockDeviceMappings", []):
        if one["DeviceName"] == device:
            return str(one.get("Ebs", {}).get("SnapshotId", ""))
    return ""


def _range(ends: tuple[int, int | None]) -> VCpuCountRangeRequestTypeDef:
    low, high = ends
    return {"Min": low} if high is None else {"Min": low, "Max": high}


def _table_of(
    subnet_id: str, vpc_id: str, tables: Iterable[RouteTableTypeDef]
) -> RouteTableTypeDef | None:
    """The subnet's own route table, else its VPC's main one."""
    main = None
    for table in tables:
        for association in table.get("Associations", []):
            if association.get("SubnetId") == subnet_id:
                return table
            if association.get("Main") and table.get("VpcId") == vpc_id:
                main = table
    return main


def _way_out(table: RouteTableTypeDef | None) -> str | None:
    """How packets for anywhere leave: `public` (needs a public address), `nat`, or not at all."""
    routes: list[Any] = [] if table is None else list(table.get("Routes", []))
    for route in routes:
        if route.get("DestinationCidrBlock") != _ANYWHERE or route.get("State") == "blackhole":
            continue
        # A NAT gateway or instance, a transit gateway: whatever it is, it is not ours to judge.
        return "public" if str(route.get("GatewayId", "")).startswith("igw-") else "nat"
    return None
