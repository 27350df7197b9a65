"""What annexes have in EC2 beside machines, by the deployment's tag: removed with the deployment.

Machines that a cancelled request has started are ended as machines. Fleets of type `instant` launch
once, cost nothing, and vanish some time after their machines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annex_client import deployment
from annex_client.aws_errors import code_of
from annex_client.errors import AwsTrouble

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_ec2 import EC2Client


@dataclass(frozen=True)
class _Kind:
    """How EC2 lists a kind and lets go of it, in its own names (EC2 API reference)."""

    listing: str
    answers: str
    resource_id: str
    removal: str
    parameter: str = ""
    state: str = ""  # the field; empty where all that is there must go
    states: tuple[str, ...] = ()
    filtered: bool = True  # the listing knows filters
    refusals: str = ""  # where a good answer says that it was none
    keeps_machines: bool = False  # the removal must be told to leave machines alone


_REQUESTS = (
    _Kind(
        "describe_spot_fleet_requests", "SpotFleetRequestConfigs", "SpotFleetRequestId",
        "cancel_spot_fleet_requests", "SpotFleetRequestIds",
        "SpotFleetRequestState", ("submitted", "active", "modifying"),
        filtered=False, refusals="UnsuccessfulFleetRequests", keeps_machines=True,
    ),
    _Kind(
        "describe_fleets", "Fleets", "FleetId",
        "delete_fleets", "FleetIds",
        "FleetState", ("submitted", "active", "modifying"),
        filtered=False, refusals="UnsuccessfulFleetDeletions", keeps_machines=True,
    ),
    _Kind(
        "describe_spot_instance_requests", "SpotInstanceRequests", "SpotInstanceRequestId",
        "cancel_spot_instance_requests", "SpotInstanceRequestIds",
        "State", ("open", "active", "disabled"),
    ),
)  # fmt: skip
_THINGS = (
    _Kind(
        "describe_launch_templates", "LaunchTemplates", "LaunchTemplateId",
        "delete_launch_template",
    ),
    _Kind(
        "describe_volumes", "Volumes", "VolumeId",
        "delete_volume", state="State", states=("available",),
    ),
)  # fmt: skip


def cancel_requests(ec2: EC2Client) -> list[str]:
    """Cancel the deployment's fleets and spot requests; returns a sentence for what stays."""
    return _remove(ec2, _REQUESTS)


def remove(ec2: EC2Client) -> None:
    """Remove everything: requests, launch templates, volumes that no machine has.

    Raises:
        AwsTrouble: something stays, and why; the rest is removed.
    """
    stays = _remove(ec2, (*_REQUESTS, *_THINGS))
    if stays:
        raise AwsTrouble(
            f"EC2 would not remove everything that annexes left behind: {'  '.join(stays)}  Look at"
            " it in the EC2 console, then run teardown again."
        )


def _remove(ec2: EC2Client, kinds: tuple[_Kind, ...]) -> list[str]:
    """One call for each thing: one that stays keeps no other."""
    import botocore.exceptions  # noqa: PLC0415 - slow to import

    stays = []
    for kind in kinds:
        try:
            ids = list(_ours(ec2, kind))
        except botocore.exceptions.ClientError as error:
            stays.append(f"{kind.listing}: {error}.")
            continue
        for one in ids:
            try:
                why = _let_go(ec2, kind, one)
            except botocore.exceptions.ClientError as error:
                why = "" if _is_gone(code_of(error)) else str(error)
            if why:
                stays.append(f"{one}: {why}.")
    return stays


def _ours(ec2: EC2Client, kind: _Kind) -> Iterator[str]:
    tag = {"Name": f"tag:{deployment.DEPLOYMENT_TAG}", "Values": [deployment.NAME]}
    request: dict[str, Any] = {"Filters": [tag]} if kind.filtered else {}
    paginator: Any = ec2.get_paginator(kind.listing)  # type: ignore[call-overload]
    for page in paginator.paginate(**request, PaginationConfig={"PageSize": 200}):
        for one in page.get(kind.answers, ()):
            tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())}
            if (
                tags.get(deployment.DEPLOYMENT_TAG) == deployment.NAME
                and one.get("Type") != "instant"
                and (not kind.state or one[kind.state] in kind.states)
            ):
                yield str(one[kind.resource_id])


def _let_go(ec2: EC2Client, kind: _Kind, resource_id: str) -> str:
    """Remove one; returns why it stays, or nothing."""
    request: dict[str, Any] = (
        {kind.parameter: [resource_id]} if kind.parameter else {kind.resource_id: resource_id}
    )
    if kind.keeps_machines:
        request["TerminateInstances"] = False
    answer: Mapping[str, Any] = getattr(ec2, kind.removal)(**request)
    codes = [one.get("Error", {}).get("Code", "") for one in answer.get(kind.refusals, ())]
    return ", ".join(code for code in codes if not _is_gone(code))


def _is_gone(code: str) -> bool:
    """EC2's words for what is not there, or launches nothing more anyway."""
    return ".NotFound" in code or code.endswith(
        ("IdDoesNotExist", "NotInCancellableState", "NotInDeletableState")
    )
