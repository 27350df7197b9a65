"""Subnets for the machines: which there are, and whether each has a way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annex_client.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_ec2 import EC2Client

# Targets of a default route that lead out; an internet gateway needs public addresses, which
# machines ask for at launch. A route is good only while its target is there ('active').
_OUT = ("GatewayId", "NatGatewayId", "TransitGatewayId", "NetworkInterfaceId", "InstanceId")


@dataclass(frozen=True)
class Network:
    """The network and its subnets, in the order in which they will be tried."""

    vpc_id: str
    subnets: tuple[str, ...]
    without_way_out: tuple[str, ...] = ()  # of the default network, left out


def choose(ec2: EC2Client, wanted: Sequence[str]) -> Network:
    """The subnets asked for, or the default network's default subnets.

    Raises:
        BadInput: there are none, they lie in several networks, or one has no way out.
    """
    subnets = _named(ec2, wanted) if wanted else _default(ec2)
    networks = {subnet["VpcId"] for subnet in subnets}
    if len(networks) > 1:
        raise BadInput("The subnets lie in several networks (VPCs); name those of one only.")
    vpc_id = networks.pop()
    pages = ec2.get_paginator("describe_route_tables").paginate(
        Filters=[{"Name": "vpc-id", "Values": [vpc_id]}]
    )
    tables: list[Any] = [table for page in pages for table in page["RouteTables"]]
    names = [subnet["SubnetId"] for subnet in subnets]
    closed = [name for name in names if not has_way_out(name, tables)]
    if closed and (wanted or len(closed) == len(names)):
        raise BadInput(
            f"{' and '.join(closed)}: no way out.  Machines there could reach neither AWS nor your"
            " pool.  Give the subnet's route table a default route to an internet gateway (machines"
            " then get public IPv4 addresses, which cost extra) or to a NAT gateway (which does,"
            " too), or name other subnets with --subnets."
        )
    return Network(vpc_id, tuple(name for name in names if name not in closed), tuple(closed))


def has_way_out(subnet_id: str, tables: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the subnet's route table (or the network's main one) has a default route."""
    own = [t for t in tables if any(a.get("SubnetId") == subnet_id for a in _associations(t))]
    main = [t for t in tables if any(a.get("Main") for a in _associations(t))]
    for table in own or main:
        for route in table.get("Routes", ()):
            if (
                route.get("DestinationCidrBlock") != "0.0.0.0/0"
                or route.get("State") == "blackhole"
            ):
                continue
            if any(route.get(kind) not in (None, "", "local") for kind in _OUT):
                return True
    return False


def _associations(table: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = table.get("Associations", ())
    return found


def _named(ec2: EC2Client, wanted: Sequence[str]) -> list[Any]:
    pages = ec2.get_paginator("describe_subnets").paginate(
        Filters=[{"Name": "subnet-id", "Values": [*wanted]}]
    )
    found: dict[str, Any] = {s["SubnetId"]: s for page in pages for s in page["Subnets"]}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise BadInput(f"There is no subnet {' or '.join(missing)} in this account and region.")
    return [found[name] for name in wanted]


def _default(ec2: EC2Client) -> list[Any]:
    pages = ec2.get_paginator("describe_subnets").paginate(
        Filters=[{"Name": "default-for-az", "Values": ["true"]}]
    )
    found: list[Any] = [subnet for page in pages for subnet in page["Subnets"]]
    if not found:
        raise BadInput(
            "This account has no default network in this region.  Name subnets with --subnets, or"
            " make one with 'aws ec2 create-default-vpc'."
        )
    return sorted(found, key=lambda subnet: str(subnet["AvailabilityZone"]))
