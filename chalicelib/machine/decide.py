"""The watcher's judgement: from what is seen to what is done. No clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .configure import retire_seconds
from .observe import Condor, Seen
from .parameters import format_time

if TYPE_CHECKING:
    from .configuration import Configuration
    from .notices import Notices

# Longer than this between two looks, and the machine or the program was not there: such a gap is
# nobody's idle time.
LONGEST_STEP = 60.0
# HTCondor must be seen ended for so long before it counts: an administrator's restart is no end.
ENDED_SECONDS = 2.0
# What leaving takes beside the jobs' own time: HTCondor's stop, the report, the power-off.
LEAVING_SECONDS = 30


@dataclass(frozen=True)
class Clocks:
    """What the watcher has counted so far; all but `looked_at` and `last_job_trace` in seconds."""

    looked_at: float
    idle: float = 0.0
    unjoined: float = 0.0
    ended: float | None = None  # none while HTCondor is not seen ended
    last_job_trace: float = 0.0
    collector: bool = True
    joined: bool = False
    joined_once: bool = False


@dataclass(frozen=True)
class Decision:
    """Leave for `reason` where the phase is `ending`; else stay and say `phase` and `reason`.

    `reclaim_at` is when EC2 takes the machine back, a Unix time, where that is the reason.
    """

    phase: str
    reason: str = ""
    reclaim_at: int | None = None

    @property
    def leave(self) -> bool:
        """Whether the machine has to go."""
        return self.phase == "ending"

    @property
    def drain_reason(self) -> str:
        """The reason as the owners of the jobs get to see it."""
        if self.reclaim_at is None:
            return self.reason
        return f"EC2 takes this machine back at {format_time(self.reclaim_at)}."


def advance(clocks: Clocks, seen: Seen, now: float) -> Clocks:
    """Count on, from the last look to this one.

    The idle clock runs while the machine is in the pool without a job, the unjoined clock while it
    is not in the pool although the collector is there; both stand still while the collector cannot
    be asked, so that its absence ends no machine.
    """
    step = min(max(0.0, now - clocks.looked_at), LONGEST_STEP)
    collector = clocks.collector if seen.collector is None else seen.collector
    joined = clocks.joined if seen.joined is None else seen.joined
    active = seen.jobs > 0 or seen.last_job_trace > clocks.last_job_trace
    idle, unjoined = clocks.idle, clocks.unjoined
    if active:
        idle = 0.0
    elif collector and joined and clocks.joined:
        idle += step
    if joined:
        unjoined = 0.0
    elif collector:
        unjoined += step
    return replace(
        clocks,
        looked_at=now,
        idle=idle,
        unjoined=unjoined,
        ended=_ended(clocks, step) if seen.condor is Condor.ENDED else None,
        last_job_trace=max(clocks.last_job_trace, seen.last_job_trace),
        collector=collector,
        joined=joined,
        joined_once=clocks.joined_once or joined,
    )


def _ended(clocks: Clocks, step: float) -> float:
    """Since the first look that saw HTCondor ended: before that, it may have been up."""
    return 0.0 if clocks.ended is None else clocks.ended + step


def lead_seconds(configuration: Configuration, lease_end: int, booted_at: int) -> int:
    """How long before the lease's end the machine begins to leave, to be gone by then.

    The jobs' time and what the rest takes, but no more than a third of a short lease.
    """
    wanted = configuration.vacate_seconds + LEAVING_SECONDS
    return max(0, min(wanted, (lease_end - booted_at) // 3))


def vacate_seconds(configuration: Configuration, end: int, now: float) -> int:
    """How long jobs may take to vacate: their due, or what is left until the machine's end."""
    left = int(end - now) - LEAVING_SECONDS
    return max(0, min(configuration.vacate_seconds, left))


def decide(
    configuration: Configuration, lease_end: int, booted_at: int, clocks: Clocks, seen: Seen
) -> Decision:
    """What to do, judged in the order of what must not wait."""
    reclaim_at = seen.notices.reclaim_at
    if reclaim_at is not None:
        return Decision("ending", f"reclaimed by EC2 at {format_time(reclaim_at)}", reclaim_at)
    reason = _why_leave(configuration, lease_end, booted_at, clocks, seen)
    if reason:
        return Decision("ending", reason)
    warning = _warning(seen.notices)
    if clocks.looked_at >= lease_end - retire_seconds(configuration, booted_at):
        return Decision("retiring", f"The lease ends at {format_time(lease_end)}: no new jobs.")
    if takes_no_jobs(configuration, seen.notices):
        return Decision("retiring", f"{warning}: no new jobs.")
    return _stay(configuration, clocks, warning)


def _stay(configuration: Configuration, clocks: Clocks, warning: str) -> Decision:
    if clocks.joined:
        return Decision("joined", warning)
    if not clocks.collector:
        return Decision(
            "configured", f"{configuration.collector_host} cannot be reached or does not answer."
        )
    if clocks.joined_once:
        return Decision("configured", "It is not in the collector any more.")
    return Decision("configured")


def takes_no_jobs(configuration: Configuration, notices: Notices) -> bool:
    """Whether EC2's recommendation to rebalance is to keep new jobs away."""
    return configuration.on_rebalance == "retire" and notices.rebalance_at is not None


def _warning(notices: Notices) -> str:
    if notices.rebalance_at is None:
        return ""
    return f"EC2 may take it back soon (its warning of {format_time(notices.rebalance_at)})"


def _why_leave(
    configuration: Configuration, lease_end: int, booted_at: int, clocks: Clocks, seen: Seen
) -> str:
    lead = lead_seconds(configuration, lease_end, booted_at)
    host, limit = configuration.collector_host, configuration.unjoined_limit_seconds
    reasons = (
        (configuration.ending, "The annex was stopped."),
        (clocks.looked_at >= lease_end - lead, f"The lease ends at {format_time(lease_end)}."),
        ((clocks.ended or 0) >= ENDED_SECONDS, "HTCondor was shut down."),
        (seen.condor is Condor.FAILED, "HTCondor failed and could not be restarted."),
        (clocks.idle >= configuration.idle_seconds, f"It had no job for {clocks.idle:.0f} s."),
        (
            takes_no_jobs(configuration, seen.notices) and clocks.idle > 0,
            f"{_warning(seen.notices)}, and it has no job left.",
        ),
        (
            clocks.unjoined >= limit,
            f"It was refused: {host} can be reached, but has not shown it for {limit} s.",
        ),
    )
    return next((reason for holds, reason in reasons if holds), "")
