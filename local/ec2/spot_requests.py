"""Spot instance requests: one for each spot instance, made by its launch, closed by its end.

Source: EC2 API reference, SpotInstanceRequest; EC2 User Guide, "Get the status of a Spot Instance
request". All are one-time requests that were fulfilled at once: RequestSpotInstances is not here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult

from local.ec2 import paging, prices
from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ENDED = {"shutting-down", "terminated"}
RECLAIMED = "Server.SpotInstanceTermination"


@dataclass
class Request:
    """One request and the instance it was fulfilled with."""

    id: str
    instance: Any
    max_price: str
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    cancelled: bool = False

    @property
    def state(self) -> str:
        """Whether it is active, closed or cancelled; cancelling does not end the instance."""
        if self.cancelled:
            return "cancelled"
        return "closed" if self.instance.state in _ENDED else "active"

    @property
    def status(self) -> str:
        """EC2's word for why it is in this state."""
        if self.instance.state in _ENDED:
            reclaimed = self.instance.state_reason.code == RECLAIMED
            return "instance-terminated-" + ("no-capacity" if reclaimed else "by-user")
        return "request-canceled-and-instance-running" if self.cancelled else "fulfilled"


class SpotRequests:
    """The requests of the account, kept with their instances."""

    def __init__(self) -> None:
        self._requests: dict[str, Request] = {}

    def forget_all(self) -> None:
        """The account is reset."""
        self._requests.clear()

    def record(self, params: Mapping[str, Any], instances: Iterable[Any], price: float) -> None:
        """A spot launch has started these."""
        options = (params.get("InstanceMarketOptions") or {}).get("SpotOptions") or {}
        specifications = params.get("TagSpecifications") or ()
        for instance in instances:
            most = str(options.get("MaxPrice") or prices.text(max(price, _most(instance))))
            request = Request(f"sir-{token_hex(4)}", instance, most)
            self._requests[request.id] = request
            instance.spot_instance_request_id = request.id
            for each in specifications:
                if each.get("ResourceType") == "spot-instances-request":
                    tags = {tag["Key"]: tag.get("Value", "") for tag in each.get("Tags") or ()}
                    instance.ec2_backend.tags[request.id].update(tags)

    def describe(self, response: Any) -> ActionResult:
        """DescribeSpotInstanceRequests.

        Raises:
            AwsError: InvalidSpotInstanceRequestID.NotFound, or for a filter that is none.
        """
        chosen = self._require(response.params.get("SpotInstanceRequestIds") or [])
        views = [_view(each) for each in chosen]
        filters = response.params.get("Filters") or ()
        found = [view for view in views if all(_passes(view, each) for each in filters)]
        return paging.answer(response.params, "SpotInstanceRequests", found)

    def cancel(self, response: Any) -> ActionResult:
        """CancelSpotInstanceRequests: the instances go on.

        Raises:
            AwsError: InvalidSpotInstanceRequestID.NotFound.
        """
        ids = response.params.get("SpotInstanceRequestIds") or []
        chosen = self._require(ids) if ids else []
        for request in chosen:
            request.cancelled = request.cancelled or request.state == "active"
        views = [{"SpotInstanceRequestId": each.id, "State": each.state} for each in chosen]
        return ActionResult({"CancelledSpotInstanceRequests": views})

    def _require(self, ids: list[str]) -> list[Request]:
        missing = [each for each in ids if each not in self._requests]
        if missing:
            message = f"The spot instance request ID '{missing[0]}' does not exist"
            raise AwsError("InvalidSpotInstanceRequestID.NotFound", message)
        return [self._requests[each] for each in ids or list(self._requests)]


def _most(instance: Any) -> float:
    """What is paid at most where nothing is said: the price on demand."""
    return prices.on_demand(instance.instance_type)


def _view(request: Request) -> dict[str, Any]:
    instance = request.instance
    tags = instance.ec2_backend.tags.get(request.id, {})
    return {
        "SpotInstanceRequestId": request.id,
        "CreateTime": request.created_at,
        "InstanceId": instance.id,
        "InstanceInterruptionBehavior": "terminate",
        "LaunchedAvailabilityZone": instance.availability_zone,
        "LaunchSpecification": {
            "ImageId": instance.image_id,
            "InstanceType": instance.instance_type,
            "SubnetId": instance.subnet_id,
        },
        "ProductDescription": "Linux/UNIX",
        "SpotPrice": request.max_price,
        "State": request.state,
        "Status": {
            "Code": request.status,
            "Message": f"Your Spot request is {request.status}.",
            "UpdateTime": datetime.now(UTC),
        },
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        "Type": "one-time",
    }


def _passes(view: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    name, values = asked["Name"], asked.get("Values") or ()
    if name.startswith("tag:"):
        tags = {tag["Key"]: tag["Value"] for tag in view["Tags"]}
        return tags.get(name.removeprefix("tag:")) in values
    own = {
        "spot-instance-request-id": view["SpotInstanceRequestId"],
        "instance-id": view["InstanceId"],
        "state": view["State"],
        "status-code": view["Status"]["Code"],
        "launched-availability-zone": view["LaunchedAvailabilityZone"],
    }
    if name not in own:
        raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return own[name] in values
