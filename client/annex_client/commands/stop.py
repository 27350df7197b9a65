"""`stop`: end an annex now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annex_client import admin_key, waiting
from annex_client.errors import AwsTrouble, Interrupted, NotFound, unsure
from annex_client.exits import Exit
from annex_client.render import plural

if TYPE_CHECKING:
    from annex_client.session import Session
    from annex_client.views import Annex


@dataclass(frozen=True)
class StopOptions:
    """`wait_seconds` is None where nobody waits."""

    name: str
    yes: bool = False
    wait_seconds: int | None = None


def run(session: Session, options: StopOptions) -> Exit:
    """Ask, then end the annex; what was begun goes on without this program.

    Raises:
        ClientError: the annex goes on as it was, or (said so) that is not known.
    """
    name, out = options.name, session.out
    if not options.yes:
        annex = session.api.find(name)
        if annex is None:
            raise _none(name)
        if not annex.over:
            out.say(_what_will_end(annex))
            if not out.ask("Is that OK?"):
                out.say("Nothing was ended.")
                out.facts({"name": name, "state": annex.state, "confirmed": False})
                return Exit.UNEXPECTED
    try:
        annex = session.api.stop(name)
    except NotFound as missing:
        raise _none(name).about(missing) from None
    except AwsTrouble as trouble:
        raise unsure(
            trouble,
            f"It is not known whether {name} is ending: the same command may be given again.",
        ) from None
    except KeyboardInterrupt:
        raise Interrupted(
            f"Interrupted: {name} may be ending, or not.  Give the command again to be sure."
        ) from None
    admin_key.forget(session.context, name)
    if annex.over:
        out.say(f"{name} has ended.")
    else:
        left = len(annex.not_ended)
        soon = f": {plural(left, 'machine')} will be gone soon" if left else "; no machine is left"
        out.say(f"{name} is ending{soon}.")
    if options.wait_seconds is not None and not annex.over:
        annex = waiting.for_end(session, annex, options.wait_seconds)
        out.say(f"{name} has ended.")
    out.facts({"name": annex.name, "annex_id": annex.annex_id, "state": annex.state})
    return Exit.DONE


def _what_will_end(annex: Annex) -> str:
    if not annex.not_ended:
        return f"Will end {annex.name}, which has no machines now, and start none for it any more."
    return f"Will end {annex.name}: {plural(len(annex.not_ended), 'machine')}, and the jobs there."


def _none(name: str) -> NotFound:
    return NotFound(
        f"There is no annex {name} of yours to stop.  'annex-client status' lists those there are."
    )
