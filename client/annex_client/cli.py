"""`annex-client`: the command line, and the one place where trouble becomes an exit status."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Callable

from annex_client import inputs
from annex_client.arguments import PROGRAM, parser
from annex_client.context import real_context
from annex_client.errors import BadInput, ClientError, Interrupted
from annex_client.exits import Exit
from annex_client.render import Output

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from annex_client.context import Context
    from annex_client.session import Session


def run(argv: Sequence[str], context: Context) -> int:
    """Parse and carry out one command line; returns the exit status."""
    out = Output(context, program=PROGRAM, as_json="--json" in argv)

    def command() -> Exit:
        parsed, unknown = parser().parse_known_args(_for_condor_history(list(argv)))
        if unknown:
            of = f"{PROGRAM} {parsed.command}" if parsed.command else PROGRAM
            raise BadInput(f"Not understood: {' '.join(unknown)}.  See '{of} --help'.")
        if parsed.command is None:
            raise BadInput(f"Give a command.  See '{PROGRAM} --help'.")
        return dispatch(parsed, context, out)

    return guarded(command, context, out)


def _for_condor_history(argv: list[str]) -> list[str]:
    """What follows `where` is condor_history's; argparse would take its options for its own."""
    if argv[:1] != ["where"] or {"-h", "--help"} & {*argv}:
        return argv
    own = [word for word in argv[1:] if word == "--json"]
    return ["where", *own, "--", *(word for word in argv[1:] if word != "--json")]


def guarded(command: Callable[[], Exit], context: Context, out: Output) -> int:
    """Run a command; whatever goes wrong becomes a sentence and an exit status."""
    try:
        return command()
    except ClientError as error:
        out.failed(error)
        return error.exit
    except KeyboardInterrupt:
        out.failed(Interrupted("Interrupted."))
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return Exit.DONE  # whoever read this has enough
    except SystemExit as end:  # argparse's --help and --version
        return end.code if isinstance(end.code, int) else Exit.BAD_INPUT
    except Exception as error:
        if context.environ.get("ANNEX_DEBUG"):
            raise
        out.failed(
            ClientError(
                f"Unexpected trouble ({type(error).__name__}: {error}).  Please report it; with"
                " ANNEX_DEBUG=1 set, the whole story is shown."
            )
        )
        return Exit.UNEXPECTED


def dispatch(parsed: argparse.Namespace, context: Context, out: Output) -> Exit:
    """Carry out a parsed command line; commands are imported when they are used."""
    from annex_client.session import Access, Session  # noqa: PLC0415 - `--help` needs none of it

    access = Access(region=getattr(parsed, "region", None))
    return _COMMANDS[parsed.run](parsed, Session(context, out, access))


def start_options(parsed: argparse.Namespace, context: Context) -> Any:  # noqa: ANN401 - StartOptions, imported late
    """`start`'s arguments, each checked."""
    from annex_client import wanted_arguments  # noqa: PLC0415
    from annex_client.start_request import StartOptions  # noqa: PLC0415

    seconds = inputs.seconds_of_hours
    return StartOptions(
        name=inputs.annex_name(parsed.name),
        wanted=wanted_arguments.wanted(parsed, context.stdin),
        duration_seconds=seconds(parsed.duration, "The duration")
        if parsed.duration is not None
        else None,
        idle_seconds=seconds(parsed.idle, "The idle time") if parsed.idle is not None else None,
        retire_seconds=inputs.retire_seconds(parsed.retire) if parsed.retire is not None else None,
        on_rebalance=parsed.on_rebalance,
        ami_id=inputs.ami_id(parsed.ami_id) if parsed.ami_id is not None else None,
        legacy=parsed.legacy,
        owners=parsed.owner,
        any_owner=parsed.no_owner,
        tags=tuple(inputs.tag(text) for text in parsed.tag),
        config_dir=parsed.config_dir,
        user_data_file=parsed.user_data_file,
        subnets=tuple(inputs.subnets(parsed.subnet) if parsed.subnet is not None else ()),
        security_groups=tuple(
            inputs.security_groups(parsed.security_group)
            if parsed.security_group is not None
            else ()
        ),
        key_name=parsed.key_name,
        grow=parsed.grow,
        yes=parsed.yes,
        dry_run=parsed.dry_run,
        wait_seconds=None if parsed.wait is None else inputs.wait_seconds(parsed.wait),
    )


def _run_start(parsed: argparse.Namespace, session: Session) -> Exit:
    from annex_client.commands import start  # noqa: PLC0415

    return start.run(session, start_options(parsed, session.context))


def _run_status(parsed: argparse.Namespace, session: Session) -> Exit:
    from annex_client.commands import status  # noqa: PLC0415

    name = None if parsed.name is None else inputs.annex_name(parsed.name)
    return status.run(session, status.StatusOptions(name=name, watch=parsed.watch))


def _run_renew(parsed: argparse.Namespace, session: Session) -> Exit:
    from annex_client.commands import renew  # noqa: PLC0415

    options = renew.RenewOptions(
        name=inputs.annex_name(parsed.name),
        duration_seconds=inputs.seconds_of_hours(parsed.duration, "The duration"),
        shorten=parsed.shorten,
    )
    return renew.run(session, options)


def _run_stop(parsed: argparse.Namespace, session: Session) -> Exit:
    from annex_client.commands import stop  # noqa: PLC0415

    options = stop.StopOptions(
        name=inputs.annex_name(parsed.name),
        yes=parsed.yes,
        wait_seconds=None if parsed.wait is None else inputs.wait_seconds(parsed.wait),
    )
    return stop.run(session, options)


def _run_forget(parsed: argparse.Namespace, session: Session) -> Exit:
    from annex_client.commands import forget  # noqa: PLC0415

    options = forget.ForgetOptions(
        name=inputs.annex_name(parsed.name),
        instance_id=None if parsed.instance is None else inputs.instance_id(parsed.instance),
        yes=parsed.yes,
    )
    return forget.run(session, options)


def _run_where(parsed: argparse.Namespace, session: Session) -> Exit:
    from annex_client.commands import where  # noqa: PLC0415

    words = parsed.arguments
    # Whether argparse leaves the '--' in depends on Python's version.
    return where.run(
        session, where.WhereOptions(tuple(words[1:] if words[:1] == ["--"] else words))
    )


def _run_setup(parsed: argparse.Namespace, session: Session) -> Exit:
    from annex_client.commands import setup, setup_pool  # noqa: PLC0415

    if parsed.pool or parsed.pool_dir or parsed.pool_users or parsed.pool_mode != "pool":
        return setup_pool.run(
            session,
            setup_pool.PoolOptions(parsed.pool_mode, parsed.pool_dir, parsed.pool_users),
        )
    return setup.run(
        session,
        setup.SetupOptions(
            subnets=tuple(inputs.subnets(parsed.subnets) if parsed.subnets is not None else ()),
            assignments=tuple(parsed.assignments),
            alarm_email=parsed.alarm_email,
            legacy=parsed.legacy,
        ),
    )


def _run_check_setup(parsed: argparse.Namespace, session: Session) -> Exit:
    from annex_client.commands import check_setup  # noqa: PLC0415

    del parsed
    return check_setup.run(session)


def _run_teardown(parsed: argparse.Namespace, session: Session) -> Exit:
    from annex_client.commands import teardown  # noqa: PLC0415

    return teardown.run(session, teardown.TeardownOptions(yes=parsed.yes))


_COMMANDS: dict[str, Callable[[argparse.Namespace, Session], Exit]] = {
    "start": _run_start,
    "status": _run_status,
    "renew": _run_renew,
    "stop": _run_stop,
    "forget": _run_forget,
    "where": _run_where,
    "setup": _run_setup,
    "check_setup": _run_check_setup,
    "teardown": _run_teardown,
}


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:], real_context()))
