"""The calls about Spot Fleet requests.

Source: EC2 API reference, RequestSpotFleet, DescribeSpotFleetRequests, DescribeSpotFleetInstances,
DescribeSpotFleetRequestHistory, CancelSpotFleetRequests, ModifySpotFleetRequest; EC2 User Guide,
"Spot Fleet request types". `maintain` is served like `request`: nothing that ends is replaced.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult

from local.ec2 import paging, service_roles
from local.ec2.spot_fleet import ENDED_STATES, SpotFleet
from local.ec2.spot_fleet_config import checked
from local.ec2.tokens import Once
from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.ec2.spot_fleet_launch import Filler
    from local.later import Later
    from local.options import Options


class SpotFleets:
    """The Spot Fleet requests of the account; each is served some seconds after it was made."""

    def __init__(self, options: Options, later: Later, filler: Filler) -> None:
        self._options = options
        self._later = later
        self._filler = filler
        self._lock = threading.RLock()
        self.forget_all()

    def forget_all(self) -> None:
        """The account is reset."""
        self._once = Once()
        self._fleets: dict[str, SpotFleet] = {}

    def request(self, response: Any) -> ActionResult:
        """RequestSpotFleet; a repeat with the same token gets the first answer.

        Raises:
            AwsError: for a configuration that EC2 refuses as a whole.
        """
        config, backend = response.params["SpotFleetRequestConfig"], response.ec2_backend
        fleet = self._once.answer(config, lambda: self._request(response, backend, config))
        return ActionResult({"SpotFleetRequestId": fleet.id})

    def describe(self, response: Any) -> ActionResult:
        """DescribeSpotFleetRequests, page by page.

        Raises:
            AwsError: InvalidSpotFleetRequestId.NotFound.
        """
        ids = response.params.get("SpotFleetRequestIds") or list(self._fleets)
        views = [self._require(each).view() for each in ids]
        return paging.answer(response.params, "SpotFleetRequestConfigs", views)

    def describe_instances(self, response: Any) -> ActionResult:
        """DescribeSpotFleetInstances: those that have not ended.

        Raises:
            AwsError: InvalidSpotFleetRequestId.NotFound.
        """
        fleet = self._require(response.params["SpotFleetRequestId"])
        views = [
            {
                "InstanceId": each.id,
                "InstanceType": each.instance_type,
                "InstanceHealth": "healthy",
                "SpotInstanceRequestId": getattr(each, "spot_instance_request_id", None),
            }
            for each in fleet.living()
        ]
        return paging.answer(response.params, "ActiveInstances", views, SpotFleetRequestId=fleet.id)

    def history(self, response: Any) -> ActionResult:
        """DescribeSpotFleetRequestHistory, since StartTime, page by page.

        Raises:
            AwsError: InvalidSpotFleetRequestId.NotFound.
        """
        params = response.params
        fleet, since = self._require(params["SpotFleetRequestId"]), _moment(params["StartTime"])
        kinds = {params["EventType"]} if params.get("EventType") else None
        records = [
            each
            for each in list(fleet.history)
            if each["Timestamp"] >= since and (kinds is None or each["EventType"] in kinds)
        ]
        return paging.answer(
            params,
            "HistoryRecords",
            records,
            SpotFleetRequestId=fleet.id,
            StartTime=since,
            LastEvaluatedTime=datetime.now(UTC),
        )

    def cancel(self, response: Any) -> ActionResult:
        """CancelSpotFleetRequests: each for itself; nothing is launched from here on."""
        params = response.params
        response.error_on_dryrun()
        done: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        for fleet_id in params.get("SpotFleetRequestIds") or ():
            # The lock is the launches': none is under way, none comes after.
            with self._lock:
                fleet = self._fleets.get(fleet_id)
                if fleet is None:
                    code = "fleetRequestIdDoesNotExist"
                elif fleet.state() in ENDED_STATES:
                    code = "fleetRequestNotInCancellableState"
                else:
                    before = fleet.state()
                    fleet.cancel(terminate=bool(params.get("TerminateInstances")))
                    done.append(
                        {
                            "SpotFleetRequestId": fleet_id,
                            "CurrentSpotFleetRequestState": fleet.cancelled_as,
                            "PreviousSpotFleetRequestState": before,
                        }
                    )
                    continue
            error = {"Code": code, "Message": f"The request {fleet_id} cannot be cancelled."}
            failed.append({"SpotFleetRequestId": fleet_id, "Error": error})
        return ActionResult({"SuccessfulFleetRequests": done, "UnsuccessfulFleetRequests": failed})

    def modify(self, response: Any) -> ActionResult:
        """ModifySpotFleetRequest, which EC2 has for `maintain` alone, and this account not at all.

        Raises:
            AwsError: always.
        """
        fleet = self._require(response.params["SpotFleetRequestId"])
        if fleet.config.get("Type", "maintain") == "maintain":
            raise AwsError("NotImplemented", "The local account modifies no Spot Fleet request.")
        message = "Only a Spot Fleet request of type maintain can be modified."
        raise AwsError("InvalidParameterValue", message)

    def _require(self, fleet_id: str) -> SpotFleet:
        fleet = self._fleets.get(fleet_id)
        if fleet is None:
            message = f"The spot fleet request ID '{fleet_id}' does not exist"
            raise AwsError("InvalidSpotFleetRequestId.NotFound", message)
        return fleet

    def _request(self, response: Any, backend: Any, config: Mapping[str, Any]) -> SpotFleet:
        found = checked(backend, config)
        service_roles.require(service_roles.SPOT_FLEET)
        service_roles.require(service_roles.SPOT)
        response.error_on_dryrun()
        fleet = SpotFleet(backend, config, found)
        for each in config.get("TagSpecifications") or ():
            tags = {tag["Key"]: tag.get("Value", "") for tag in each.get("Tags") or ()}
            backend.tags[fleet.id].update(tags)
        self._fleets[fleet.id] = fleet
        fleet.note("fleetRequestChange", "submitted")
        until = _moment(config["ValidUntil"]) if config.get("ValidUntil") else None
        if until is not None:
            self._later.call(_seconds_to(until), lambda: self._expire(fleet))
        begin = _moment(config["ValidFrom"]) if config.get("ValidFrom") else datetime.now(UTC)
        delay = max(_seconds_to(begin), self._options.spot_fleet_seconds)
        self._later.call(delay, lambda: self._serve(fleet))
        return fleet

    def _serve(self, fleet: SpotFleet) -> None:
        """Launch what is still wanted; what there is no capacity for is tried again."""
        with self._lock:
            if fleet.id not in self._fleets or fleet.cancelled_as:
                return
            fleet.begin()
            self._filler.fill(fleet)
            if not fleet.fulfilled:
                delay = self._options.spot_fleet_retry_seconds
                self._later.call(delay, lambda: self._serve(fleet))

    def _expire(self, fleet: SpotFleet) -> None:
        with self._lock:
            if fleet.id in self._fleets and not fleet.cancelled_as:
                fleet.note("fleetRequestChange", "expired")
                terminate = fleet.config.get("TerminateInstancesWithExpiration")
                fleet.cancel(terminate=bool(terminate))


def _moment(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _seconds_to(moment: datetime) -> float:
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
