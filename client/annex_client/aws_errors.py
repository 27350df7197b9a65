"""AWS's own refusals and silences as sentences, for the commands that call AWS directly."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from annex_client.errors import AwsTrouble, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError")
_BAD_KEYS = (
    *("InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure", "InvalidAccessKeyId"),
    *("SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException", "RequestExpired"),
)


@contextmanager
def translated(doing: str, region: str) -> Iterator[None]:
    """Turn botocore's exceptions inside into ours; `doing` completes 'AWS ... while ...'.

    Raises:
        Refused: denied, or the keys are no good.
        AwsTrouble: anything else.
    """
    import botocore.exceptions as problems  # noqa: PLC0415 - slow to import

    try:
        yield
    except problems.ClientError as error:
        told = error.response.get("Error", {})
        code, message = told.get("Code", "unknown"), told.get("Message", "")
        if code in DENIED:
            raise Refused(
                f"AWS does not allow it, while {doing}: {error.operation_name} was denied"
                f" ({message}).  Use an AWS user or role that administers the account.",
                code="AccessDenied",
            ) from None
        if code in _BAD_KEYS:
            raise Refused(
                f"AWS does not accept these credentials ({code}: {message}).  Check the keys, and"
                " that this host's clock is right.",
                code="BadCredentials",
            ) from None
        raise AwsTrouble(f"AWS failed while {doing}: {code}: {message}") from None
    except (problems.EndpointConnectionError, problems.ConnectTimeoutError):
        raise AwsTrouble(
            f"AWS in the region {region!r} cannot be reached, while {doing}.  Check the network,"
            " the region's name, and AWS_ENDPOINT_URL if it is set."
        ) from None
    except problems.InvalidRegionError:
        raise AwsTrouble(f"{region!r} is not an AWS region's name; us-east-1 would be.") from None
    except problems.BotoCoreError as error:
        raise AwsTrouble(f"AWS failed while {doing}: {error}") from None


def code_of(error: Exception) -> str:
    """AWS's code of a botocore ClientError."""
    response = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))
