"""What can be seen of HTCondor from on the machine."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .shell import Run

LOG = "/var/log/condor"


class Condor(Enum):
    """HTCondor's service as systemd has it."""

    UP = "up"
    CHANGING = "changing"  # on its way up or down, or about to be restarted after a failure
    ENDED = "ended"  # it ended well: somebody shut it down
    FAILED = "failed"  # systemd has given it up


@dataclass(frozen=True)
class Seen:
    """One look; `collector` and `joined` are None where nobody looked this time."""

    condor: Condor
    jobs: int
    last_job_trace: float  # Unix time of the newest starter log, 0 where there is none
    collector: bool | None = None
    joined: bool | None = None


def condor(run: Run) -> Condor:
    """HTCondor's state; what systemd does not say within 10 s is on its way somewhere."""
    done = run(["systemctl", "show", "condor.service", "-p", "ActiveState", "-p", "Result"], 10)
    state = dict(line.split("=", 1) for line in done.out.splitlines() if "=" in line)
    if not done.ok:
        return Condor.CHANGING
    if state.get("ActiveState") == "active":
        return Condor.UP
    if state.get("ActiveState") == "failed":
        return Condor.FAILED
    if state.get("ActiveState") == "inactive":
        return Condor.ENDED if state.get("Result") == "success" else Condor.FAILED
    return Condor.CHANGING


def jobs(root: str = "/") -> int:
    """How many starters run: HTCondor has one for each running job."""
    found = 0
    for comm in Path(root, "proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # it has just ended
            found += comm.read_text().strip() == "condor_starter"
    return found


def last_job_trace(log: str = LOG) -> float:
    """When a starter last wrote to a slot's log: that shows jobs too short to be seen running."""
    newest = 0.0
    for name in Path(log).glob("StarterLog.slot*"):
        with suppress(OSError):  # rotated away
            newest = max(newest, name.stat().st_mtime)
    return newest


def log_folder(run: Run) -> str:
    """Where HTCondor's logs are on this image."""
    done = run(["condor_config_val", "LOG"], 10)
    return done.out.strip() if done.ok and done.out.startswith("/") else LOG


def in_collector(run: Run, instance_id: str) -> bool:
    """Whether the collector shows a slot of this machine; a refused or failed query is a no."""
    constraint = f'EC2InstanceID =?= "{instance_id}"'
    done = run(["condor_status", "-startd", "-constraint", constraint, "-af", "Name"], 20)
    return done.ok and bool(done.out.strip())
