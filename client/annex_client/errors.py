"""Expected trouble: a sentence for the user, and the exit status that belongs to it."""

from __future__ import annotations

from annex_client.exits import Exit


class ClientError(Exception):
    """Something that the user is told in one or two sentences, never with a traceback.

    The message says what happened and what to do. `code` is a word for scripts (`--json`). `annex`
    and `request_id` say what the control plane was asked for, where it was asked.
    """

    exit = Exit.UNEXPECTED
    code = "Unexpected"
    told = False  # the control plane itself said so, and thus knows what became of the request
    annex: str | None = None
    request_id: str | None = None

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code

    def about(self, other: ClientError) -> ClientError:
        """This error, said of the annex and the request of another one that it stands for."""
        self.annex, self.request_id = other.annex, other.request_id
        return self

    @property
    def named(self) -> str:
        """`annex NAME, request ID`: what an administrator looks for in the functions' logs."""
        names = (("annex", self.annex), ("request", self.request_id))
        return ", ".join(f"{what} {name}" for what, name in names if name)


class BadInput(ClientError):
    """The command line or a file it names cannot be used."""

    exit = Exit.BAD_INPUT
    code = "BadInput"


class Refused(ClientError):
    """Someone who may refuse did: IAM, a cap, the pool, or the client itself for safety's sake."""

    exit = Exit.REFUSED
    code = "Refused"


class NotFound(ClientError):
    """No such annex."""

    exit = Exit.NOT_FOUND
    code = "NotFound"


class Conflict(ClientError):
    """It would collide with something that is there."""

    exit = Exit.CONFLICT
    code = "Conflict"


class AwsTrouble(ClientError):
    """AWS or the control plane cannot be reached, or is not set up."""

    exit = Exit.AWS_TROUBLE
    code = "AwsTrouble"


def unsure(trouble: AwsTrouble, sentence: str) -> AwsTrouble:
    """The same trouble while something was to be changed: `sentence` says what is not known."""
    if trouble.code == "NotDeployed":
        return trouble  # nobody is there who could have done anything
    trouble.message += f"  {sentence}"
    return trouble


class PoolTrouble(ClientError):
    """The collector, the schedd or HTCondor's own tools cannot be used."""

    exit = Exit.POOL_TROUBLE
    code = "PoolTrouble"


class TimedOut(ClientError):
    """Waited as long as was asked; what was waited for goes on."""

    exit = Exit.TIMED_OUT
    code = "TimedOut"


class Interrupted(ClientError):
    """Ctrl-C, with a sentence about what goes on nevertheless."""

    exit = Exit.INTERRUPTED
    code = "Interrupted"
