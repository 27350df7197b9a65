"""What annexes need of EC2 beside machines: fleets, spot requests, launch templates, volumes.

Fleets of type `instant` are not among them: they launch once and never again, cost nothing, and
cannot be deleted without ending their machines (EC2 User Guide, 'Delete an EC2 Fleet'). Their
machines carry our tags like any other and are judged as machines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from .aws_errors import code_of, translated
from .errors import AwsUnavailable
from .ids import AnnexId
from .model import Leftover, LeftoverKind
from .tags import ANNEX_ID, DEPLOYMENT, LEASE, lease_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_ec2 import EC2Client


class _How(NamedTuple):
    """How a kind is listed: the call, its request and answer, and what of the answer counts."""

    call: str
    request: Mapping[str, Any]
    answers: str
    resource_id: str
    made_at: str
    state: str = ""
    states: tuple[str, ...] = ()


# EC2 API reference. Filters by tag where the call knows them (neither of the fleets' does); in
# states not named here a thing can launch nothing more. A spot request that is `active` has its
# machine; cancelling it leaves that alone.
_LISTINGS = {
    LeftoverKind.SPOT_FLEET: _How(
        "describe_spot_fleet_requests", {}, "SpotFleetRequestConfigs",
        "SpotFleetRequestId", "CreateTime", "SpotFleetRequestState",
        ("submitted", "active", "modifying"),
    ),
    LeftoverKind.FLEET: _How(
        "describe_fleets", {}, "Fleets",
        "FleetId", "CreateTime", "FleetState",
        ("submitted", "active", "modifying"),
    ),
    LeftoverKind.SPOT_REQUEST: _How(
        "describe_spot_instance_requests", {}, "SpotInstanceRequests",
        "SpotInstanceRequestId", "CreateTime", "State",
        ("open", "active", "disabled"),
    ),
    LeftoverKind.TEMPLATE: _How(
        "describe_launch_templates", {"MaxResults": 200}, "LaunchTemplates",
        "LaunchTemplateId", "CreateTime",
    ),
    LeftoverKind.VOLUME: _How(
        "describe_volumes", {"Filters": [{"Name": "status", "Values": ["available"]}]}, "Volumes",
        "VolumeId", "CreateTime", "State",
        ("available",),
    ),
}  # fmt: skip
_FILTERED = (LeftoverKind.SPOT_REQUEST, LeftoverKind.TEMPLATE, LeftoverKind.VOLUME)

# EC2's words for what is gone, or will launch nothing more anyway.
_GONE = frozenset(
    {
        "InvalidSpotInstanceRequestID.NotFound",
        "InvalidLaunchTemplateId.NotFound",
        "InvalidLaunchTemplateId.NotFoundException",
        "InvalidLaunchTemplateName.NotFoundException",
        "InvalidVolume.NotFound",
        "fleetRequestIdDoesNotExist",
        "fleetRequestNotInCancellableState",
        "fleetIdDoesNotExist",
        "fleetNotInDeletableState",
    }
)


class EC2Leftovers:
    """`ports.Leftovers` on EC2, for the things of one deployment."""

    def __init__(self, client: EC2Client, deployment: str) -> None:
        self._client = client
        self._deployment = deployment

    def found(self, kind: LeftoverKind) -> list[Leftover]:
        how = _LISTINGS[kind]
        request = dict(how.request)
        if kind in _FILTERED:
            ours = {"Name": f"tag:{DEPLOYMENT}", "Values": [self._deployment]}
            request["Filters"] = [*request.get("Filters", []), ours]
        paginator: Any = self._client.get_paginator(how.call)  # type: ignore[call-overload]
        with translated(f"list {kind}s"):
            return [
                self._leftover(kind, how, one)
                for page in paginator.paginate(**request)
                for one in page.get(how.answers, [])
                if self._is_ours(how, one)
            ]

    def remove(self, thing: Leftover) -> None:
        # One thing a call: EC2 refuses a whole batch for one bad id, and leftovers are few.
        removals: Mapping[LeftoverKind, Callable[[str], object]] = {
            LeftoverKind.SPOT_FLEET: self._cancel_spot_fleet,
            LeftoverKind.FLEET: self._delete_fleet,
            LeftoverKind.SPOT_REQUEST: lambda one: self._client.cancel_spot_instance_requests(
                SpotInstanceRequestIds=[one]
            ),
            LeftoverKind.TEMPLATE: lambda one: self._client.delete_launch_template(
                LaunchTemplateId=one
            ),
            LeftoverKind.VOLUME: lambda one: self._client.delete_volume(VolumeId=one),
        }
        with translated(f"remove {thing}"):
            try:
                removals[thing.kind](thing.resource_id)
            except ClientError as error:
                if code_of(error) not in _GONE:
                    raise

    def _cancel_spot_fleet(self, request_id: str) -> None:
        answer = self._client.cancel_spot_fleet_requests(
            SpotFleetRequestIds=[request_id], TerminateInstances=False
        )
        for one in answer.get("UnsuccessfulFleetRequests", []):
            _refused(request_id, one.get("Error", {}))

    def _delete_fleet(self, fleet_id: str) -> None:
        answer = self._client.delete_fleets(FleetIds=[fleet_id], TerminateInstances=False)
        for one in answer.get("UnsuccessfulFleetDeletions", []):
            _refused(fleet_id, one.get("Error", {}))

    def _is_ours(self, how: _How, one: Mapping[str, Any]) -> bool:
        if _tags(one).get(DEPLOYMENT) != self._deployment or one.get("Type") == "instant":
            return False
        return not how.states or one[how.state] in how.states

    @staticmethod
    def _leftover(kind: LeftoverKind, how: _How, one: Mapping[str, Any]) -> Leftover:
        tags = _tags(one)
        return Leftover(
            kind=kind,
            resource_id=one[how.resource_id],
            made_at=one[how.made_at],
            annex_id=AnnexId(tags[ANNEX_ID]) if ANNEX_ID in tags else None,
            lease_tag=lease_of(tags.get(LEASE)),
        )


def _tags(one: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}


def _refused(resource_id: str, error: Mapping[str, Any]) -> None:
    """These calls succeed, and say in the answer that they did not."""
    code = str(error.get("Code", "unexpectedError"))
    if code not in _GONE:
        raise AwsUnavailable(f"AWS could not remove {resource_id} ({code}); it is safe to repeat.")
