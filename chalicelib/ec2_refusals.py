"""What EC2's error codes mean for a launch: a definite no and how far it reaches, or not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .aws_errors import code_of, message_of
from .launch import Refusal, RefusalKind

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_SERVER_ERROR = 500

# EC2 API Reference, 'Error codes'. What is not listed here and is no definite refusal of this very
# call leaves the outcome unknown: the attempt stays open and is repeated with its token.
_CAPACITY = frozenset(
    {
        "InsufficientInstanceCapacity",
        "InsufficientHostCapacity",
        "InsufficientFreeAddressesInSubnet",
        "InsufficientAddressCapacity",
        "InsufficientVolumeCapacity",
        "Unsupported",  # the zone does not have the type
    }
)
_QUOTA = frozenset(
    {
        "VcpuLimitExceeded",
        "InstanceLimitExceeded",
        "MaxSpotInstanceCountExceeded",
        "VolumeLimitExceeded",
        "MaxIOPSLimitExceeded",
    }
)
_SPENT = frozenset(
    {"IdempotentInstanceTerminated", "IdempotentParameterMismatch", "InvalidClientToken"}
)
UNKNOWN = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "RequestLimitExceeded",
        "RequestResourceCountExceeded",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "Unavailable",
        "IdempotentRequestInProgress",
        "RequestExpired",
        # Made a moment ago, and not yet known everywhere (EC2, 'Eventual consistency').
        "InvalidLaunchTemplateId.NotFound",
        "InvalidLaunchTemplateName.NotFoundException",
        "500",
        "502",
        "503",
        "504",
    }
)


def refusal_of(error: ClientError) -> Refusal | None:
    """EC2's definite no, or None where it may yet have started something."""
    code = code_of(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in UNKNOWN or (status >= _SERVER_ERROR and code not in _CAPACITY):
        return None
    return Refusal(kind_of(code), code, message_of(error))


def kind_of(code: str) -> RefusalKind:
    """How far a refusal with this code reaches."""
    kinds = (
        (_CAPACITY, RefusalKind.CAPACITY),
        (_QUOTA, RefusalKind.QUOTA),
        (_SPENT, RefusalKind.SPENT),
    )
    return next((kind for codes, kind in kinds if code in codes), RefusalKind.FATAL)
