"""EC2 Fleet, type instant: one call that starts what it can and tells what it could not.

Source: EC2 API reference, CreateFleet, DescribeFleets, DeleteFleets; EC2 User Guide, "Configure an
EC2 Fleet of type instant". Every launch goes the way of RunInstances (local/ec2/launch.py), with
every check and permission; what fails there is told in Errors, pool by pool.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from moto.core.responses import ActionResult

from local import authz
from local.callers import acting
from local.ec2 import allocation, capacity, checks, filling, paging, pools, templates
from local.ec2.launch import ENDED, ON_DEMAND, SPOT
from local.ec2.tokens import Once
from local.errors import AwsError
from local.iam.needs_launch import of_launch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.ec2.launch import Launches
    from local.ec2.pools import Pool
    from local.options import Options

TAG = "aws:ec2:fleet-id"
_MOST_DELETED = 25  # instant fleets in one DeleteFleets request
_NOT_HERE = {"SingleInstanceType", "SingleAvailabilityZone", "MinTargetCapacity"}
# A fleet has a word of its own for a type that a zone does not offer.
_RENAMED = {"Unsupported": "InvalidFleetConfiguration"}


@dataclass
class Fleet:
    """A fleet and what came of it."""

    params: Mapping[str, Any]
    targets: capacity.Targets
    id: str = field(default_factory=lambda: f"fleet-{uuid4()}")
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    state: str = "active"
    started: list[tuple[Pool, str, list[Any]]] = field(default_factory=list)  # pool, market
    errors: list[dict[str, Any]] = field(default_factory=list)

    def living(self) -> list[Any]:
        """Its instances that have not ended."""
        return [each for _, _, some in self.started for each in some if each.state not in ENDED]


class Fleets:
    """The fleets of the account."""

    def __init__(self, options: Options, launches: Launches) -> None:
        self._options = options
        self._launches = launches
        self.forget_all()

    def forget_all(self) -> None:
        """The account is reset."""
        self._once = Once()
        self._fleets: dict[str, Fleet] = {}

    def create(self, response: Any) -> ActionResult:
        """CreateFleet; a repeat with the same token gets the first answer.

        Raises:
            AwsError: for a configuration that EC2 refuses as a whole.
        """
        params, backend = response.params, response.ec2_backend
        fleet = self._once.answer(params, lambda: self._create(backend, params))
        return ActionResult(
            {"FleetId": fleet.id, "Instances": _instances(fleet), "Errors": fleet.errors}
        )

    def describe(self, response: Any) -> ActionResult:
        """DescribeFleets: instant fleets are shown to who asks for them by id.

        Raises:
            AwsError: InvalidFleetId.NotFound.
        """
        ids = response.params.get("FleetIds") or []
        backend = response.ec2_backend
        views = [_view(backend, self._require(each)) for each in ids]
        return paging.answer(response.params, "Fleets", views)

    def describe_instances(self, response: Any) -> ActionResult:
        """DescribeFleetInstances, which EC2 does not have for instant fleets.

        Raises:
            AwsError: always.
        """
        fleet = self._require(str(response.params.get("FleetId")))
        message = f"Fleet {fleet.id} is of type instant: use DescribeFleets with its ID."
        raise AwsError("UnsupportedOperation", message)

    def delete(self, response: Any) -> ActionResult:
        """DeleteFleets: each for itself; an instant fleet goes with its instances.

        Raises:
            AwsError: for more fleets than one request may name.
        """
        ids = response.params.get("FleetIds") or []
        if len(ids) > _MOST_DELETED:
            message = f"At most {_MOST_DELETED} instant fleets can be deleted in one request."
            raise AwsError("InvalidParameterValue", message)
        response.error_on_dryrun()
        done, failed = [], []
        for fleet_id in ids:
            fleet = self._fleets.get(fleet_id)
            before = fleet.state if fleet else ""
            error = _undeletable(fleet, terminate=bool(response.params.get("TerminateInstances")))
            if fleet is None or error is not None:
                code, message = error or ("unexpectedError", "")
                failed.append({"FleetId": fleet_id, "Error": {"Code": code, "Message": message}})
                continue
            for instance in fleet.living():
                instance.terminate()
            fleet.state = "deleted_terminating"
            done.append(
                {
                    "FleetId": fleet_id,
                    "CurrentFleetState": fleet.state,
                    "PreviousFleetState": before,
                }
            )
        return ActionResult(
            {"SuccessfulFleetDeletions": done, "UnsuccessfulFleetDeletions": failed}
        )

    def _require(self, fleet_id: str) -> Fleet:
        fleet = self._fleets.get(fleet_id)
        if fleet is None:
            raise AwsError("InvalidFleetId.NotFound", f"The fleet ID '{fleet_id}' does not exist")
        return fleet

    def _create(self, backend: Any, params: Mapping[str, Any]) -> Fleet:
        if params.get("Type", "maintain") != "instant":
            raise AwsError("NotImplemented", "The local account has fleets of type instant alone.")
        for each in ("SpotOptions", "OnDemandOptions"):
            unknown = _NOT_HERE & {key for key, on in (params.get(each) or {}).items() if on}
            if unknown:
                message = f"The local account has no {each}.{min(unknown)}."
                raise AwsError("NotImplemented", message)
        tags = _checked_tags(params)
        fleet = Fleet(params, capacity.targets(params.get("TargetCapacitySpecification") or {}))
        found = pools.of_templates(backend, params.get("LaunchTemplateConfigs") or ())
        if not found:
            raise AwsError("InvalidFleetConfig", "The fleet configuration has no launch template.")
        if params.get("DryRun"):
            message = "Request would have succeeded, but DryRun flag is set."
            raise AwsError("DryRunOperation", message)
        # Known from here on: what it starts is not lost, whatever happens.
        self._fleets[fleet.id] = fleet
        backend.tags[fleet.id].update(tags)
        self._fill(backend, fleet, found, ON_DEMAND)
        self._fill(backend, fleet, found, SPOT)
        return fleet

    def _fill(self, backend: Any, fleet: Fleet, found: list[Pool], name: str) -> None:
        units = fleet.targets.spot if name == SPOT else fleet.targets.on_demand
        if units <= 0:
            return
        options = fleet.params.get("SpotOptions" if name == SPOT else "OnDemandOptions") or {}
        strategy = options.get("AllocationStrategy") or allocation.LOWEST_PRICE
        ordered = capacity.ordered(self._options, found, strategy, units, name)
        spread = allocation.spread(
            strategy, len(ordered), int(options.get("InstancePoolsToUseCount") or 1)
        )
        most = options.get("MaxTotalPrice")

        def start(pool: Pool, count: int) -> list[Any]:
            return self._start(backend, fleet, pool, count, name)

        market = filling.Market(
            start,
            lambda pool: capacity.price(self._options, pool, name),
            float(most) if most else None,
        )
        filled = filling.fill(ordered, units, spread, market)
        fleet.started += [(pool, name, instances) for pool, instances in filled.started]
        fleet.errors += [
            {
                "LaunchTemplateAndOverrides": pool.shown,
                "Lifecycle": name,
                "ErrorCode": _RENAMED.get(error.code, error.code),
                "ErrorMessage": error.message,
            }
            for pool, error in filled.errors
        ]

    def _start(self, backend: Any, fleet: Fleet, pool: Pool, count: int, market: str) -> list[Any]:
        """One launch of one pool: some of `count`, or AwsError."""
        params = capacity.launch(pool, count, market, pool.max_price)
        specified = [
            each
            for each in fleet.params.get("TagSpecifications") or ()
            if each.get("ResourceType") != "fleet"
        ]
        params["TagSpecifications"] = templates.joined_tags(
            [*(params.get("TagSpecifications") or ()), *specified]
        )
        caller = acting.get()
        if caller is not None:
            actions = ("RunInstances", "CreateFleet")
            template_id = pool.version.template.id
            authz.require(caller, of_launch(backend.region_name, params, template_id, actions))
        own = {TAG: fleet.id, **templates.own_tags(pool.version)}
        return list(self._launches.start(backend, params, own).instances)


def _checked_tags(params: Mapping[str, Any]) -> dict[str, str]:
    """The fleet's own tags; the others are checked with the launches."""
    own: dict[str, str] = {}
    for each in params.get("TagSpecifications") or ():
        tags = each.get("Tags") or ()
        checks.check_tags(tags)
        if each.get("ResourceType") == "fleet":
            own.update({tag["Key"]: tag.get("Value", "") for tag in tags})
    return own


def _undeletable(fleet: Fleet | None, *, terminate: bool) -> tuple[str, str] | None:
    """(code, message) of why a fleet is not deleted, or None."""
    if fleet is None:
        return "fleetIdDoesNotExist", "The fleet does not exist."
    if fleet.state != "active":
        return "fleetNotInDeletableState", f"The fleet is {fleet.state}."
    if not terminate:
        message = "An instant fleet can only be deleted together with its instances."
        return "unexpectedError", message
    return None


def _instances(fleet: Fleet) -> list[dict[str, Any]]:
    return [
        {
            "LaunchTemplateAndOverrides": pool.shown,
            "Lifecycle": market,
            "InstanceIds": [each.id for each in instances],
            "InstanceType": pool.instance_type,
        }
        for pool, market, instances in fleet.started
    ]


def _view(backend: Any, fleet: Fleet) -> dict[str, Any]:
    params, targets = fleet.params, fleet.targets
    units = {SPOT: 0.0, ON_DEMAND: 0.0}
    for pool, market, instances in fleet.started:
        units[market] += pool.weight * sum(each.state not in ENDED for each in instances)
    total = units[SPOT] + units[ON_DEMAND]
    tags = backend.tags.get(fleet.id, {})
    return {
        "FleetId": fleet.id,
        "ActivityStatus": "fulfilled" if total >= targets.total else "error",
        "ClientToken": params.get("ClientToken"),
        "CreateTime": fleet.created_at,
        "Errors": fleet.errors,
        "ExcessCapacityTerminationPolicy": "termination",
        "FleetState": fleet.state,
        "FulfilledCapacity": total,
        "FulfilledOnDemandCapacity": units[ON_DEMAND],
        "Instances": _instances(fleet),
        "LaunchTemplateConfigs": params.get("LaunchTemplateConfigs"),
        "OnDemandOptions": params.get("OnDemandOptions"),
        "SpotOptions": params.get("SpotOptions"),
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        "TargetCapacitySpecification": {
            "TotalTargetCapacity": targets.total,
            "OnDemandTargetCapacity": targets.on_demand,
            "SpotTargetCapacity": targets.spot,
            "DefaultTargetCapacityType": targets.default,
        },
        "TerminateInstancesWithExpiration": False,
        "Type": "instant",
    }
