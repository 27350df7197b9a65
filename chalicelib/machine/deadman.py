"""The dead man's timer, which the user data armed before anything else (`boot/dead-man.sh`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .paths import DEAD_MAN
from .shell import Ran, Run, log

if TYPE_CHECKING:
    from .configuration import Configuration


def arm(run: Run, configuration: Configuration, lease_end: int) -> Ran:
    """Have the machine powered off at the lease's end and its margin, whatever becomes of us.

    Not ok where the timer could not be moved: it has to be tried again.
    """
    when = lease_end + configuration.dead_man_margin_seconds
    done = run([DEAD_MAN, "lease", str(when)], 30)
    if not done.ok:
        log("The dead man's timer could not be moved: " + done.last_line)
    return done


def power_off(run: Run) -> bool:
    """Power off now, by the first means that works; False where none did."""
    means = (
        [DEAD_MAN, "now"],
        ["systemctl", "--no-block", "poweroff"],
        ["shutdown", "-P", "now"],
        ["poweroff", "-f"],
    )
    return any(run(command, 20).ok for command in means)
