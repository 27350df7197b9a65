"""Pages as EC2 has them: MaxResults and a NextToken that says where to go on."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult

from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAGE = 1000


def page(
    params: Mapping[str, Any], found: Sequence[Any], default: int = PAGE
) -> tuple[Sequence[Any], str | None]:
    """What belongs on the page that is asked for, and the token of the next one.

    Raises:
        AwsError: InvalidParameterValue for a token that is none.
    """
    start = _offset(params.get("NextToken"))
    end = start + int(params.get("MaxResults") or default)
    return found[start:end], _token(end) if end < len(found) else None


def answer(
    params: Mapping[str, Any], field: str, found: Sequence[Any], **others: Any
) -> ActionResult:
    """The page that is asked for as an answer's list `field`."""
    chosen, token = page(params, found)
    return ActionResult({field: list(chosen), "NextToken": token, **others})


def _token(offset: int) -> str:
    return base64.urlsafe_b64encode(f"page:{offset}".encode()).decode()


def _offset(token: str | None) -> int:
    if not token:
        return 0
    try:
        kind, _, offset = base64.urlsafe_b64decode(token).decode().partition(":")
        if kind == "page":
            return int(offset)
    except (binascii.Error, ValueError):
        pass
    raise AwsError("InvalidParameterValue", f"Unable to parse pagination token ({token})")
