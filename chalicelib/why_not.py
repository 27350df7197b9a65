"""The error for a launch that started nothing: what EC2 said, place by place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .errors import (
    AnnexEnding,
    AnnexError,
    AwsUnavailable,
    BadRequest,
    Forbidden,
    NoCapacity,
    QuotaExceeded,
)
from .launch import RefusalKind
from .launching import notes

if TYPE_CHECKING:
    from .launch import Launch
    from .model import Annex

_NOT_ALLOWED = frozenset(
    {"UnauthorizedOperation", "OptInRequired", "PendingVerification", "Blocked", "AuthFailure"}
)


def why_not(annex: Annex, launch: Launch) -> AnnexError:
    """An error to be raised; its class says what kind of no it was."""
    told = " ".join(notes(replace(launch, closed="")))
    if not launch.refusals:
        if not annex.state.is_living and annex.reason:
            return AnnexEnding(
                f"Annex {annex.name} has ended before any machine was started: {annex.reason}.",
                annex=annex.name,
            )
        return AwsUnavailable(
            f"EC2 has not answered for annex {annex.name}: {launch.closed}.", annex=annex.name
        )
    kind = _error_for(launch)
    return kind(
        f"No machine was started for annex {annex.name}, and nothing is running that was not "
        f"before. {told}",
        annex=annex.name,
    )


def _error_for(launch: Launch) -> type[AnnexError]:
    last = launch.refusals[-1]
    if launch.attempts[-1].is_final:
        if last.kind is RefusalKind.SPENT:
            return AwsUnavailable
        return Forbidden if last.code.partition(".")[0] in _NOT_ALLOWED else BadRequest
    if all(one.kind is RefusalKind.QUOTA for one in launch.refusals):
        return QuotaExceeded
    return NoCapacity
