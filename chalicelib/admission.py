"""What may be asked for: pure checks of a request against settings and what there is already."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from .errors import BadRequest, CapExceeded
from .tags import check_user_tags

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from .model import Annex, AnnexId
    from .settings import Settings
    from .wire import StartRequest

# All of a configuration folder; it travels in one request and lies in one object.
CONFIG_FILES_BYTES = 256 * 1024
# A record holds its launches, and DynamoDB 400 KB.
LAUNCHES_PER_ANNEX = 100
_TYPE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+\Z")
_SUBNET = re.compile(r"subnet-[0-9a-f]{8,17}\Z")
_GROUP = re.compile(r"sg-[0-9a-f]{8,17}\Z")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_KEY_BYTES = 32
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
    if request.count > settings.max_instances_per_annex:
        raise CapExceeded(
            f"{request.count} machines are more than max_instances_per_annex, "
            f"{settings.max_instances_per_annex}, allows."
        )
    _check_words(request)
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
    annexes: Iterable[Annex], growing: AnnexId | None, more: int, settings: Settings
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
