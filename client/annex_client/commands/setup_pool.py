"""`setup --pool`: what the pool's administrator adds once, checked against the pool as it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from annex_client import inputs, pool_rules
from annex_client.errors import BadInput, Conflict, PoolTrouble
from annex_client.exits import Exit
from annex_client.render import plural

if TYPE_CHECKING:
    from annex_client.session import Session


@dataclass(frozen=True)
class PoolOptions:
    """`users` is a list as typed; None is whoever runs this."""

    mode: str = "pool"
    directory: str | None = None
    users: str | None = None


def run(session: Session, options: PoolOptions) -> Exit:
    """Print or write the two files, and say whom the rule would shut out.

    Raises:
        Conflict: it would shut somebody out.
        BadInput: the mode or the folder cannot be used.
    """
    if options.mode != "pool":
        raise BadInput(
            f"The pool mode {options.mode!r} comes with a later version; --pool-mode pool works."
        )
    settings, out = session.settings, session.out
    users = _users(session, options.users)
    setup = pool_rules.PoolSetup(users, settings.token_key, settings.api_url, settings.region)
    files = {
        pool_rules.CENTRAL_MANAGER_FILE: pool_rules.central_manager(setup),
        pool_rules.ACCESS_POINT_FILE: pool_rules.access_point(setup),
    }
    written = []
    for name, text in files.items():
        if options.directory is None:
            out.say(text)
        else:
            written.append(_write(Path(options.directory).expanduser() / name, text))
            out.say(f"Written: {written[-1]}")
    shut_out, checked = _check(session, users)
    out.facts({"files": files, "written": written, "users": [*users], "shut_out": shut_out})
    if shut_out:
        raise Conflict(
            "COLLECTOR_REQUIREMENTS would shut out these execute points, which use an annex user's"
            f" identity: {', '.join(shut_out)}.  Give them an identity of their own, or leave that"
            " user out of ANNEX_USERS."
        )
    out.say(checked)
    return Exit.DONE


def _check(session: Session, users: tuple[str, ...]) -> tuple[list[str], str]:
    """Whom the rule would shut out, of those in the collector now; and a sentence."""
    try:
        ads = session.pool.execute_ads()
    except PoolTrouble as trouble:
        if trouble.code == "NoPool":
            return [], (
                "This host is in no pool, so whom the rule would shut out was not looked at: run"
                " the same command on a host of the pool before you use the files."
            )
        session.out.warn(f"The rule was not checked against the pool: {trouble.message}")
        return [], "Run it again where the collector can be asked, before you use the files."
    # What already obeys the rule (annexes of the same users) passes it, so it need not be excepted.
    out = pool_rules.shut_out(ads, users)
    return (
        out,
        f"Checked against {plural(len(ads), 'ad')} now in the collector: none would be shut out.",
    )


def _users(session: Session, named: str | None) -> tuple[str, ...]:
    """The annex users in full; nobody's name or domain is guessed where it would be a wrong one.

    Raises:
        BadInput: root asks and names nobody, or a name has no domain and this host is in no pool.
    """
    import getpass  # noqa: PLC0415 - only here

    words = named
    if words is None:
        words = session.context.environ.get("USER") or getpass.getuser()
        if words == "root":
            raise BadInput("Say who may use annexes: --pool-users alice@pool.example,...")
    domain = session.context.param("UID_DOMAIN")
    bare = [word for word in inputs.words(words) if "@" not in word]
    if bare and (not domain or not session.context.param("COLLECTOR_HOST")):
        raise BadInput(
            f"HTCondor is not configured on this host, so the domain of {' and '.join(bare)} is not"
            " known: give full names, --pool-users alice@pool.example,... (the domain is the access"
            " point's UID_DOMAIN)."
        )
    return tuple(inputs.owners(words, domain or ""))


def _write(path: Path, text: str) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}.") from None
    return str(path)
