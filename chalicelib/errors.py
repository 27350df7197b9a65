"""Every refusal of the control plane: a code for scripts, an HTTP status, a sentence for people."""

from __future__ import annotations


class AnnexError(Exception):
    """What a caller gets to read. The message says what happened, to which annex, what to do.

    Never put a token, a key or the name of a configuration object into one.
    """

    code = "Internal"
    status = 500

    def __init__(self, message: str, *, annex: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.annex = annex


class BadRequest(AnnexError):
    """The request is not one that could be fulfilled as it is."""

    code = "BadRequest"
    status = 400


class NotOwner(AnnexError):
    """The annex belongs to another AWS identity."""

    code = "NotOwner"
    status = 403


class CapExceeded(AnnexError):
    """More than the deployment's settings allow; the message names the setting."""

    code = "CapExceeded"
    status = 403


class Forbidden(AnnexError):
    """AWS does not let the control plane, or the caller, do it."""

    code = "Forbidden"
    status = 403


class NoSuchAnnex(AnnexError):
    """There is no annex of this name."""

    code = "NoSuchAnnex"
    status = 404


class NameTaken(AnnexError):
    """Someone else's annex has this name; nothing more is told."""

    code = "NameTaken"
    status = 409


class AlreadyThere(AnnexError):
    """The caller's own annex has this name already, and growing it was not asked for."""

    code = "AlreadyThere"
    status = 409


class RequestMismatch(AnnexError):
    """A request id was used again, for something else."""

    code = "RequestMismatch"
    status = 409


class StillLaunching(AnnexError):
    """Earlier requests of the annex still go on, and its record has no room for another beside."""

    code = "StillLaunching"
    status = 409


class AnnexEnding(AnnexError):
    """The annex is on its way out; nothing brings it back."""

    code = "AnnexEnding"
    status = 409


class NoCapacity(AnnexError):
    """EC2 has none of the machines asked for, in any of the zones."""

    code = "NoCapacity"
    status = 409


class QuotaExceeded(AnnexError):
    """The AWS account's own limit; the message has its name."""

    code = "QuotaExceeded"
    status = 409


class AwsUnavailable(AnnexError):
    """AWS did not answer, or not in time: nothing is known of the call's outcome."""

    code = "AwsUnavailable"
    status = 503


class NotSetUp(AnnexError):
    """Part of the deployment is missing."""

    code = "NotSetUp"
    status = 503


class Conflict(AnnexError):
    """A conditional write lost to another; read again. Seen by callers only when it goes on."""

    code = "AwsUnavailable"
    status = 503


class Unreadable(AnnexError):
    """A record that cannot be understood; it rings an alarm and must stop nothing else."""

    code = "Unreadable"
    status = 500
