"""What can be seen of HTCondor from on the machine."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from .notices import Notices
from .reach import Connect, connect, unreachable

if TYPE_CHECKING:
    from .shell import Run

LOG = "/var/log/condor"
# What HTCondor's tools say where the collector answered but would not serve us (its error stack:
# AUTHENTICATE:1003 and 1004, SECMAN:2010). An open port alone shows no collector: the one of
# condor_shared_port stays open while the collector behind it is down.
REFUSALS = ("AUTHENTICATE", "Failed to authenticate", "DENIED")


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
    notices: Notices = field(default_factory=Notices)


class Eyes:
    """Looks at one machine's HTCondor; tests have eyes of their own."""

    def __init__(
        self, run: Run, instance_id: str, connect: Connect = connect, root: str = "/"
    ) -> None:
        self._run = run
        self._instance_id = instance_id
        self._connect = connect
        self._root = root
        self._log = ""

    def condor(self) -> Condor:
        """HTCondor's state; what systemd does not say within 10 s is on its way somewhere."""
        show = ["systemctl", "show", "condor.service", "-p", "ActiveState", "-p", "Result"]
        done = self._run(show, 10)
        state = dict(line.split("=", 1) for line in done.out.splitlines() if "=" in line)
        active = state.get("ActiveState")
        if active == "active":
            return Condor.UP
        if active == "inactive" and state.get("Result") == "success":
            return Condor.ENDED
        return Condor.FAILED if active in ("inactive", "failed") else Condor.CHANGING

    def jobs(self) -> int:
        """How many starters run: HTCondor has one for each running job."""
        found = 0
        for comm in Path(self._root, "proc").glob("[0-9]*/comm"):
            with suppress(OSError):  # it has just ended
                found += comm.read_text().strip() == "condor_starter"
        return found

    def last_job_trace(self) -> float:
        """When a starter last wrote to its log: that shows jobs too short to be seen running."""
        newest = 0.0
        for name in Path(self._root, self._log_folder()).glob("StarterLog.slot*"):
            with suppress(OSError):  # rotated away
                newest = max(newest, name.stat().st_mtime)
        return newest

    def startd_address(self) -> str:
        """Where the startd listens, as it left it in its log folder; nothing where it did not."""
        try:
            file = Path(self._root, self._log_folder(), ".startd_address")
            return file.read_text(encoding="utf-8").splitlines()[0]
        except (OSError, IndexError):
            return ""

    def collector(self, address: str) -> bool:
        """Whether the collector's port can be reached."""
        return not unreachable([address], self._connect)

    def joined(self) -> bool | None:
        """Whether the collector shows a slot of this machine; a refused query is a no.

        None where there was no answer: the collector is down, hangs, or cannot be asked.
        """
        constraint = f'EC2InstanceID =?= "{self._instance_id}"'
        query = ["condor_status", "-startd", "-constraint", constraint, "-af", "Name"]
        done = self._run(query, 20)
        if done.ok:
            return bool(done.out.strip())
        return False if any(words in done.out for words in REFUSALS) else None

    def _log_folder(self) -> str:
        """Where HTCondor's logs are on this image, relative to the root."""
        if not self._log:
            done = self._run(["condor_config_val", "LOG"], 10)
            self._log = done.out.strip() if done.ok else LOG
        return self._log.lstrip("/")
