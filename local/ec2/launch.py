"""RunInstances: checked, once for each client token, as many as capacity and quota allow.

Source: RunInstances in the EC2 API reference: "EC2 launches the largest possible number of
instances above the specified minimum count"; else InsufficientInstanceCapacity.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError

from local.ec2 import checks, shapes
from local.ec2.tokens import Tokens
from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.faults import Faults
    from local.options import Options

ENDED = {"shutting-down", "terminated"}


class Launches:
    """RunInstances, one at a time; `run` is moto's own once everything is checked."""

    def __init__(self, options: Options, faults: Faults) -> None:
        self._options = options
        self._faults = faults
        self._lock = threading.Lock()
        self._tokens = Tokens()

    def forget_all(self) -> None:
        """The account is reset: every token is new again."""
        with self._lock:
            self._tokens = Tokens()

    def run_instances(self, response: Any, run: Any) -> ActionResult:
        """Answer a call; `response` is moto's response object with the parsed parameters.

        Raises:
            AwsError: whatever EC2 refuses.
        """
        params, backend = response.params, response.ec2_backend
        zone = checks.zone_of(backend, params)
        token = params.get("ClientToken")
        with self._lock:
            if token:
                earlier = self._tokens.answered(token, zone, params)
                if earlier is not None:
                    return ActionResult(earlier)
            checks.check_launch(backend, params, zone)
            if params.get("DryRun"):
                message = "Request would have succeeded, but DryRun flag is set."
                raise AwsError("DryRunOperation", message)
            asked = dict(params)
            count = self._grant(backend, params, zone)
            _place(backend, params, zone)
            reservation = _run(response, run, params, count)
            instance_type = params.get("InstanceType", "m1.small")
            self._options.use(zone, instance_type, count)
            if token:
                self._tokens.use(token, zone, asked, reservation)
        return ActionResult(reservation)

    def _grant(self, backend: Any, params: Mapping[str, Any], zone: str) -> int:
        """How many may be started: between MinCount and MaxCount."""
        instance_type = params.get("InstanceType", "m1.small")
        least, most = int(params.get("MinCount", 1)), int(params.get("MaxCount", 1))
        self._faults.strike(
            "ec2", "RunInstances", after=False, zone=zone, instance_type=instance_type
        )
        within_quota = _within_quota(backend, self._options.vcpu_limit, instance_type, least, most)
        available = self._options.available(zone, instance_type)
        if available is not None and available < least:
            raise AwsError(
                "InsufficientInstanceCapacity",
                f"We currently do not have sufficient {instance_type} capacity in the Availability "
                f"Zone you requested ({zone}). Our system will be working on provisioning "
                f"additional capacity.",
            )
        return within_quota if available is None else min(within_quota, available)


def _within_quota(
    backend: Any, limit: int | None, instance_type: str, least: int, most: int
) -> int:
    """Up to `most` within the quota of running vCPUs ("Amazon EC2 service quotas").

    EC2 says 'You requested at least' the minimum count: it is the minimum that must fit.
    """
    if limit is None:
        return most
    each = shapes.vcpus(instance_type)
    running = (i for i in backend.all_instances() if i.state not in {*ENDED, "stopped"})
    free = (limit - sum(shapes.vcpus(i.instance_type) for i in running)) // each
    if free < least:
        raise AwsError(
            "VcpuLimitExceeded",
            f"You have requested more vCPU capacity than your current vCPU limit of {limit} allows "
            f"for the instance bucket that the specified instance type belongs to. Please visit "
            f"http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.",
        )
    return min(most, free)


def _place(backend: Any, params: dict[str, Any], zone: str) -> None:
    """Fill in the default subnet and group, where moto would think of EC2-Classic."""
    interfaces = params.get("NetworkInterfaces") or []
    where = interfaces[0] if interfaces else params
    subnet_id = checks.subnet_of(params)
    if subnet_id is None:
        subnet = backend.get_default_subnets().get(zone)
        if subnet is None:
            message = f"No default subnet for availability zone: '{zone}'."
            raise AwsError("InvalidInput", message)
        subnet_id = where["SubnetId"] = subnet.id
    field = "Groups" if interfaces else "SecurityGroupIds"
    if not where.get(field) and not params.get("SecurityGroups"):
        vpc_id = backend.get_subnet(subnet_id).vpc_id
        groups = backend.groups[vpc_id].values()
        where[field] = [group.id for group in groups if group.name == "default"]


def _run(response: Any, run: Any, params: dict[str, Any], count: int) -> Any:
    profile = params.get("IamInstanceProfile")
    backend = response.ec2_backend
    params["MinCount"] = count  # moto starts MinCount
    params["BlockDeviceMappings"] = _merged_devices(backend.amis[params["ImageId"]], params)
    # moto would look at a launch's profile for its first instance alone.
    params.pop("IamInstanceProfile", None)
    try:
        reservation = run(response).result
    except EC2ClientError as error:
        raise AwsError(error.code, error.message) from error
    for instance in reservation.instances:
        for interface in instance.nics.values():
            interface.delete_on_termination = True  # as interfaces made at launch are
        if profile:
            association = backend.associate_iam_instance_profile(
                instance_id=instance.id,
                iam_instance_profile_name=profile.get("Name"),
                iam_instance_profile_arn=profile.get("Arn"),
            )
            found = association.iam_instance_profile
            instance.iam_instance_profile = {"Arn": found.arn, "Id": found.id}
    return reservation


def _merged_devices(image: Any, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The image's own devices with what the launch says about them, then the launch's others.

    Source: EC2 User Guide, "Block device mappings": a launch's mapping overrides the AMI's.
    """
    asked = {each["DeviceName"]: each for each in params.get("BlockDeviceMappings") or ()}
    root = {"VolumeSize": 8, "VolumeType": "gp3", "DeleteOnTermination": True}
    root.update(asked.pop(image.root_device_name, {}).get("Ebs", {}))
    return [{"DeviceName": image.root_device_name, "Ebs": root}, *asked.values()]
