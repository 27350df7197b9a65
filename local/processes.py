"""Child processes that die with their parent, and a record of them for the next start.

The kernel's parent-death signal follows the *thread* that started the child, so one thread that
lives as long as the account starts them all. A parent killed hard takes its children along; what a
command prefix has moved elsewhere is found in the record.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import subprocess
import threading
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


class Processes:
    """Starts processes from a thread of its own and records them under `state`/pids."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "pids"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._jobs: queue.Queue[tuple[Future[subprocess.Popen[bytes]], Any, Any] | None] = (
            queue.Queue()
        )
        self._thread = threading.Thread(target=self._run, name="spawner", daemon=True)
        self._thread.start()

    def spawn(self, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process as `subprocess.Popen` does."""
        future: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((future, command, options))
        return future.result()

    def close(self) -> None:
        """End the thread, and with it whatever it started."""
        self._jobs.put(None)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, command, options = job
            try:
                # Only async-signal-safe work happens before exec: one system call.
                process = subprocess.Popen(command, preexec_fn=_die_with_parent, **options)  # noqa: PLW1509
            except OSError as error:
                future.set_exception(error)
                continue
            self._record(process.pid)
            future.set_result(process)

    def _record(self, pid: int) -> None:
        for old in self._folder.iterdir():
            if started_at(int(old.name)) is None:
                old.unlink(missing_ok=True)
        (self._folder / str(pid)).write_text(started_at(pid) or "gone")


def end_recorded(state: Path) -> list[int]:
    """Kill what an account that died has left; a number that is another process's now is spared."""
    ended = []
    folder = state / "pids"
    for record in folder.iterdir() if folder.is_dir() else ():
        pid = int(record.name)
        if started_at(pid) == record.read_text():
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGKILL)
                ended.append(pid)
        record.unlink(missing_ok=True)
    return ended


def started_at(pid: int) -> str | None:
    """When a process started, in the kernel's ticks; None where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
