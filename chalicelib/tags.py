"""The tags by which machines are found without any record, and which tags users may add."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .errors import BadRequest
from .iso import iso, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from mypy_boto3_ec2.type_defs import TagTypeDef

NAME = "htcondor:AnnexName"
ANNEX_ID = "htcondor:AnnexId"
OWNER = "htcondor:AnnexOwner"
LEASE = "htcondor:LeaseExpiration"
DEPLOYMENT = "htcondor:AnnexDeployment"
# On a fleet's machines, whose ClientToken is the fleet's own business: the attempt's token.
ATTEMPT = "htcondor:AnnexAttempt"
DISPLAY_NAME = "Name"

# EC2 User Guide, 'View tags ... using instance metadata': a key must consist of these, and be
# neither '.' nor '..' nor '_index', or the launch fails.
_KEY = re.compile(r"[A-Za-z0-9+\-=.,_:@]{1,128}\Z")
_RESERVED = ("htcondor:", "aws:")
_VALUE_LENGTH = 256
_MOST = 50  # tags on one resource
_OURS = 7


def annex_tags(
    deployment: str, name: str, annex_id: str, identity: str, expires_at: datetime
) -> dict[str, str]:
    """Our own tags on every instance and volume."""
    return {
        NAME: name,
        ANNEX_ID: annex_id,
        OWNER: identity,
        LEASE: iso(expires_at),
        DEPLOYMENT: deployment,
        DISPLAY_NAME: f"annex {name}",
    }


def lease_of(tag: str | None) -> datetime | None:
    """The lease in a tag. Anyone in the account can write it: what is not a time counts as none."""
    try:
        return None if tag is None else moment(tag)
    except ValueError:
        return None


def listed(pairs: Iterable[tuple[str, str]]) -> list[TagTypeDef]:
    """Tags in the form that EC2's calls take."""
    return [{"Key": key, "Value": value} for key, value in pairs]


def check_user_tags(tags: Mapping[str, str]) -> None:
    """Refuse what would make every launch fail, or speak in our name. Raises BadRequest."""
    check_reserved(tags)
    for key, value in tags.items():
        if not _KEY.match(key) or key in (".", "..", "_index"):
            raise BadRequest(
                f"The tag key {key!r} cannot be read through the instance's metadata service, and "
                "EC2 would refuse the launch: use letters, digits and + - = . , _ : @ alone."
            )
        if len(value) > _VALUE_LENGTH:
            raise BadRequest(f"The value of tag {key!r} is longer than {_VALUE_LENGTH} characters.")
    if len(tags) > _MOST - _OURS:
        raise BadRequest(f"EC2 takes {_MOST} tags at most, {_OURS} of them ours.")


def check_reserved(tags: Mapping[str, str]) -> None:
    """Refuse tags, on whatever they are, that speak in our name or AWS's. Raises BadRequest."""
    for key in tags:
        if key.lower().startswith(_RESERVED):
            raise BadRequest(f"The tag {key!r} is reserved: choose a key without its prefix.")
