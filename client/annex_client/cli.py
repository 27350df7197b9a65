"""`annex-client`: the command line, and the one place where trouble becomes an exit status."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, Callable, NoReturn

from annex_client import __version__, inputs, waiting
from annex_client.context import real_context
from annex_client.errors import BadInput, ClientError, Interrupted
from annex_client.exits import Exit
from annex_client.render import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from annex_client.context import Context
    from annex_client.session import Session

PROGRAM = "annex-client"
_LATER = (
    "Spot machines come with a later version; leave {flag} out and on-demand machines are started."
)


class _Parser(argparse.ArgumentParser):
    """Like argparse's, but its complaints go the way of all others."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}.  See '{self.prog} --help'.")


def parser() -> argparse.ArgumentParser:
    """The command line of DESIGN: stable, extended but never renamed."""
    main_parser = _Parser(
        prog=PROGRAM,
        description="Add AWS machines to your HTCondor pool, with a lease.",
        epilog="Exit statuses: 0 done, 2 bad input, 3 refused, 4 not found, 5 conflict, 6 partly"
        " done, 7 AWS out of reach, 8 pool out of reach, 9 timed out, 130 interrupted.",
        allow_abbrev=False,
    )
    main_parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = main_parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    _start(commands)
    _others(commands)
    _administration(commands)
    return main_parser


def run(argv: Sequence[str], context: Context) -> int:
    """Parse and carry out one command line; returns the exit status."""
    out = Output(context, program=PROGRAM, as_json="--json" in argv)

    def command() -> Exit:
        parsed = parser().parse_args(_for_condor_history(list(argv)))
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
    run_command: Callable[[argparse.Namespace, Session], Exit] = parsed.run
    from annex_client.session import Access, Session  # noqa: PLC0415 - `--help` needs none of it

    access = Access(region=getattr(parsed, "region", None))
    return run_command(parsed, Session(context, out, access))


def start_options(parsed: argparse.Namespace) -> Any:  # noqa: ANN401 - StartOptions, imported late
    """`start`'s arguments, each checked."""
    from annex_client.commands.start import StartOptions  # noqa: PLC0415

    for flag, value in (
        ("--spot", parsed.spot),
        ("--spot-fleet-config-file", parsed.spot_fleet_config_file),
        ("--slots", parsed.slots),
    ):
        if value:
            raise BadInput(_LATER.format(flag=flag))
    seconds = inputs.seconds_of_hours
    return StartOptions(
        name=inputs.annex_name(parsed.name),
        count=inputs.count(parsed.count),
        duration_seconds=seconds(parsed.duration, "The duration")
        if parsed.duration is not None
        else None,
        idle_seconds=seconds(parsed.idle, "The idle time") if parsed.idle is not None else None,
        retire_seconds=inputs.retire_seconds(parsed.retire) if parsed.retire is not None else None,
        instance_types=tuple(
            inputs.instance_types(parsed.instance_type) if parsed.instance_type is not None else ()
        ),
        ami_id=inputs.ami_id(parsed.ami_id) if parsed.ami_id is not None else None,
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


def _start(commands: Any) -> None:  # noqa: ANN401 - argparse's own class is private
    for name, text in (
        ("start", "start an annex"),
        ("create", "the same as start"),
        ("add", "add machines to a live annex: start --grow"),
    ):
        p = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        p.add_argument("name", metavar="NAME")
        p.add_argument("--count", default="1", metavar="N", help="machines (1)")
        p.add_argument("--slots", metavar="N", help="with a later version")
        p.add_argument("--duration", metavar="HOURS", help="the lease (0.83)")
        p.add_argument("--idle", metavar="HOURS", help="end machines that are idle so long (0.25)")
        p.add_argument("--retire", metavar="MINUTES", help="no new jobs so long before the end")
        p.add_argument("--instance-type", metavar="T[,T...]", help="tried in this order")
        p.add_argument("--ami-id", metavar="A", help="an image of your own")
        p.add_argument("--spot", action="store_true", help="with a later version")
        p.add_argument("--spot-fleet-config-file", metavar="F", help="with a later version")
        owner = p.add_mutually_exclusive_group()
        owner.add_argument("--owner", metavar="A,B", help="whose jobs run there (yours)")
        owner.add_argument("--no-owner", action="store_true", help="anybody's jobs run there")
        p.add_argument("--tag", action="append", default=[], metavar="KEY=VALUE")
        p.add_argument("--config-dir", metavar="D", help="HTCondor configuration for the machines")
        p.add_argument("--user-data-file", metavar="F", help="user data of your own, run as well")
        p.add_argument("--subnet", metavar="S[,S]")
        p.add_argument("--security-group", metavar="G[,G]")
        p.add_argument("--key-name", metavar="K", help="an EC2 key pair, for ssh")
        if name != "add":
            p.add_argument("--grow", action="store_true", help="a live annex is meant to grow")
        _yes(p)
        p.add_argument("--dry-run", action="store_true", help="check everything, start nothing")
        _wait(p, "wait until the machines are in the pool")
        _common(p)
        p.set_defaults(run=_run_start, **({"grow": True} if name == "add" else {}))


def _others(commands: Any) -> None:  # noqa: ANN401
    p = commands.add_parser("status", help="annexes and their machines", allow_abbrev=False)
    p.add_argument("name", metavar="NAME", nargs="?")
    p.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    _common(p)
    p.set_defaults(run=_run_status)

    p = commands.add_parser("renew", help="a new end for the lease", allow_abbrev=False)
    p.add_argument("name", metavar="NAME")
    p.add_argument("--duration", metavar="HOURS", required=True, help="from now")
    p.add_argument("--shorten", action="store_true", help="allow an earlier end than it has")
    _common(p)
    p.set_defaults(run=_run_renew)

    for name in ("stop", "shutdown"):
        p = commands.add_parser(name, help="end an annex now", allow_abbrev=False)
        p.add_argument("name", metavar="NAME")
        _yes(p)
        _wait(p, "wait until nothing runs")
        _common(p)
        p.set_defaults(run=_run_stop)

    p = commands.add_parser(
        "where", help="where jobs ran", description="Count where jobs ran.", allow_abbrev=False
    )
    p.add_argument("--json", action="store_true", help="print facts as JSON")
    p.add_argument("arguments", metavar="USER or ...", nargs=argparse.REMAINDER)
    p.set_defaults(run=_run_where)


def _administration(commands: Any) -> None:  # noqa: ANN401
    p = commands.add_parser("setup", help="set up an AWS account, once", allow_abbrev=False)
    p.add_argument("--subnets", metavar="S,S", help="else the default network's")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments")
    p.add_argument("--alarm-email", metavar="ADDRESS", help="told when the sweep has stopped")
    p.add_argument("--pool", action="store_true", help="print what the pool's administrator does")
    p.add_argument("--pool-dir", metavar="DIR", help="write it into files there")
    p.add_argument("--pool-users", metavar="A,B", help="annex users; else you alone")
    p.add_argument("--pool-mode", choices=("pool", "personal", "direct"), default="pool")
    _common(p)
    p.set_defaults(run=_run_setup)

    p = commands.add_parser("check-setup", help="is everything there?", allow_abbrev=False)
    _common(p)
    p.set_defaults(run=_run_check_setup)

    p = commands.add_parser("teardown", help="end and remove everything", allow_abbrev=False)
    _yes(p)
    _common(p)
    p.set_defaults(run=_run_teardown)


def _common(p: argparse.ArgumentParser) -> None:
    p.add_argument("--region", metavar="R", help="AWS region; else ANNEX_DEFAULT_AWS_REGION")
    p.add_argument("--json", action="store_true", help="print facts as JSON")


def _yes(p: argparse.ArgumentParser) -> None:
    p.add_argument("--yes", action="store_true", help="ask nothing")


def _wait(p: argparse.ArgumentParser, text: str) -> None:
    default = str(waiting.DEFAULT_SECONDS)
    p.add_argument(
        "--wait", nargs="?", const=default, metavar="SECONDS", help=f"{text} ({default})"
    )


def _run_start(parsed: argparse.Namespace, session: Session) -> Exit:
    from annex_client.commands import start  # noqa: PLC0415

    return start.run(session, start_options(parsed))


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
        ),
    )


def _run_check_setup(parsed: argparse.Namespace, session: Session) -> Exit:
    from annex_client.commands import check_setup  # noqa: PLC0415

    del parsed
    return check_setup.run(session)


def _run_teardown(parsed: argparse.Namespace, session: Session) -> Exit:
    from annex_client.commands import teardown  # noqa: PLC0415

    return teardown.run(session, teardown.TeardownOptions(yes=parsed.yes))


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:], real_context()))
