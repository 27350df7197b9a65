"""`where`: on whose machines did jobs run? The tutorial's command line in one word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annex_client import histogram
from annex_client.errors import PoolTrouble
from annex_client.exits import Exit

if TYPE_CHECKING:
    from annex_client.session import Session

_HEIGHT = 101  # the tutorial's
_HISTORY_SECONDS = 300


@dataclass(frozen=True)
class WhereOptions:
    """Arguments for condor_history; none means the user's own jobs."""

    arguments: tuple[str, ...] = ()


def run(session: Session, options: WhereOptions) -> Exit:
    """Count the machines' domains in the job history and draw the histogram.

    Raises:
        PoolTrouble: condor_history failed.
    """
    arguments = options.arguments or (_user(session),)
    argv = ["condor_history", "-format", "%s\\n", "LastRemoteHost", *arguments]
    done = session.context.run(argv, timeout=_HISTORY_SECONDS)
    if done.status in (126, 127):
        raise PoolTrouble(
            "HTCondor's tools are not on this host.  Run annex-client on an access point."
        )
    if done.status != 0:
        said = " ".join(done.stderr.split())[:300] or f"exit status {done.status}"
        raise PoolTrouble(f"condor_history failed: {said}")
    domains = [histogram.domain(line.strip()) for line in done.stdout.splitlines()]
    domains = [name for name in domains if name]
    session.out.facts(
        {"total": len(domains), "counts": {n: domains.count(n) for n in set(domains)}}
    )
    if session.out.as_json:
        return Exit.DONE
    if not domains:
        session.out.say("No finished jobs were found.")
        return Exit.DONE
    for line in histogram.draw(domains, height=_HEIGHT):
        session.out.say(line)
    return Exit.DONE


def _user(session: Session) -> str:
    import getpass  # noqa: PLC0415 - only here

    return session.context.environ.get("USER") or getpass.getuser()
