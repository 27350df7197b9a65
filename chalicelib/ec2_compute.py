"""EC2's machines: launched by frozen attempts, found by exact tags, ended one way or another."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from .aws_errors import code_of, message_of, translated
from .ec2_fleet import EC2Fleets
from .ec2_refusals import UNKNOWN, refusal_of
from .ec2_request import run_instances_request
from .errors import AwsUnavailable
from .ids import AnnexId, InstanceId
from .iso import iso
from .launch import Launched, Refusal, Road
from .launch_templates import LaunchTemplates
from .model import Instance, InstanceState
from .spot_fleet import SpotFleets
from .tags import ANNEX_ID, ATTEMPT, DEPLOYMENT, LEASE, lease_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

    from .launch import Attempt, LaunchSpec
    from .model import Annex

# TerminateInstances takes 1,000 ids, but is all or nothing: small batches lose little to a bad id.
_BATCH = 200


class EC2Compute:
    """`ports.Compute` on EC2, for the machines of one deployment."""

    def __init__(self, client: EC2Client, deployment: str) -> None:
        self._client = client
        self._deployment = deployment
        self._templates = LaunchTemplates(client, deployment)
        self._fleets = EC2Fleets(client, deployment, self._templates)
        self._spot_fleets = SpotFleets(client, deployment, self._templates)

    def launch(self, spec: LaunchSpec, attempt: Attempt) -> Launched | Refusal:
        if attempt.place is not None:
            return self._run(spec, attempt)
        if spec.road is Road.SPOT_FLEET:
            return self._spot_fleets.launch(spec, attempt)
        return self._fleets.launch(spec, attempt)

    def _run(self, spec: LaunchSpec, attempt: Attempt) -> Launched | Refusal:
        with translated("start machines"):
            try:
                answer = self._client.run_instances(**run_instances_request(spec, attempt))
            except ClientError as error:
                refusal = refusal_of(error)
                if refusal is None:
                    raise
                return refusal
        return Launched(tuple((InstanceId(one["InstanceId"]), 1) for one in answer["Instances"]))

    def rehearse(self, spec: LaunchSpec, attempt: Attempt) -> Refusal | None:
        if spec.road is Road.SPOT_FLEET:
            return self._spot_fleets.rehearse(spec, attempt)
        with translated("rehearse starting machines"):
            try:
                self._client.run_instances(**run_instances_request(spec, attempt), DryRun=True)
            except ClientError as error:
                if code_of(error) == "DryRunOperation":
                    return None
                refusal = refusal_of(error)
                if refusal is None:
                    raise
                return refusal
        return None

    def instances(self, annex_id: AnnexId | None = None) -> list[Instance]:
        filters = [{"Name": f"tag:{DEPLOYMENT}", "Values": [self._deployment]}]
        if annex_id is not None:
            # An exact value: EC2 would read '*' and '?', and ids have neither.
            filters.append({"Name": f"tag:{ANNEX_ID}", "Values": [annex_id]})
        return self._described(Filters=filters, PaginationConfig={"PageSize": 1000})

    def instance(self, instance_id: InstanceId) -> Instance | None:
        filters = [
            {"Name": f"tag:{DEPLOYMENT}", "Values": [self._deployment]},
            {"Name": "instance-id", "Values": [instance_id]},
        ]
        return next(iter(self._described(Filters=filters)), None)

    def by_id(self, instance_ids: Sequence[InstanceId]) -> list[Instance]:
        found: list[Instance] = []
        for start in range(0, len(instance_ids), _BATCH):
            found += self._known(list(instance_ids[start : start + _BATCH]))
        return found

    def terminate(self, instance_ids: Iterable[InstanceId]) -> Mapping[InstanceId, str]:
        ids = list(dict.fromkeys(instance_ids))
        refused: dict[InstanceId, str] = {}
        for start in range(0, len(ids), _BATCH):
            self._terminate(ids[start : start + _BATCH], refused)
        return refused

    def tag_lease(self, instance_ids: Sequence[InstanceId], expires_at: datetime) -> None:
        for start in range(0, len(instance_ids), _BATCH):
            self._tag(list(instance_ids[start : start + _BATCH]), expires_at)

    def cancel_requests(
        self, annex_id: AnnexId, known: Sequence[str], *, terminate: bool
    ) -> Mapping[str, tuple[Refusal, ...]]:
        return self._spot_fleets.cancel(annex_id, known, terminate=terminate)

    def clear(self, annex: Annex) -> None:
        self._fleets.clear(annex)
        self._templates.clear(annex.annex_id)

    def _known(self, batch: list[InstanceId]) -> list[Instance]:
        """By ids, not by a filter: EC2 must say of each that there is no such machine."""
        with translated("look for machines"):
            try:
                return self._pages(InstanceIds=batch)
            except ClientError as error:
                bad = _named(error, batch) or (batch if len(batch) == 1 else [])
                if not code_of(error).startswith("InvalidInstanceID") or not bad:
                    raise
        rest = [one for one in batch if one not in bad]
        return self._known(rest) if rest else []

    def _tag(self, batch: list[InstanceId], expires_at: datetime) -> None:
        with translated("tag machines with their lease"):
            try:
                self._client.create_tags(
                    Resources=batch, Tags=[{"Key": LEASE, "Value": iso(expires_at)}]
                )
            except ClientError as error:
                bad = _named(error, batch)
                if not code_of(error).startswith("InvalidInstanceID") or not bad:
                    raise
                rest = [one for one in batch if one not in bad]
                if rest:
                    self._tag(rest, expires_at)

    def _terminate(self, batch: list[InstanceId], refused: dict[InstanceId, str]) -> None:
        """End a batch; EC2 ends none of it when one id is bad, so leave that out or halve."""
        try:
            with translated("end machines"):
                try:
                    self._client.terminate_instances(InstanceIds=batch)
                except ClientError as error:
                    if code_of(error) in UNKNOWN:
                        raise  # nothing wrong with any id: halving would only ask more often
                    self._terminate_without(batch, error, refused)
        except AwsUnavailable as error:
            # The other batches must have their turn.
            refused.update(dict.fromkeys(batch, error.message))

    def _terminate_without(
        self, batch: list[InstanceId], error: ClientError, refused: dict[InstanceId, str]
    ) -> None:
        bad = _named(error, batch)
        if not code_of(error).startswith("InvalidInstanceID"):  # those are gone: nothing to end
            one = bad or (batch if len(batch) == 1 else [])
            refused.update(dict.fromkeys(one, f"{message_of(error)} ({code_of(error)})"))
        elif len(batch) == 1:
            return
        if bad:
            rest = [one for one in batch if one not in bad]
            if rest:
                self._terminate(rest, refused)
        elif len(batch) > 1:
            half = len(batch) // 2
            self._terminate(batch[:half], refused)
            self._terminate(batch[half:], refused)

    def _described(self, **request: Any) -> list[Instance]:
        with translated("list machines"):
            return self._pages(**request)

    def _pages(self, **request: Any) -> list[Instance]:
        return [
            _instance(one)
            for page in self._client.get_paginator("describe_instances").paginate(**request)
            for reservation in page["Reservations"]
            for one in reservation["Instances"]
        ]


def _named(error: ClientError, batch: list[InstanceId]) -> list[InstanceId]:
    """The ids of the batch that EC2's message names."""
    named = set(re.findall(r"i-[0-9a-zA-Z]+", message_of(error)))
    return [one for one in batch if one in named]


def _instance(one: InstanceTypeDef) -> Instance:
    tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}
    return Instance(
        instance_id=InstanceId(one["InstanceId"]),
        state=_state(one["State"]["Name"]),
        instance_type=one["InstanceType"],
        zone=one["Placement"]["AvailabilityZone"],
        launched_at=one["LaunchTime"],
        annex_id=AnnexId(tags[ANNEX_ID]) if ANNEX_ID in tags else None,
        client_token=tags.get(ATTEMPT) or one.get("ClientToken", ""),
        lease_tag=lease_of(tags.get(LEASE)),
        lifecycle="spot" if one.get("InstanceLifecycle") == "spot" else "on-demand",
        private_dns_name=one.get("PrivateDnsName", ""),
        state_reason=one.get("StateReason", {}).get("Message", ""),
    )


def _state(word: str) -> InstanceState:
    """A word that EC2 does not have today counts as running: such a machine costs money."""
    try:
        return InstanceState(word)
    except ValueError:
        return InstanceState.RUNNING
