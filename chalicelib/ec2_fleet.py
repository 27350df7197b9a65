"""EC2 Fleets of type instant: every type and zone in one call, which answers with what it got.

A fleet launches from launch templates, made before it by name. A template says whether machines
get a public address, so an attempt has one for each kind of subnet that it uses. Once answered, an
instant fleet does nothing more and is only a receipt: its machines are found by their tags.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from .aws_errors import code_of, translated
from .ec2_refusals import kind_of, refusal_of
from .ec2_request import template_data
from .ids import InstanceId
from .launch import Launched, Market, Refusal, RefusalKind
from .tags import ATTEMPT, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mypy_boto3_ec2 import EC2Client

    from .launch import Attempt, LaunchSpec, Place
    from .launch_templates import LaunchTemplates
    from .model import Annex

_MOST_DELETED = 25  # EC2 API reference, DeleteFleets: of more instant fleets, none is deleted
# Where a policy asks for a tag, EC2 calls an id that does not exist a lack of rights.
_NO_SUCH = ("InvalidFleetId", "UnauthorizedOperation")
# Of one type or zone, and no reason not to ask on demand.
_PASSING = frozenset(
    {
        # The zone does not have the type; RunInstances says Unsupported
        # (github.com/compiler-explorer/infra/issues/601, 'No c5.large in us-east-1e').
        "InvalidFleetConfiguration",
        "SpotMaxPriceTooLow",
        "UnfulfillableCapacity",
        "InternalError",
        "RequestLimitExceeded",
        "ServiceUnavailable",
    }
)
# A fleet may not know yet a template that was made a moment ago; it says so in its answer, pool by
# pool (github.com/4dn-dcic/tibanna, ec2_utils.py, asks up to five times more).
_NO_TEMPLATE = "InvalidLaunchTemplate"
_TRIES, _PAUSE_SECONDS = 3, 1.0


class EC2Fleets:
    """Launches by CreateFleet."""

    def __init__(
        self,
        client: EC2Client,
        deployment: str,
        templates: LaunchTemplates,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._deployment = deployment
        self._templates = templates
        self._sleep = sleep

    def launch(self, spec: LaunchSpec, attempt: Attempt) -> Launched | Refusal:
        """Make the call of an attempt. Raises AwsUnavailable: not known, repeating is safe."""
        with translated("start machines"):
            try:
                for public in _ways_out(spec.places):
                    name = self._template_name(attempt, public=public)
                    data = template_data(spec, attempt.market, public=public)
                    self._templates.make(name, data, spec.tags)
                answer = self._answer(self.request(spec, attempt))
            except ClientError as error:
                refusal = refusal_of(error)
                if refusal is None:
                    raise
                return refusal
        machines = tuple(
            (InstanceId(one), spec.units(group["InstanceType"]))
            for group in answer.get("Instances", [])
            for one in group["InstanceIds"]
        )
        return Launched(machines, _refusals(spec, answer.get("Errors", [])), answer["FleetId"])

    def _answer(self, request: dict[str, Any]) -> Any:  # noqa: ANN401  CreateFleet's own
        """EC2's answer, once the fleet knows its templates: only one of the fleets starts machines.

        The same token would get the same answer. Whoever repeats the attempt goes through the same
        tokens again: those of fleets that have started nothing, and then the one that may have.
        """
        token = request["ClientToken"]
        for number in range(_TRIES):
            if number:
                self._sleep(_PAUSE_SECONDS)
            answer: Any = self._client.create_fleet(
                **{**request, "ClientToken": f"{token}-{number}" if number else token}
            )
            if answer.get("Instances") or not _lacks_templates(answer.get("Errors", [])):
                break
        return answer

    def request(self, spec: LaunchSpec, attempt: Attempt) -> dict[str, Any]:
        """The CreateFleet call of an attempt: the same values at every repeat."""
        spot = attempt.market is Market.SPOT
        strategy = "prioritized" if spec.in_order else "lowest-price"
        options = {
            "SpotOptions": {
                "AllocationStrategy": "price-capacity-optimized",
                "InstanceInterruptionBehavior": "terminate",
            }
            if spot
            else {},
            "OnDemandOptions": {} if spot else {"AllocationStrategy": strategy},
        }
        return {
            "Type": "instant",
            "ClientToken": attempt.client_token,
            "LaunchTemplateConfigs": [
                {
                    "LaunchTemplateSpecification": {
                        "LaunchTemplateName": self._template_name(attempt, public=public),
                        "Version": "1",
                    },
                    "Overrides": [
                        _override(spec, place, number, spot=spot)
                        for number, place in enumerate(spec.places)
                        if place.public_address is public
                    ],
                }
                for public in _ways_out(spec.places)
            ],
            "TargetCapacitySpecification": {
                "TotalTargetCapacity": attempt.count,
                "DefaultTargetCapacityType": attempt.market.value,
            },
            **{name: value for name, value in options.items() if value},
            "TagSpecifications": [
                {"ResourceType": "fleet", "Tags": listed(spec.tags)},
                # For its machines alone: their ClientToken is not the attempt's.
                {
                    "ResourceType": "instance",
                    "Tags": listed([*spec.tags, (ATTEMPT, attempt.client_token)]),
                },
            ],
        }

    def clear(self, annex: Annex) -> None:
        """Delete the fleets' receipts; those that are not known went by themselves.

        Raises AwsUnavailable, Forbidden.
        """
        ids = [one.fleet_id for one in annex.attempts if one.fleet_id.startswith("fleet-")]
        for start in range(0, len(ids), _MOST_DELETED):
            with translated("delete fleets"):
                self._delete(ids[start : start + _MOST_DELETED])

    def _delete(self, ids: list[str]) -> None:
        try:
            # An instant fleet cannot be deleted without its machines, which have ended.
            self._client.delete_fleets(FleetIds=ids, TerminateInstances=True)
        except ClientError as error:
            if not code_of(error).startswith(_NO_SUCH):
                raise
            # A receipt that is gone, or stays, costs nothing: it must not keep the annex from its
            # end, nor the other receipts.
            for one in ids if len(ids) > 1 else ():
                self._delete([one])

    def _template_name(self, attempt: Attempt, *, public: bool) -> str:
        """Annex, launch and attempt: a template for spot is no good on demand."""
        return f"{self._deployment}-{attempt.client_token}-{int(public)}"


def _ways_out(places: Iterable[Place]) -> list[bool]:
    return sorted({place.public_address for place in places})


def _lacks_templates(errors: Iterable[Any]) -> bool:
    return any(str(error.get("ErrorCode", "")).startswith(_NO_TEMPLATE) for error in errors)


def _override(spec: LaunchSpec, place: Place, number: int, *, spot: bool) -> dict[str, Any]:
    override: dict[str, Any] = {"InstanceType": place.instance_type, "SubnetId": place.subnet_id}
    if spec.weights:
        override["WeightedCapacity"] = float(spec.units(place.instance_type))
    if spot and spec.max_price:
        override["MaxPrice"] = spec.max_price
    if not spot and spec.in_order:
        override["Priority"] = float(number)
    return override


def _refusals(spec: LaunchSpec, errors: Iterable[Any]) -> tuple[Refusal, ...]:
    """Each type's and zone's no once. A fleet's answer is final, whatever the code."""
    zones = {place.subnet_id: place.zone for place in spec.places}
    found: dict[tuple[str, str], Refusal] = {}
    for error in errors:
        override = error.get("LaunchTemplateAndOverrides", {}).get("Overrides", {})
        zone = zones.get(override.get("SubnetId", ""), override.get("AvailabilityZone", ""))
        where = " in ".join(one for one in (override.get("InstanceType", ""), zone) if one)
        code = error.get("ErrorCode", "Unknown")
        message = " ".join(error.get("ErrorMessage", "").split()).rstrip(". ")
        passing = code in _PASSING or code.startswith(_NO_TEMPLATE)
        kind = RefusalKind.CAPACITY if passing else kind_of(code)
        found.setdefault((where, code), Refusal(kind, code, message, where or "The fleet"))
    return tuple(found.values())
