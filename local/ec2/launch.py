"""Launches: checked, as many as capacity and quota allow; RunInstances once for each client token.

Source: RunInstances in the EC2 API reference: "EC2 launches the largest possible number of
instances above the specified minimum count"; else InsufficientInstanceCapacity. Fleets launch
through `Launches.start`, too, so that every check holds for their machines.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.utils import convert_tag_spec, parse_user_data

from local.ec2 import checks, prices, service_roles, shapes, templates
from local.ec2.tokens import Tokens
from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.ec2.spot_requests import SpotRequests
    from local.faults import Faults
    from local.options import Options

ENDED = {"shutting-down", "terminated"}
SPOT, ON_DEMAND = "spot", "on-demand"


class Launches:
    """Launches, one at a time."""

    def __init__(self, options: Options, faults: Faults, spot: SpotRequests) -> None:
        self._options = options
        self._faults = faults
        self._spot = spot
        self._lock = threading.Lock()
        self._tokens = Tokens()

    def forget_all(self) -> None:
        """The account is reset: every token is new again."""
        with self._lock:
            self._tokens = Tokens()
            self._spot.forget_all()

    def run_instances(self, response: Any) -> ActionResult:
        """Answer a call; `response` is moto's response object with the parsed parameters.

        Raises:
            AwsError: whatever EC2 refuses.
        """
        asked, backend = response.params, response.ec2_backend
        reference = asked.get("LaunchTemplate")
        tags = templates.own_tags(templates.resolve(backend, reference)) if reference else {}
        params = templates.merged(backend, asked)
        zone = checks.zone_of(backend, params)
        token = params.get("ClientToken")
        with self._lock:
            if token:
                earlier = self._tokens.answered(token, zone, asked)
                if earlier is not None:
                    return ActionResult(earlier)
            checks.check_launch(backend, params, zone)
            if params.get("DryRun"):
                message = "Request would have succeeded, but DryRun flag is set."
                raise AwsError("DryRunOperation", message)
            reservation = self._start(backend, params, zone, tags)
            if token:
                self._tokens.use(token, zone, asked, reservation)
        return ActionResult(reservation)

    def start(self, backend: Any, params: Mapping[str, Any], own_tags: Mapping[str, str]) -> Any:
        """Launch for a fleet: no token, `params` merged; `own_tags` are EC2's own.

        Raises:
            AwsError: whatever EC2 refuses.
        """
        zone = checks.zone_of(backend, params)
        with self._lock:
            checks.check_launch(backend, params, zone)
            return self._start(backend, params, zone, own_tags)

    def _start(
        self, backend: Any, asked: Mapping[str, Any], zone: str, own_tags: Mapping[str, str]
    ) -> Any:
        params = dict(asked)
        market, instance_type = market_of(params), params.get("InstanceType", "m1.small")
        count = self._grant(backend, params, zone)
        _place(backend, params, zone)
        reservation = _run(backend, params, count, own_tags)
        self._options.use(zone, instance_type, market, count)
        if market == SPOT:
            price = prices.spot(instance_type, zone, self._options.spot_prices)
            self._spot.record(params, reservation.instances, price)
        return reservation

    def _grant(self, backend: Any, params: Mapping[str, Any], zone: str) -> int:
        """How many may be started: between MinCount and MaxCount."""
        instance_type, market = params.get("InstanceType", "m1.small"), market_of(params)
        least, most = int(params.get("MinCount", 1)), int(params.get("MaxCount", 1))
        self._faults.strike(
            "ec2",
            "RunInstances",
            after=False,
            zone=zone,
            instance_type=instance_type,
            market=market,
        )
        if market == SPOT:
            service_roles.require(service_roles.SPOT)
            self._check_price(params, instance_type, zone)
        within_quota = _within_quota(backend, self._options, params, least, most)
        available = self._options.available(zone, instance_type, market)
        if available is not None and available < least:
            raise AwsError(
                "InsufficientInstanceCapacity",
                f"We currently do not have sufficient {instance_type} capacity in the Availability "
                f"Zone you requested ({zone}). Our system will be working on provisioning "
                f"additional capacity.",
            )
        return within_quota if available is None else min(within_quota, available)

    def _check_price(self, params: Mapping[str, Any], instance_type: str, zone: str) -> None:
        most = (params["InstanceMarketOptions"].get("SpotOptions") or {}).get("MaxPrice")
        price = prices.spot(instance_type, zone, self._options.spot_prices)
        if most and float(most) < price:
            message = (
                f"Your Spot request price of {most} is lower than the minimum required Spot "
                f"request fulfillment price of {price}."
            )
            raise AwsError("SpotMaxPriceTooLow", message)


def market_of(params: Mapping[str, Any]) -> str:
    """Which market a launch goes to."""
    options = params.get("InstanceMarketOptions") or {}
    return SPOT if options.get("MarketType") == SPOT else ON_DEMAND


def _within_quota(
    backend: Any, options: Options, params: Mapping[str, Any], least: int, most: int
) -> int:
    """Up to `most` within the market's quota of running vCPUs ("Amazon EC2 service quotas").

    EC2 says 'You requested at least' the minimum count: it is the minimum that must fit.
    """
    spot = market_of(params) == SPOT
    limit = options.spot_vcpu_limit if spot else options.vcpu_limit
    if limit is None:
        return most
    each = shapes.vcpus(params.get("InstanceType", "m1.small"))
    running = (
        instance
        for instance in backend.all_instances()
        if instance.state not in {*ENDED, "stopped"} and (instance.lifecycle == SPOT) == spot
    )
    free = (limit - sum(shapes.vcpus(i.instance_type) for i in running)) // each
    if free >= least:
        return min(most, free)
    if spot:
        raise AwsError("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
    raise AwsError(
        "VcpuLimitExceeded",
        f"You have requested more vCPU capacity than your current vCPU limit of {limit} allows "
        f"for the instance bucket that the specified instance type belongs to. Please visit "
        f"http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.",
    )


def _place(backend: Any, params: dict[str, Any], zone: str) -> None:
    """Fill in the default subnet and group, where moto would think of EC2-Classic."""
    # Copies: what a template holds stays as it is.
    interfaces = params["NetworkInterfaces"] = [
        dict(each) for each in params.get("NetworkInterfaces") or ()
    ]
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


def _run(backend: Any, params: Mapping[str, Any], count: int, own_tags: Mapping[str, str]) -> Any:
    """Launch in moto's model, which keeps the instances, their volumes and interfaces."""
    tags = convert_tag_spec(params.get("TagSpecifications") or [])
    tags["instance"] = {**tags.get("instance", {}), **own_tags}
    image = backend.amis[params["ImageId"]]
    profile = _profile(params.get("IamInstanceProfile") or {})
    try:
        reservation = backend.run_instances(
            params["ImageId"],
            count,
            parse_user_data(params.get("UserData")),
            params.get("SecurityGroups") or [],
            instance_type=params.get("InstanceType", "m1.small"),
            is_instance_type_default=False,
            placement=(params.get("Placement") or {}).get("AvailabilityZone"),
            region_name=backend.region_name,
            subnet_id=params.get("SubnetId"),
            key_name=params.get("KeyName"),
            security_group_ids=params.get("SecurityGroupIds") or [],
            nics=params.get("NetworkInterfaces") or [],
            private_ip=params.get("PrivateIpAddress"),
            associate_public_ip=None,
            tags=tags,
            ebs_optimized=params.get("EbsOptimized") or False,
            disable_api_stop=params.get("DisableApiStop") or False,
            disable_api_termination=params.get("DisableApiTermination") or False,
            lifecycle=SPOT if market_of(params) == SPOT else None,
            instance_initiated_shutdown_behavior=params.get("InstanceInitiatedShutdownBehavior"),
            hibernation_options=params.get("HibernationOptions") or {},
            monitoring_state=(
                "enabled" if (params.get("Monitoring") or {}).get("Enabled") else "disabled"
            ),
            metadata_options=params.get("MetadataOptions") or {},
            client_token=params.get("ClientToken", ""),
            block_device_mappings=_merged_devices(image, params),
            iam_instance_profile=profile,
        )
    except EC2ClientError as error:
        raise AwsError(error.code, error.message) from error
    for instance in reservation.instances:
        for interface in instance.nics.values():
            interface.delete_on_termination = True  # as interfaces made at launch are
        if profile:
            backend.associate_iam_instance_profile(
                instance_id=instance.id, iam_instance_profile_arn=profile["Arn"]
            )
    return reservation


def _profile(wanted: Mapping[str, str]) -> dict[str, str] | None:
    if not wanted:
        return None
    found = checks.profile_of(wanted)
    return {"Arn": found.arn, "Id": found.id}


def _merged_devices(image: Any, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The image's own devices with what the launch says about them, then the launch's others.

    Source: EC2 User Guide, "Block device mappings": a launch's mapping overrides the AMI's.
    """
    asked = {each["DeviceName"]: each for each in params.get("BlockDeviceMappings") or ()}
    root = {"VolumeSize": 8, "VolumeType": "gp3", "DeleteOnTermination": True}
    root.update(asked.pop(image.root_device_name, {}).get("Ebs", {}))
    # Instance store volumes and suppressed devices are no volumes.
    others = [each for each in asked.values() if "Ebs" in each and "NoDevice" not in each]
    return [{"DeviceName": image.root_device_name, "Ebs": root}, *others]
