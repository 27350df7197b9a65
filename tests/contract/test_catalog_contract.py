"""Types, images, ways out, and the deployment's parts: the adapters against an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from chalicelib.aws_inventory import AwsInventory
from chalicelib.ec2_catalog import EC2Catalog
from chalicelib.errors import NotSetUp
from chalicelib.model import InstanceType

if TYPE_CHECKING:
    from tests.contract.conftest import Account


@pytest.fixture
def catalog(account: Account) -> EC2Catalog:
    return EC2Catalog(account.client("ec2"), account.client("ssm"))


def test_types_are_known_with_what_they_are(catalog: EC2Catalog) -> None:
    found = catalog.types(["m7i.large", "m7g.xlarge", "m99.huge"])
    assert found == {
        "m7i.large": InstanceType(frozenset({"x86_64"}), 2),
        "m7g.xlarge": InstanceType(frozenset({"arm64"}), 4),
    }


def test_image_is_known_or_none(account: Account, catalog: EC2Catalog) -> None:
    known = account.client("ec2").describe_images()["Images"][0]
    found = catalog.image(known["ImageId"])
    assert found is not None
    assert found.architecture == known["Architecture"]
    assert found.root_device == known["RootDeviceName"]
    assert catalog.image("ami-0123456789abcdef9") is None


def test_published_image_is_read_or_the_setting_is_named(
    account: Account, catalog: EC2Catalog
) -> None:
    name = f"/{account.name}/image"
    account.client("ssm").put_parameter(Name=name, Value="ami-1", Type="String")
    assert catalog.published_image(name) == "ami-1"
    with pytest.raises(NotSetUp, match="image_parameter"):
        catalog.published_image(name + "/none")


@dataclass(frozen=True)
class Network:
    """A VPC of the test's own."""

    ec2: Any
    vpc: str

    def subnet(self, number: int) -> str:
        made = self.ec2.create_subnet(
            VpcId=self.vpc, CidrBlock=f"10.77.{number}.0/24", AvailabilityZone="us-east-1a"
        )
        return str(made["Subnet"]["SubnetId"])

    def table(self, subnet: str, **route: str) -> None:
        table = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        if route:
            self.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **route)


@pytest.fixture
def network(account: Account) -> Network:
    ec2 = account.client("ec2")
    return Network(ec2, ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"])


def test_ways_out_are_told_by_the_subnets_own_route_table(
    catalog: EC2Catalog, network: Network
) -> None:
    gateway = network.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    network.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=network.vpc)
    public, private, closed = (network.subnet(number) for number in range(3))
    address = network.ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = network.ec2.create_nat_gateway(SubnetId=public, AllocationId=address)
    network.table(public, GatewayId=gateway)
    network.table(private, NatGatewayId=nat["NatGateway"]["NatGatewayId"])
    network.table(closed)
    found = catalog.subnets([public, private, closed, "subnet-0123456789abcdef9"])
    assert {one: subnet.way_out for one, subnet in found.items()} == {
        public: "public",
        private: "nat",
        closed: None,
    }
    assert found[public].zone == "us-east-1a"


def test_way_out_is_the_main_tables_where_a_subnet_has_none_of_its_own(
    catalog: EC2Catalog, network: Network
) -> None:
    subnet = network.subnet(1)
    assert catalog.subnets([subnet])[subnet].way_out is None
    gateway = network.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    network.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=network.vpc)
    tables = network.ec2.describe_route_tables(
        Filters=[{"Name": "vpc-id", "Values": [network.vpc]}]
    )["RouteTables"]
    network.ec2.create_route(
        RouteTableId=tables[0]["RouteTableId"],
        DestinationCidrBlock="0.0.0.0/0",
        GatewayId=gateway,
    )
    assert catalog.subnets([subnet])[subnet].way_out == "public"


def test_inventory_finds_what_is_there_and_what_is_not(account: Account, network: Network) -> None:
    inventory = AwsInventory(account.client("lambda"), account.client("iam"), account.client("ec2"))
    assert inventory.instance_profile(f"{account.name}-instance") is None
    made = account.profile()
    assert inventory.instance_profile(f"{account.name}-instance") == made
    group = network.ec2.create_security_group(
        GroupName=account.name, Description="test", VpcId=network.vpc
    )["GroupId"]
    assert inventory.ingress_rules(group) == 0
    network.ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
    )
    assert inventory.ingress_rules(group) == 1
    assert inventory.ingress_rules("sg-0123456789abcdef9") is None
    assert inventory.missing_functions([f"{account.name}-dev"]) == [f"{account.name}-dev"]
