"""The command line's grammar: stable, extended but never renamed. What words mean is in `cli`."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from annex_client import __version__, waiting
from annex_client.deployment import SETTINGS
from annex_client.errors import BadInput

PROGRAM = "annex-client"


class _Parser(argparse.ArgumentParser):
    """Like argparse's, but its complaints go the way of all others."""

    def error(self, message: str) -> NoReturn:
        message = message.replace("ignored explicit argument", "takes no value, but was given")
        raise BadInput(f"{message}.  See '{self.prog} --help'.")


def parser() -> argparse.ArgumentParser:
    """The whole grammar."""
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


def _start(commands: Any) -> None:  # noqa: ANN401 - argparse's own class is private
    for name, text in (
        ("start", "start an annex"),
        ("create", "the same as start"),
        ("add", "add machines to a live annex: start --grow"),
    ):
        p = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        p.add_argument("name", metavar="NAME")
        _wanted(p)
        p.add_argument("--duration", metavar="HOURS", help="the lease, from now (0.83)")
        p.add_argument("--idle", metavar="HOURS", help="end machines that are idle so long (0.25)")
        p.add_argument("--retire", metavar="MINUTES", help="no new jobs so long before the end")
        p.add_argument("--ami-id", metavar="A", help="an image of your own")
        owner = p.add_mutually_exclusive_group()
        owner.add_argument("--owner", metavar="A,B", help="whose jobs run there (yours)")
        owner.add_argument("--no-owner", action="store_true", help="anybody's jobs run there")
        p.add_argument(
            "--tag",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="a tag for the machines and their volumes; may be repeated",
        )
        p.add_argument("--config-dir", metavar="D", help="HTCondor configuration for the machines")
        p.add_argument("--user-data-file", metavar="F", help="user data of your own, run as well")
        p.add_argument("--subnet", metavar="S[,S]", help="else those of setup, in their order")
        p.add_argument(
            "--security-group", metavar="G[,G]", help="else that of setup, closed to all"
        )
        p.add_argument("--legacy", action="store_true", help="the AMI is one of condor_annex's own")
        p.add_argument("--key-name", metavar="K", help="an EC2 key pair, for ssh")
        if name != "add":
            p.add_argument("--grow", action="store_true", help="a live annex is meant to grow")
            p.add_argument(
                "--on-rebalance",
                choices=("record", "retire"),
                help="what a spot machine does once EC2 says that it may take it back soon: only"
                " tell (record), or take no new jobs, too",
            )
        _yes(p)
        p.add_argument("--dry-run", action="store_true", help="check everything, start nothing")
        _wait(p, "wait until the machines are in the pool")
        _common(p)
        p.set_defaults(
            run="start", **({"grow": True, "on_rebalance": None} if name == "add" else {})
        )


def _wanted(p: argparse.ArgumentParser) -> None:
    p.add_argument("--count", metavar="N", help="machines (1)")
    p.add_argument("--slots", metavar="N", help="instead: slots, one for each vCPU")
    p.add_argument("--instance-type", metavar="T[,T...]", help="on demand tried in this order")
    p.add_argument("--cpus", metavar="A..B", help="instead: any type with so many vCPUs; A.. or A")
    p.add_argument("--memory", metavar="A..B", help="and with so many GiB of memory; A.. or A")
    p.add_argument(
        "--spot",
        action="store_true",
        help="spot machines: of these types, what is cheap and plenty",
    )
    p.add_argument(
        "--max-price", metavar="USD", help="at most so much for a spot machine or slot and hour"
    )
    p.add_argument(
        "--fallback", choices=("on-demand",), help="what spot does not give is started on demand"
    )
    p.add_argument(
        "--spot-fleet-config-file",
        metavar="F",
        help="start --slots by a Spot Fleet, whose JSON is in F ('-': standard input)",
    )


def _others(commands: Any) -> None:  # noqa: ANN401
    p = commands.add_parser("status", help="annexes and their machines", allow_abbrev=False)
    p.add_argument("name", metavar="NAME", nargs="?")
    p.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    _common(p)
    p.set_defaults(run="status")

    p = commands.add_parser("renew", help="a new end for the lease", allow_abbrev=False)
    p.add_argument("name", metavar="NAME")
    p.add_argument(
        "--duration", metavar="HOURS", required=True, help="the lease then ends so long from now"
    )
    p.add_argument("--shorten", action="store_true", help="allow an earlier end than it has")
    _common(p)
    p.set_defaults(run="renew")

    for name in ("stop", "shutdown"):
        p = commands.add_parser(name, help="end an annex now", allow_abbrev=False)
        p.add_argument("name", metavar="NAME")
        _yes(p)
        _wait(p, "wait until nothing runs")
        _common(p)
        p.set_defaults(run="stop")

    p = commands.add_parser(
        "forget",
        help="remove from the pool what dead machines left",
        description="Remove the slots of machines that died without a word from the pool, and jobs"
        " there that were removed from the queue; say what is to be done about the others.",
        allow_abbrev=False,
    )
    p.add_argument("name", metavar="NAME")
    p.add_argument(
        "--instance", metavar="ID", help="this machine alone, whatever EC2 says; else all that died"
    )
    _yes(p)
    _common(p)
    p.set_defaults(run="forget")

    p = commands.add_parser(
        "where",
        help="where jobs ran",
        description="Count on whose machines finished jobs ran, and draw the counts.",
        allow_abbrev=False,
    )
    p.add_argument("--json", action="store_true", help="print facts as JSON")
    p.add_argument(
        "arguments",
        metavar="USER or condor_history's arguments",
        nargs=argparse.REMAINDER,
        help="whose jobs, or which; else your own",
    )
    p.set_defaults(run="where")


def _administration(commands: Any) -> None:  # noqa: ANN401
    p = commands.add_parser("setup", help="set up an AWS account, once", allow_abbrev=False)
    p.add_argument("--subnets", metavar="S,S", help="for the machines; else the default network's")
    p.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="assignments",
        help=f"change a setting of the deployment: {', '.join(SETTINGS)}",
    )
    p.add_argument("--alarm-email", metavar="ADDRESS", help="told when the sweep has stopped")
    p.add_argument(
        "--legacy",
        action="store_true",
        help="also allow images of condor_annex's own, which are less safe",
    )
    p.add_argument(
        "--pool",
        action="store_true",
        help="set nothing up, but print the two files that the pool's administrator installs",
    )
    p.add_argument("--pool-dir", metavar="DIR", help="write these files there")
    p.add_argument(
        "--pool-users",
        "--pool-user",
        metavar="A,B",
        help="who may use annexes, as alice@UID_DOMAIN; else you alone",
    )
    p.add_argument("--pool-mode", choices=("pool", "personal", "direct"), default="pool")
    _common(p)
    p.set_defaults(run="setup")

    p = commands.add_parser("check-setup", help="is everything there?", allow_abbrev=False)
    _common(p)
    p.set_defaults(run="check_setup")

    p = commands.add_parser("teardown", help="end and remove everything", allow_abbrev=False)
    _yes(p)
    _common(p)
    p.set_defaults(run="teardown")


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
