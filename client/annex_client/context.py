"""The environment as a value: what a command touches is handed in, so tests patch nothing."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from annex_client.pool import Pool


class Clock(Protocol):
    """Time, for deadlines and waits."""

    def now(self) -> datetime:
        """The time, timezone-aware UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The time, timezone-aware UTC."""
        return datetime.now(timezone.utc)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(frozen=True)
class Completed:
    """A program that has ended; 127 where there is no such program."""

    status: int
    stdout: str
    stderr: str


class Runner(Protocol):
    """Runs a program to its end."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        extra_environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float | None = None,
    ) -> Completed:
        """Run `argv`; `timeout` in seconds, after which the status is 124, as timeout(1) has it."""


def run_program(
    argv: Sequence[str],
    *,
    extra_environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
) -> Completed:
    """The real `Runner`."""
    try:
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd=cwd,
            timeout=timeout,
            env={**os.environ, **(extra_environ or {})},
        )
    except FileNotFoundError:
        return Completed(127, "", f"{argv[0]}: no such program")
    except PermissionError:
        return Completed(126, "", f"{argv[0]}: may not be run")
    except subprocess.TimeoutExpired:
        return Completed(124, "", f"{argv[0]}: no answer within {timeout:g} seconds")
    return Completed(done.returncode, done.stdout, done.stderr)


def condor_param(name: str) -> str | None:
    """A macro of HTCondor's configuration, the user's and the environment's in it; or None.

    This is htcondor2's `param`, so it is what HTCondor's own tools would see.
    """
    import htcondor2  # noqa: PLC0415 - 60 ms that `--help` should not cost

    value = htcondor2.param.get(name)
    return None if value is None or str(value) == "" else str(value)


def condor_pool() -> Pool:
    """The pool that HTCondor's configuration leads to."""
    from annex_client.pool import CondorPool  # noqa: PLC0415 - the same

    return CondorPool()


def terminal_columns() -> int:
    """How wide the terminal is, $COLUMNS first; 80 where there is none."""
    return shutil.get_terminal_size((80, 24)).columns


@dataclass(frozen=True)
class Context:
    """Streams, environment, home, clock, and the ways to HTCondor."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    environ: Mapping[str, str]
    home: Path
    cwd: Path
    clock: Clock = field(default_factory=SystemClock)
    run: Runner = run_program
    param: Callable[[str], str | None] = condor_param
    pool: Callable[[], Pool] = condor_pool
    random_bytes: Callable[[int], bytes] = secrets.token_bytes
    columns: Callable[[], int] = terminal_columns
    python: tuple[int, int] = (sys.version_info[0], sys.version_info[1])

    @property
    def condor_dir(self) -> Path:
        """`~/.condor`; see `home_folder`."""
        return self.home / ".condor"


def real_context() -> Context:
    """The context of the running process."""
    return Context(
        stdin=sys.stdin,
        stdout=sys.stdout,
        stderr=sys.stderr,
        environ=os.environ,
        home=home_folder(os.geteuid(), os.environ),
        cwd=Path.cwd(),
    )


def home_folder(uid: int, environ: Mapping[str, str]) -> Path:
    """Where `.condor` is: the password database's home, where HTCondor looks.

    HTCondor reads no user's file for root; root's is read by this client alone, and follows HOME as
    everything else of root's does.
    """
    if uid == 0 and environ.get("HOME"):
        return Path(environ["HOME"])
    return Path(pwd.getpwuid(uid).pw_dir)
