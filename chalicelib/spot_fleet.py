"""Spot Fleet requests: made of frozen templates and configuration, found by their tags, cancelled.

A request is only accepted: EC2 starts machines for it as it can, until the request is complete,
cancelled or past its time. So whoever ends an annex cancels its requests first.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ParamValidationError

from .aws_errors import code_of, translated
from .ec2_refusals import refusal_of
from .errors import AnnexError, AwsUnavailable
from .launch import Launched, Refusal, RefusalKind
from .tags import ANNEX_ID, ATTEMPT, DEPLOYMENT, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mypy_boto3_ec2 import EC2Client

    from .ids import AnnexId
    from .launch import Attempt, LaunchSpec
    from .launch_templates import LaunchTemplates

# After that EC2 gives up by itself, should nobody cancel the request.
VALID_FOR = timedelta(minutes=15)
_BATCH = 100  # CancelSpotFleetRequests takes no more
_UNDER_WAY = ("submitted", "active", "modifying")
# CancelSpotFleetRequests's own words for a request that starts nothing any more.
_OVER = ("fleetRequestIdDoesNotExist", "fleetRequestNotInCancellableState")
# Where a policy asks for a tag, EC2 calls an id that does not exist a lack of rights.
_NO_SUCH = ("InvalidSpotFleetRequestId", "UnauthorizedOperation")
# ActivityStatus of a request that has all it was asked for.
_WHOLE = "fulfilled"
# EC2 API Reference, EventInformation: what it says of machines that it did not start; errors too.
_LACKS = {
    "launchSpecUnusable": RefusalKind.CAPACITY,
    "launchSpecTemporarilyBlacklisted": RefusalKind.CAPACITY,
    "fleetProgressHalted": RefusalKind.CAPACITY,
    "allLaunchSpecsTemporarilyBlacklisted": RefusalKind.CAPACITY,
    "spotInstanceCountLimitExceeded": RefusalKind.QUOTA,
}
# EC2 calls a configuration invalid, too, where a zone has just no machines of a type left
# (github.com/c6fc/npk/issues/70).
_NO_ROOM = "do not have sufficient"
_EVER = datetime(2006, 8, 1, tzinfo=UTC)  # there was no EC2 before
_MOST_REASONS, _MOST_SAID = 5, 200  # a record has little room
_TAGGED = ("instance", "volume", "spot-fleet-request")


class SpotFleets:
    """Launches by RequestSpotFleet, for one deployment."""

    def __init__(self, client: EC2Client, deployment: str, templates: LaunchTemplates) -> None:
        self._client = client
        self._deployment = deployment
        self._templates = templates

    def launch(self, spec: LaunchSpec, attempt: Attempt) -> Launched | Refusal:
        """Make templates and request; repeated, both are the ones there are.

        Raises AwsUnavailable: not known, repeating is safe.
        """
        with translated("request a Spot Fleet"):
            try:
                for name, data in self.templates(spec, attempt):
                    self._templates.make(name, data, spec.tags)
                answer = self._client.request_spot_fleet(
                    SpotFleetRequestConfig=self.request(spec, attempt)  # type: ignore[arg-type]  # JSON of that shape
                )
            except (ClientError, ParamValidationError) as error:
                return _refused(error)
        return Launched((), fleet_id=answer["SpotFleetRequestId"], final=False)

    def rehearse(self, spec: LaunchSpec, attempt: Attempt) -> Refusal | None:
        """Ask whether EC2 would let templates and request be made; the templates are not there."""
        with translated("rehearse a Spot Fleet"):
            for name, data in self.templates(spec, attempt):
                refusal = _rehearsed(
                    self._client.create_launch_template,
                    LaunchTemplateName=name,
                    LaunchTemplateData=data,
                    TagSpecifications=[
                        {"ResourceType": "launch-template", "Tags": listed(spec.tags)}
                    ],
                )
                if refusal is not None:
                    return refusal
            return _rehearsed(
                self._client.request_spot_fleet,
                SpotFleetRequestConfig=self.request(spec, attempt),
            )

    def templates(self, spec: LaunchSpec, attempt: Attempt) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and LaunchTemplateData of each template, the attempt's token among its tags."""
        for number, text in enumerate(_fleet_of(spec).templates):
            data = json.loads(text)
            _tag(data["TagSpecifications"], attempt)
            yield self._template_name(attempt, number), data

    def request(self, spec: LaunchSpec, attempt: Attempt) -> dict[str, Any]:
        """The SpotFleetRequestConfig of an attempt: the same values at every repeat."""
        config: dict[str, Any] = json.loads(_fleet_of(spec).config)
        for one in config["LaunchTemplateConfigs"]:
            one["LaunchTemplateSpecification"] = {
                "LaunchTemplateName": self._template_name(attempt, one.pop("Template")),
                "Version": "1",
            }
        _tag(config["TagSpecifications"], attempt)
        return {
            **config,
            "ClientToken": attempt.client_token,
            "TargetCapacity": attempt.count,
            "ValidUntil": attempt.called_at + VALID_FOR,
        }

    def cancel(
        self, annex_id: AnnexId, known: Sequence[str], *, terminate: bool
    ) -> dict[str, tuple[Refusal, ...]]:
        """`ports.Compute.cancel_requests`."""
        found = self._of(annex_id, frozenset(known))
        under_way = [
            one["SpotFleetRequestId"]
            for one in found
            if one.get("SpotFleetRequestState", "active") in _UNDER_WAY
        ]
        lacking = [
            one["SpotFleetRequestId"]
            for one in found
            if one["SpotFleetRequestId"] in under_way and one.get("ActivityStatus") != _WHOLE
        ]
        for start in range(0, len(under_way), _BATCH):
            self._cancel(under_way[start : start + _BATCH], terminate=terminate)
        # Known, but not shown: too new, or long forgotten.
        shown = {one["SpotFleetRequestId"] for one in found}
        for request_id in known:
            if request_id.startswith("sfr-") and request_id not in shown:
                self._cancel([request_id], terminate=terminate, may_be_gone=True)
        said = {request_id: self._said_of(request_id) for request_id in lacking}
        return {_token_of(one): said.get(one["SpotFleetRequestId"], ()) for one in found}

    def _of(self, annex_id: AnnexId, known: frozenset[str]) -> list[Any]:
        """The annex's requests, in whatever state: DescribeSpotFleetRequests knows no filters."""
        ours = {(DEPLOYMENT, self._deployment), (ANNEX_ID, annex_id)}
        with translated("list Spot Fleet requests"):
            return [
                one
                for page in self._client.get_paginator("describe_spot_fleet_requests").paginate()
                for one in page["SpotFleetRequestConfigs"]
                if one["SpotFleetRequestId"] in known or ours <= _tags_of(one).items()
            ]

    def _cancel(self, ids: list[str], *, terminate: bool, may_be_gone: bool = False) -> None:
        with translated("cancel Spot Fleet requests"):
            try:
                answer = self._client.cancel_spot_fleet_requests(
                    SpotFleetRequestIds=ids, TerminateInstances=terminate
                )
            except ClientError as error:
                if may_be_gone and code_of(error).startswith(_NO_SUCH):
                    return
                raise
        left = {
            one["SpotFleetRequestId"]: one["Error"]["Code"]
            for one in answer.get("UnsuccessfulFleetRequests", [])
            if one["Error"]["Code"] not in _OVER
        }
        if left:
            told = ", ".join(f"{one} ({why})" for one, why in sorted(left.items()))
            raise AwsUnavailable(f"EC2 would not cancel Spot Fleet requests: {told}.")

    def _said_of(self, request_id: str) -> tuple[Refusal, ...]:
        """Why it did not start all that it was asked for; no words of EC2's are no error."""
        try:
            with translated("read what became of a Spot Fleet request"):
                # The first page: what is said there is said again and again.
                answer: Any = self._client.describe_spot_fleet_request_history(
                    SpotFleetRequestId=request_id, StartTime=_EVER
                )
        except AnnexError:
            return ()
        said = {}
        for record in answer["HistoryRecords"]:
            event, code = record["EventInformation"], record["EventInformation"]["EventSubType"]
            if record["EventType"] == "error" or code in _LACKS:
                text = " ".join((event.get("EventDescription") or "").split())[:_MOST_SAID]
                other = RefusalKind.CAPACITY if _NO_ROOM in text else RefusalKind.FATAL
                kind = _LACKS.get(code, other)
                where = f"Spot Fleet {request_id}"
                said[code, text] = Refusal(kind, code, text.rstrip(". "), where)
        return tuple(said.values())[:_MOST_REASONS]

    def _template_name(self, attempt: Attempt, number: int) -> str:
        """Annex and launch, whose only attempt this is, and the template's number."""
        launch = attempt.client_token.rpartition("-")[0]
        return f"{self._deployment}-{launch}-{number}"


def _fleet_of(spec: LaunchSpec) -> Any:  # noqa: ANN401  a SpotFleet, where there is one
    if spec.spot_fleet is None:
        raise ValueError("a Spot Fleet's launch that is closed is never called again")
    return spec.spot_fleet


def _refused(error: ClientError | ParamValidationError) -> Refusal:
    if isinstance(error, ParamValidationError):
        # This runtime's SDK does not know what the user's JSON has: nothing was asked of EC2.
        said = " ".join(str(error).split())
        return Refusal(RefusalKind.FATAL, "ParamValidation", said.rstrip(". "))
    refusal = refusal_of(error)
    if refusal is None:
        raise error
    return refusal


def _rehearsed(call: Any, **request: Any) -> Refusal | None:  # noqa: ANN401  a client's method
    try:
        call(**request, DryRun=True)
    except ParamValidationError as error:
        return _refused(error)
    except ClientError as error:
        # Not there since this is a rehearsal.
        missing = code_of(error).startswith("InvalidLaunchTemplateName.NotFound")
        return None if missing or code_of(error) == "DryRunOperation" else _refused(error)
    return None


def _tag(specifications: list[Any], attempt: Attempt) -> None:
    for one in specifications:
        if one["ResourceType"] in _TAGGED:
            one["Tags"].append({"Key": ATTEMPT, "Value": attempt.client_token})


def _tags_of(request: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}


def _token_of(request: Mapping[str, Any]) -> str:
    told = request.get("SpotFleetRequestConfig", {}).get("ClientToken", "")
    return _tags_of(request).get(ATTEMPT) or str(told)
