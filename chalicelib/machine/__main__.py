"""`bootstrap`: set the machine up if need be, then watch. `watch`: only watch."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .bootstrap import Bootstrap, GiveUp
from .decide import Decision, vacate_seconds
from .leave import leave
from .machine import Machine, Orders, meet
from .metadata import Metadata, MetadataError
from .observe import Eyes
from .parameters import Parameters
from .paths import CONFIGURED
from .shell import log, run
from .watch import Watcher

if TYPE_CHECKING:
    from types import FrameType

    from .configuration import Configuration
    from .report import Reporter


class ShutDown(BaseException):
    """systemd ends this program: not an error, and nothing that catches errors may catch it."""


def main(arguments: list[str]) -> int:
    """Run until the machine ends; systemd restarts the program if it fails."""
    if arguments not in (["bootstrap"], ["watch"]):
        log("usage: htcondor-annex bootstrap|watch")
        return 2
    signal.signal(signal.SIGTERM, _shut_down)
    given = Parameters.load()
    try:
        machine = meet(given, Metadata())
    except MetadataError as error:
        log(error)
        if time.time() >= given.lease_end:
            leave(Decision("ending", "The lease has ended."), 0, run, None, Eyes(run, ""))
        return 1  # systemd tries again; the dead man's timer has the last word
    orders = Orders(machine)
    try:
        _live(machine, orders, watch_only=arguments == ["watch"])
    except ShutDown:
        _say_shut_down(machine.reporter)
    except Exception as error:
        what = (
            getattr(error, "strerror", None) or type(error).__name__
        )  # no values: some are secret
        machine.reporter.say(
            machine.reporter.phase or "booting",
            f"The machine program failed and is started again ({what}).",
        )
        raise
    return 0


def _live(machine: Machine, orders: Orders, *, watch_only: bool) -> None:
    configuration: Configuration | None = None
    eyes = Eyes(run, machine.facts.instance_id)
    try:
        if watch_only or Path(CONFIGURED).exists():
            configuration = orders.current
        if configuration is None:
            configuration = Bootstrap(machine, orders, run).run()
        configuration, decision = Watcher(machine, orders, run, eyes).watch(configuration)
    except GiveUp as error:
        decision = Decision("ending", str(error))
    vacate = 0
    if configuration:
        end = min(orders.lease_end, decision.reclaim_at or orders.lease_end)
        vacate = vacate_seconds(configuration, end, time.time())
    # From here on there is no way back: a second signal changes nothing.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    leave(decision, vacate, run, machine.reporter, eyes)


def _shut_down(_signal: int, _frame: FrameType | None) -> None:
    raise ShutDown


def _say_shut_down(reporter: Reporter) -> None:
    """Tell why the machine goes, where the whole system is going and not this program alone."""
    if run(["systemctl", "is-system-running"], 5).out.strip() == "stopping":
        reporter.say("ending", "The operating system was shut down.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
