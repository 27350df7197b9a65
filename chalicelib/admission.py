"""What may be asked for: pure checks of a request against settings and what there is already."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from .errors import BadRequest, CapExceeded
from .tags import check_user_tags

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from .ids import AnnexId
    from .model import Annex
    from .settings import Settings
    from .wire import StartRequest

# All of a configuration folder; it travels in one request and lies in one object.
CONFIG_FILES_BYTES = 256 * 1024
_TYPE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+\Z")
_SUBNET = re.compile(r"subnet-[0-9a-f]{8,17}\Z")
_GROUP = re.compile(r"sg-[0-9a-f]{8,17}\Z")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_KEY_BYTES = 32
_SAID_IN_THE_CONFIGURATION = (
    *("instance_types", "requirements", "ami_id", "subnets", "security_groups"),
    *("key_name", "max_price", "fallback", "user_data"),
)
_KEY_NAME_LENGTH = 255


def check_start(request: StartRequest, settings: Settings) -> None:
    """Everything that can be said of a start or grow without asking AWS.

    Raises BadRequest, CapExceeded.
    """
    if not request.grow and (request.duration_seconds is None or request.idle_seconds is None):
        raise BadRequest("duration_seconds and idle_seconds are needed to start an annex.")
    if request.grow and request.on_rebalance != "record":
        raise BadRequest("on_rebalance is set when an annex is started, and cannot be changed.")
    if request.duration_seconds is not None:
        check_lease(request.duration_seconds, settings)
        if (request.idle_seconds or 0) > request.duration_seconds:
            raise BadRequest(
                f"The idle time ({request.idle_seconds} s) is longer than the lease "
                f"({request.duration_seconds} s): it would never be reached."
            )
    if (request.count or 0) > settings.max_instances_per_annex:
        raise CapExceeded(
            f"{request.count} machines are more than max_instances_per_annex, "
            f"{settings.max_instances_per_annex}, allows."
        )
    _check_market(request)
    _check_words(request)
    if request.key_name is not None:
        check_key_name(request.key_name, settings.key_names)
    check_user_tags(request.tags)
    _check_config_files(request.config_files)
    _check_admin(request)
    user_part(request)


def check_lease(duration_seconds: int, settings: Settings) -> None:
    """The longest lease. Raises CapExceeded."""
    if duration_seconds > settings.max_lease_seconds:
        raise CapExceeded(
            f"A lease of {duration_seconds / 3600:g} hours is longer than max_lease_seconds, "
            f"{settings.max_lease_seconds / 3600:g} hours, allows."
        )


def check_idle(idle_seconds: int, left: timedelta) -> None:
    """A grow's idle time against what is left of the lease. Raises BadRequest."""
    if idle_seconds > left.total_seconds():
        raise BadRequest(
            f"The idle time ({idle_seconds} s) is longer than what is left of the lease "
            f"({left.total_seconds():.0f} s)."
        )


def check_caps(
    annexes: Sequence[Annex], growing: AnnexId | None, more: int, settings: Settings
) -> None:
    """The caps on machines, over all of a caller's annexes. Raises CapExceeded."""
    reserved = {one.annex_id: one.reserved for one in annexes}
    annex_total = more + (reserved.get(growing, 0) if growing else 0)
    if annex_total > settings.max_instances_per_annex:
        raise CapExceeded(
            f"The annex would have {annex_total} machines: max_instances_per_annex allows "
            f"{settings.max_instances_per_annex}."
        )
    owner_total = more + sum(reserved.values())
    if owner_total > settings.max_instances_per_owner:
        raise CapExceeded(
            f"You would have {owner_total} machines in all your annexes: max_instances_per_owner "
            f"allows {settings.max_instances_per_owner}. Stop some first."
        )


def user_part(request: StartRequest) -> bytes | None:
    """The user's own user data, decoded. Raises BadRequest."""
    if request.user_data is None:
        return None
    try:
        return base64.b64decode(request.user_data, validate=True)
    except binascii.Error as error:
        raise BadRequest("user_data is not base64.") from error


def units(request: StartRequest) -> int:
    """Machines or slots, whichever is asked for. Raises BadRequest."""
    if (request.count is None) is (request.slots is None):
        raise BadRequest("Ask either for machines (count) or for slots.")
    return request.count or request.slots or 0


def check_key_name(name: str, allowed: tuple[str, ...] | None) -> None:
    """The key pair against the setting key_names. Raises BadRequest."""
    if allowed is not None and name not in allowed:
        choice = ", ".join(allowed) or "none"
        raise BadRequest(
            f"The key pair {name!r} is not one that the administrator allows (key_names: {choice})."
        )


def _check_market(request: StartRequest) -> None:
    units(request)
    if request.requirements is not None and request.instance_types:
        raise BadRequest("Ask for instance types or for what they must have (requirements).")
    if request.market != "spot" and (request.max_price or request.fallback):
        raise BadRequest("max_price and fallback are for spot machines: ask for market 'spot'.")
    spot = request.market == "spot" or request.spot_fleet_config is not None
    if request.on_rebalance != "record" and not spot:
        raise BadRequest(
            "on_rebalance is for spot machines, the only ones that EC2 warns of so: ask for market "
            "'spot'."
        )
    _check_legacy(request)
    if request.spot_fleet_config is None:
        return
    if request.slots is None:
        raise BadRequest("A Spot Fleet is asked for slots, the units of its WeightedCapacity.")
    twice = [name for name in _SAID_IN_THE_CONFIGURATION if getattr(request, name)]
    if twice:
        raise BadRequest(
            f"{', '.join(twice)}: with spot_fleet_config that is said in the configuration itself."
        )


def _check_legacy(request: StartRequest) -> None:
    if not request.legacy:
        return
    if request.ami_id is None:
        raise BadRequest("legacy is for an AMI of condor_annex's own: name it (ami_id).")
    others = ("slots", "requirements", "spot_fleet_config", "user_data")
    if request.market == "spot" or any(getattr(request, name) for name in others):
        raise BadRequest(
            "Machines of a legacy AMI are on-demand machines of named types, without user data."
        )


def _check_words(request: StartRequest) -> None:
    for words, pattern, what in (
        (request.instance_types, _TYPE, "an instance type like m7i.large"),
        (request.subnets, _SUBNET, "a subnet id like subnet-0123456789abcdef0"),
        (request.security_groups, _GROUP, "a security group id like sg-0123456789abcdef0"),
    ):
        for word in words:
            if not pattern.match(word):
                raise BadRequest(f"{word!r} is not {what}.")
    if request.key_name is not None and not 0 < len(request.key_name) <= _KEY_NAME_LENGTH:
        raise BadRequest("key_name must have 1 to 255 characters.")
    if request.any_owner and request.owners:
        raise BadRequest("any_owner and owners exclude one another.")


def _check_config_files(files: dict[str, str]) -> None:
    for name in files:
        if not _FILE.match(name):
            raise BadRequest(
                f"{name!r} cannot be the name of a configuration file: letters, digits, '.', '_' "
                "and '-' are allowed, and no folder."
            )
    size = sum(len(name.encode()) + len(text.encode()) for name, text in files.items())
    if size > CONFIG_FILES_BYTES:
        raise BadRequest(
            f"The configuration files have {size / 1024:.0f} KiB; "
            f"{CONFIG_FILES_BYTES // 1024} KiB is the most that can be sent."
        )


def _check_admin(request: StartRequest) -> None:
    if request.admin is None:
        return
    name = request.name
    if (request.admin.key_name, request.admin.identity) != (
        f"annex-{name}-admin",
        f"admin@{name}.annex",
    ):
        raise BadRequest(
            f"The admin key of annex {name} must be annex-{name}-admin, for admin@{name}.annex."
        )
    try:
        long_enough = len(base64.b64decode(request.admin.key, validate=True)) >= _KEY_BYTES
    except binascii.Error:
        long_enough = False
    if not long_enough:
        raise BadRequest(f"The admin key must be {_KEY_BYTES} bytes or more, in base64.")
