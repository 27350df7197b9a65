"""What botocore raises, said in the control plane's own words."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from .errors import AwsUnavailable, Forbidden
from .refusal_words import permission_in

if TYPE_CHECKING:
    from collections.abc import Iterator

_DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthFailure", "403"}
)


def code_of(error: ClientError) -> str:
    """AWS's code for an error."""
    return str(error.response.get("Error", {}).get("Code", "Unknown"))


def message_of(error: ClientError) -> str:
    """AWS's sentence, one line, without the encoded authorization message nobody can read."""
    said = str(error.response.get("Error", {}).get("Message", ""))
    return " ".join(said.partition("Encoded authorization failure message:")[0].split()).rstrip(
        ". "
    )


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn AWS's refusals and silences into `Forbidden` and `AwsUnavailable`.

    Args:
        what: the call in words, 'read the ledger'.
    """
    try:
        yield
    except ClientError as error:
        if code_of(error) in _DENIED:
            named = permission_in(message_of(error))
            raise Forbidden(
                f"AWS does not let the control plane {what} "
                f"({code_of(error)}{named and f': {named}'}): ask the administrator to run "
                "check-setup."
            ) from error
        raise AwsUnavailable(
            f"AWS could not {what} ({code_of(error)}: {message_of(error)}); it is safe to repeat."
        ) from error
    except BotoCoreError as error:
        raise AwsUnavailable(
            f"AWS could not {what} ({type(error).__name__}); it is safe to repeat."
        ) from error
