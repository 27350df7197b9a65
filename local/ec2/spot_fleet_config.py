"""What RequestSpotFleet refuses, and the pools of what it takes.

Source: EC2 API reference, SpotFleetRequestConfigData and SpotFleetLaunchSpecification; EC2 User
Guide, "Spot Fleet permissions" (the fleet role trusts spotfleet.amazonaws.com).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.iam.models import iam_backends

from local import authz
from local.callers import ACCOUNT, acting
from local.ec2 import allocation, capacity, checks, pools
from local.errors import AwsError
from local.iam.needs_launch import of_launch
from local.iam.patterns import as_tuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.ec2.pools import Pool

SERVICE = "spotfleet.amazonaws.com"
_TYPES = {"request", "maintain"}
# Of a launch specification: not RunInstances' parameters, but the fleet's.
_FLEETS_OWN = ("WeightedCapacity", "SpotPrice", "Priority", "InstanceRequirements", "InstanceType")


def checked(backend: Any, config: Mapping[str, Any]) -> list[Pool]:
    """The pools of a request that EC2 takes.

    Raises:
        AwsError: what EC2 refuses.
    """
    role_of(config)
    _check_values(config)
    for each in config.get("TagSpecifications") or ():
        if each.get("ResourceType") != "spot-fleet-request":
            raise _invalid("TagSpecifications.ResourceType")
        checks.check_tags(each.get("Tags") or ())
    specifications = config.get("LaunchSpecifications") or ()
    configs = config.get("LaunchTemplateConfigs") or ()
    if bool(specifications) == bool(configs):
        raise _invalid("LaunchSpecifications")
    if configs:
        found = pools.of_templates(backend, configs)
    elif int(config.get("OnDemandTargetCapacity") or 0):
        # "To launch On-Demand Instances, you must use a launch template."
        raise _invalid("OnDemandTargetCapacity")
    else:
        found = [pool for each in specifications for pool in _of(backend, each)]
        pools.check_distinct(found)
    _permitted(backend, found)
    return found


def role_of(config: Mapping[str, Any]) -> Any:
    """The fleet role.

    Raises:
        AwsError: InvalidSpotFleetRequestConfig where it is missing or trusts another.
    """
    arn = config.get("IamFleetRole")
    roles = list(iam_backends[ACCOUNT]["aws"].roles.values())
    role = next((each for each in roles if each.arn == arn), None)
    if role is None or SERVICE not in _trusted(role):
        raise _invalid("IamFleetRole")
    return role


def _check_values(config: Mapping[str, Any]) -> None:
    until = config.get("ValidUntil")
    total = int(config.get("TargetCapacity") or 0)
    good = {
        "Type": config.get("Type", "maintain") in _TYPES,
        "AllocationStrategy": config.get("AllocationStrategy", "lowestPrice") in _strategies(),
        "TargetCapacity": total >= 1,
        "OnDemandTargetCapacity": 0 <= int(config.get("OnDemandTargetCapacity") or 0) <= total,
        "ValidUntil": not until or _aware(until) > datetime.now(UTC),
    }
    for field, well in good.items():
        if not well:
            raise _invalid(field)
    capacity.check_unit(config)
    if config.get("LoadBalancersConfig"):
        raise AwsError("NotImplemented", "The local account has no load balancers of fleets.")
    if config.get("InstanceInterruptionBehavior", "terminate") != "terminate":
        raise AwsError("NotImplemented", "The local account terminates what it reclaims.")


def _strategies() -> set[str]:
    return {_camel(each) for each in allocation.SPOT_STRATEGIES}


def _camel(strategy: str) -> str:
    first, *rest = strategy.split("-")
    return first + "".join(each.title() for each in rest)


def _trusted(role: Any) -> Iterator[str]:
    document = json.loads(role.assume_role_policy_document)
    for statement in as_tuple(document.get("Statement", ())):
        principal = statement.get("Principal", {})
        if statement.get("Effect") == "Allow" and isinstance(principal, dict):
            yield from as_tuple(principal.get("Service", ()))


def _of(backend: Any, specification: Mapping[str, Any]) -> list[Pool]:
    """The pools of a launch specification."""
    base = {key: value for key, value in specification.items() if key not in _FLEETS_OWN}
    own = {key: specification[key] for key in _FLEETS_OWN if key in specification}
    groups = base.pop("SecurityGroups", None) or ()
    base["SecurityGroupIds"] = [each["GroupId"] for each in groups if each.get("GroupId")]
    base["SecurityGroups"] = [each["GroupName"] for each in groups if not each.get("GroupId")]
    for each in base.get("TagSpecifications") or ():
        if each.get("ResourceType") != "instance":
            raise _invalid("LaunchSpecifications.TagSpecifications.ResourceType")
        checks.check_tags(each.get("Tags") or ())
    checks.check_user_data(base.get("UserData"))
    return pools.of_one(backend, base, own)


def _permitted(backend: Any, found: list[Pool]) -> None:
    """Whoever asks for a fleet must be allowed to launch its instances ("Spot Fleet permissions").

    Passing the instances' role and tagging them is the fleet role's business.
    """
    caller = acting.get()
    if caller is None:
        return
    for pool in found:
        template_id = pool.version.template.id if pool.version else None
        needed = of_launch(backend.region_name, pool.params, template_id)
        launches = (need for need in needed if need.action == "ec2:RunInstances")
        authz.require(caller, launches)


def _invalid(field: str) -> AwsError:
    message = f"Parameter: SpotFleetRequestConfig.{field} is invalid"
    return AwsError("InvalidSpotFleetRequestConfig", message)


def _aware(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
