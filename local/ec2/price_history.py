"""DescribeSpotPriceHistory: the price in effect for each type and zone (local/ec2/prices.py).

Source: EC2 API reference, DescribeSpotPriceHistory. Prices have no history here: one row each, as
old as the day.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.ec2 import paging, prices, shapes
from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from moto.core.responses import ActionResult

    from local.options import Options

_PRODUCTS = ("Linux/UNIX (Amazon VPC)", "Linux/UNIX")  # what is asked for, and what is shown
_FILTERS = {
    "availability-zone": "AvailabilityZone",
    "instance-type": "InstanceType",
    "product-description": "ProductDescription",
    "spot-price": "SpotPrice",
}


def answer(response: Any, options: Options) -> ActionResult:
    """Answer a call, page by page.

    Raises:
        AwsError: InvalidParameterValue for a type or a filter that is none.
    """
    params, region = response.params, response.ec2_backend.region_name
    response.error_on_dryrun()
    asked: dict[str, set[str]] = {}
    for each in params.get("Filters") or ():
        if each["Name"] not in _FILTERS:
            raise AwsError("InvalidParameterValue", f"The filter '{each['Name']}' is invalid")
        asked[_FILTERS[each["Name"]]] = set(each.get("Values") or ())
    if params.get("ProductDescriptions"):
        asked["ProductDescription"] = set(params["ProductDescriptions"])
    if params.get("AvailabilityZone"):
        asked["AvailabilityZone"] = {params["AvailabilityZone"]}
    types = params.get("InstanceTypes") or shapes.offered(region)
    for each in types:
        if not shapes.exists(each):
            message = f"Invalid value '{each}' for instanceType."
            raise AwsError("InvalidParameterValue", message)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = [
        {
            "AvailabilityZone": zone,
            "InstanceType": each,
            "ProductDescription": _PRODUCTS[1],
            "SpotPrice": prices.text(prices.spot(each, zone, options.spot_prices)),
            "Timestamp": today,
        }
        for each in types
        for zone in shapes.zones(region, each)
    ]
    return paging.answer(params, "SpotPriceHistory", [row for row in rows if _passes(row, asked)])


def _passes(row: Mapping[str, Any], asked: Mapping[str, set[str]]) -> bool:
    for field, values in asked.items():
        same = set(_PRODUCTS) if field == "ProductDescription" else {str(row[field])}
        if not same & values:
            return False
    return True
