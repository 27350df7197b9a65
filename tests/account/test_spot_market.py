"""Spot instances by RunInstances, their requests and prices; moto knows no price and no request."""

from __future__ import annotations

from typing import Any

import pytest

from tests.account.support import LocalAccount, Machines, code

pytestmark = pytest.mark.account


def spot(**options: Any) -> dict[str, Any]:
    return {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": options}}


def prices(ec2: Any, **parameters: Any) -> dict[tuple[str, str], float]:
    rows = ec2.describe_spot_price_history(**parameters)["SpotPriceHistory"]
    return {(r["InstanceType"], r["AvailabilityZone"]): float(r["SpotPrice"]) for r in rows}


def test_a_spot_instance_has_a_request_of_its_own(machines: Machines) -> None:
    """RunInstances, InstanceMarketOptions; DescribeSpotInstanceRequests."""
    tags = [{"ResourceType": "spot-instances-request", "Tags": [{"Key": "k", "Value": "v"}]}]
    instance = machines.launch(TagSpecifications=tags, **spot())[0]
    assert instance["InstanceLifecycle"] == "spot"
    shown = machines.ec2.describe_spot_instance_requests(
        Filters=[{"Name": "tag:k", "Values": ["v"]}]
    )["SpotInstanceRequests"]
    assert [each["InstanceId"] for each in shown] == [instance["InstanceId"]]
    assert shown[0]["SpotInstanceRequestId"] == instance["SpotInstanceRequestId"]
    assert (shown[0]["State"], shown[0]["Status"]["Code"]) == ("active", "fulfilled")
    assert "SpotInstanceRequestId" not in machines.launch()[0]


def test_cancelling_a_request_does_not_end_its_instance(machines: Machines) -> None:
    """CancelSpotInstanceRequests: "does not terminate running Spot Instances"."""
    instance = machines.launch(**spot())[0]
    ids = [instance["SpotInstanceRequestId"]]
    done = machines.ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=ids)
    assert done["CancelledSpotInstanceRequests"][0]["State"] == "cancelled"
    machines.becomes(instance["InstanceId"], "running")
    unknown = code(
        lambda: machines.ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=["sir-00000000"])
    )
    assert unknown == "InvalidSpotInstanceRequestID.NotFound"


def test_who_pays_too_little_gets_nothing(account: LocalAccount, machines: Machines) -> None:
    """EC2 API reference, "Error codes": SpotMaxPriceTooLow."""
    account.press("options", {"spot_prices": {"us-east-1a/m7i.*": 0.05}})
    assert code(lambda: machines.launch(**spot(MaxPrice="0.049"))) == "SpotMaxPriceTooLow"
    assert machines.launch(**spot(MaxPrice="0.05"))
    assert len(machines.all()) == 1


def test_spot_has_a_quota_of_its_own(account: LocalAccount, machines: Machines) -> None:
    """EC2 User Guide, "Spot Instance quotas"; "Error codes": MaxSpotInstanceCountExceeded."""
    account.press("options", {"vcpu_limit": 2, "spot_vcpu_limit": 2})
    assert machines.launch(**spot())
    assert code(lambda: machines.launch(**spot())) == "MaxSpotInstanceCountExceeded"
    assert machines.launch()
    assert code(machines.launch) == "VcpuLimitExceeded"


def test_capacity_and_faults_know_the_market(account: LocalAccount, machines: Machines) -> None:
    """EC2 User Guide, "Spot Instance interruptions": spot is what on demand leaves over."""
    account.press("options", {"capacity": {"us-east-1a/m7i.large/spot": 0}})
    assert code(lambda: machines.launch(**spot())) == "InsufficientInstanceCapacity"
    assert machines.launch()
    fault = {"action": "RunInstances", "code": "UnfulfillableCapacity", "market": "on-demand"}
    account.press("faults", fault)
    assert code(machines.launch) == "UnfulfillableCapacity"
    assert machines.launch(Placement={"AvailabilityZone": "us-east-1b"}, **spot())


def test_spot_costs_less_than_on_demand_and_differs_by_zone(machines: Machines) -> None:
    """DescribeSpotPriceHistory: a price for each type and zone."""
    found = prices(machines.ec2, InstanceTypes=["m7i.large", "m7i.xlarge"])
    large = [price for (name, _), price in found.items() if name == "m7i.large"]
    assert len(set(large)) > 1
    assert 0.02 < min(large) <= max(large) < 0.1008  # dollars; on demand it costs 0.1008
    for (name, zone), price in found.items():
        if name == "m7i.xlarge":
            assert price == pytest.approx(2 * found[("m7i.large", zone)], rel=0.01)
    asked = {"InstanceTypes": ["m7i.large"], "AvailabilityZone": "us-east-1a"}
    linux = prices(machines.ec2, ProductDescriptions=["Linux/UNIX"], **asked)
    assert list(linux) == [("m7i.large", "us-east-1a")]
    assert prices(machines.ec2, ProductDescriptions=["Windows"], **asked) == {}
    unknown = code(lambda: prices(machines.ec2, InstanceTypes=["m99.large"]))
    assert unknown == "InvalidParameterValue"


def test_types_are_found_by_what_they_have(machines: Machines) -> None:
    """GetInstanceTypesFromInstanceRequirements, page by page."""

    def types(**more: Any) -> list[str]:
        wanted = {"VCpuCount": {"Min": 4, "Max": 4}, "MemoryMiB": {"Min": 15000, "Max": 17000}}
        pages = machines.ec2.get_paginator("get_instance_types_from_instance_requirements")
        answer = pages.paginate(
            ArchitectureTypes=["x86_64"],
            VirtualizationTypes=["hvm"],
            InstanceRequirements={**wanted, **more},
            PaginationConfig={"PageSize": 20},
        )
        return [each["InstanceType"] for page in answer for each in page["InstanceTypes"]]

    found = types()
    assert "m7i.xlarge" in found
    assert not {"m7i.large", "m7i.2xlarge", "m7g.xlarge", "t3.xlarge", "c7i.xlarge"} & set(found)
    assert "m7a.xlarge" not in types(CpuManufacturers=["intel"])
    assert "m7i.xlarge" not in types(ExcludedInstanceTypes=["m7*"])
    assert types(AllowedInstanceTypes=["m7i.*"]) == ["m7i.xlarge"]
    assert "t3.xlarge" in types(BurstablePerformance="included")
    assert code(lambda: types(NetworkInterfaceCount={"Min": 2})) == "NotImplemented"
