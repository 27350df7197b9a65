"""Other programs, run with a limit of time and without ever raising; and the journal."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_FOUND = 127
TIMED_OUT = 124


def log(text: object) -> None:
    """One line for the journal and the console."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class Ran:
    """How a command ended: its exit status (127 not found, 124 timed out) and its output."""

    code: int
    out: str = ""

    @property
    def ok(self) -> bool:
        """Whether it ended with status 0."""
        return self.code == 0

    @property
    def last_line(self) -> str:
        """The last line that says something, cut to 200 characters: for a reason."""
        lines = [line.strip() for line in self.out.splitlines() if line.strip()]
        return lines[-1][:200] if lines else f"exit status {self.code}"


class Run(Protocol):
    """Runs a command; tests hand in their own."""

    def __call__(
        self, args: Sequence[str], seconds: float, environment: dict[str, str] | None = None
    ) -> Ran:
        """Run `args` for `seconds` at most, with `environment` added to the program's own."""


def run(args: Sequence[str], seconds: float, environment: dict[str, str] | None = None) -> Ran:
    """Run a command with both outputs in one, killed after `seconds`; never raises."""
    try:
        done = subprocess.run(
            list(args),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Ran(TIMED_OUT, f"{args[0]} did not end within {seconds:.0f} s")
    except OSError as error:
        return Ran(NOT_FOUND, f"{args[0]}: {error.strerror}")
    return Ran(done.returncode, done.stdout.decode("utf-8", "replace"))
