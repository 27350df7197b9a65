"""Trouble on demand: errors by service, action, zone and type, and functions that die."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass
class Fault:
    """One rule; `action`, `zone`, `instance_type` and `market` may have wildcards.

    `times` is how often it strikes (None: always), `skip` how many calls it lets pass first.
    `after` strikes after the call was carried out: the effect is there and the answer is lost.
    `kill` kills (SIGKILL) the very process that made the call, where that is a function's, and
    `function` says of which functions; such a rule has no `code`, and neither zone nor type.
    """

    action: str
    code: str = ""
    service: str = "ec2"
    message: str = ""
    status: int | None = None
    zone: str = "*"
    instance_type: str = "*"
    market: str = "*"  # spot or on-demand
    times: int | None = None
    skip: int = 0
    after: bool = False
    kill: bool = False
    function: str = "*"
    struck: int = field(default=0, init=False)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Fault:
        """A fault from JSON; raises ValueError for a field that is not one, or for no effect."""
        known = {each.name for each in fields(cls) if each.init}
        if not set(values) <= known:
            raise ValueError(f"A fault has no {', '.join(sorted(set(values) - known))}.")
        if bool(values.get("kill")) == bool(values.get("code")):
            raise ValueError("A fault has either a code or kill.")
        return cls(**values)


class Faults:
    """The rules in force, asked at every call; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Put a rule in force."""
        with self._lock:
            self._rules.append(fault)

    def clear(self) -> None:
        """Take all rules away."""
        with self._lock:
            self._rules.clear()

    def rules(self) -> list[dict[str, Any]]:
        """The rules as JSON has them, with how often each struck."""
        with self._lock:
            return [asdict(rule) for rule in self._rules]

    def strike(
        self,
        service: str,
        action: str,
        *,
        after: bool,
        zone: str = "",
        instance_type: str = "",
        market: str = "",
    ) -> None:
        """Raise the error of the first rule that matches.

        Zone, type and market are known only for launches, which ask for themselves
        (local/ec2/launch.py); a fleet's launches ask as RunInstances, too.

        Raises:
            AwsError: the rule's.
        """
        rule = self._due(
            lambda rule: (
                not rule.kill
                and rule.after == after
                and _matches(rule, service, action)
                and fnmatchcase(zone, rule.zone)
                and fnmatchcase(instance_type, rule.instance_type)
                and fnmatchcase(market, rule.market)
            )
        )
        if rule is not None:
            message = rule.message or _MESSAGES.get(rule.code, "The request failed.")
            message = message.format(zone=zone, instance_type=instance_type, action=action)
            raise AwsError(rule.code, message, rule.status)

    def kills(self, service: str, action: str, *, after: bool, function: str) -> bool:
        """Whether the function that makes this call is to die of it now."""
        rule = self._due(
            lambda rule: (
                rule.kill
                and rule.after == after
                and _matches(rule, service, action)
                and fnmatchcase(function, rule.function)
            )
        )
        return rule is not None

    def _due(self, matches: Callable[[Fault], bool]) -> Fault | None:
        """The first rule that matches and whose turn it is; it has struck then."""
        with self._lock:
            for rule in filter(matches, self._rules):
                if rule.skip > 0:
                    rule.skip -= 1
                elif rule.times is None or rule.struck < rule.times:
                    rule.struck += 1
                    return rule
        return None


# EC2's own sentences ("Error codes for the Amazon EC2 API").
_MESSAGES = {
    "InsufficientInstanceCapacity": (
        "We currently do not have sufficient {instance_type} capacity in the Availability Zone you "
        "requested ({zone}). Our system will be working on provisioning additional capacity."
    ),
    "VcpuLimitExceeded": (
        "You have requested more vCPU capacity than your current vCPU limit allows for the "
        "instance bucket that the specified instance type belongs to. Please visit "
        "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit."
    ),
    "MaxSpotInstanceCountExceeded": "Max spot instance count exceeded",
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted": (
        "The provided credentials do not have permission to create the service-linked role for EC2 "
        "Spot Instances."
    ),
    "OptInRequired": (
        "In order to use this AWS Marketplace product you need to accept terms and subscribe. To "
        "do so please visit https://aws.amazon.com/marketplace/pp?sku=0123456789abcdefghijklmno"
    ),
    "RequestLimitExceeded": "Request limit exceeded.",
    "UnauthorizedOperation": (
        "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/me "
        "is not authorized to perform: ec2:{action} because no identity-based policy allows the "
        "ec2:{action} action"
    ),
    "InternalError": "An internal error has occurred.",
    "Unavailable": "The server is overloaded and can't handle the request.",
}


def _matches(rule: Fault, service: str, action: str) -> bool:
    return rule.service == service and fnmatchcase(action, rule.action)
