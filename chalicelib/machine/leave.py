"""The proper end: out of the pool first, then off, and off whatever goes wrong on the way.

A machine that vanishes keeps its job 'Running' for the job's lease (40 minutes by default) and its
slot in the collector for a quarter of an hour; one that leaves frees both within seconds.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Callable

from .deadman import power_off
from .shell import Run, log

if TYPE_CHECKING:
    from .decide import Decision
    from .observe import Eyes
    from .report import Reporter

# As the account that owns the process. With IDTOKENS among the methods root would be somebody whom
# the admin key made, and be refused.
AS_ROOT = {"_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "FS"}


def leave(
    decision: Decision,
    vacate_seconds: int,
    run: Run,
    reporter: Reporter | None,
    eyes: Eyes,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """End this machine; each step has its limit of time, and none can keep the last from coming.

    HTCondor is stopped `vacate_seconds` from now, whatever its jobs do, or once they are gone.
    """
    stop_at = now() + vacate_seconds
    reason = decision.reason
    steps: tuple[tuple[float, Callable[[], object]], ...] = (
        (8, lambda: reporter.say(decision.phase, reason) if reporter else log(reason)),
        (
            vacate_seconds + 15,
            lambda: _drain(decision.drain_reason, stop_at, run, eyes, now=now, sleep=sleep),
        ),
        # SIGQUIT, by HTCondor's own unit: a fast shutdown. Jobs left over are idle again at once.
        (30, lambda: run(["systemctl", "stop", "condor.service"], 25)),
        (8, lambda: reporter.flush() if reporter else None),
    )
    for seconds, step in steps:
        _within(seconds, step)
    while not power_off(run):
        log("No means of powering off works; trying again.")
        sleep(5)


def _within(seconds: float, step: Callable[[], object]) -> None:
    """Take a step for so long at most; neither its hanging nor its failure stops the next one."""

    def take() -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - nothing may keep the power-off from coming
            log(f"While leaving: {type(error).__name__}: {error}")

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    thread.join(seconds)


def _drain(
    reason: str,
    stop_at: float,
    run: Run,
    eyes: Eyes,
    *,
    now: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    """Ask the jobs to go, and no new ones to come, until `stop_at` at most."""
    if now() >= stop_at or not eyes.jobs():
        return
    # By address: by name, it would ask the collector, which may be why the machine leaves.
    address = eyes.startd_address()
    done = run(["condor_drain", "-quick", "-reason", reason, address], 10, AS_ROOT)
    if not done.ok:
        log("condor_drain: " + done.last_line)
        return
    while eyes.jobs() and now() < stop_at:
        sleep(0.2)
