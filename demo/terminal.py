"""A terminal that shows what is typed and what comes back."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class StepFailedError(Exception):
    """A step did not do what the tutorial promises; the message says which."""


@dataclass
class Terminal:
    """Runs commands as somebody would type them, printing both sides.

    `prefix` is what really runs them (a way into a host); `prompt` says who types.
    """

    prompt: str
    prefix: Sequence[str] = ()
    env: Mapping[str, str] | None = None
    cwd: str | None = None
    began: float = field(default_factory=time.monotonic)

    def type(self, command: str, *, answer: str = "", exit_status: int = 0, shown: str = "") -> str:
        """Type a shell command and return what it printed.

        Raises StepFailedError unless it ends with `exit_status`. `shown` is printed in its place
        where the real command would only confuse (a here-document, say).
        """
        print(f"\n{self.prompt} {shown or command}", flush=True)
        argv = [*self.prefix, "sh", "-c", command] if self.prefix else ["sh", "-c", command]
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(self.env) if self.env is not None else None,
            cwd=self.cwd,
        )
        assert process.stdin is not None  # noqa: S101  # we asked for a pipe
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(answer.encode())
        process.stdin.close()
        heard = bytearray()
        while chunk := process.stdout.read1(4096):
            heard += chunk
            sys.stdout.buffer.write(chunk)
            sys.stdout.flush()
        status = process.wait()
        text = heard.decode(errors="replace")
        if status != exit_status:
            raise StepFailedError(f"`{command}` ended with status {status}, not {exit_status}.")
        return text

    def quiet(self, command: str) -> str:
        """Run a command without showing it, for looking around; never raises."""
        argv = [*self.prefix, "sh", "-c", command]
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, env=self.env, cwd=self.cwd
        )
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Write a file as this user, below the home folder, without showing it."""
        argv = [*self.prefix, "sh", "-c", 'mkdir -p "$(dirname "$0")" && cat > "$0"', path]
        subprocess.run(argv, input=text, text=True, check=True, env=self.env, cwd=self.cwd)

    def wait(self, what: str, found: Callable[[], str], seconds: float) -> str:
        """Wait until `found` returns something, saying what for and how long it took.

        Raises StepFailedError after `seconds`.
        """
        print(f"... waiting for {what}", end="", flush=True)
        start = time.monotonic()
        while time.monotonic() - start < seconds:
            if value := found():
                print(f" ({time.monotonic() - start:.1f} s)", flush=True)
                return value
            print(".", end="", flush=True)
            time.sleep(2)
        raise StepFailedError(f"Nothing after {seconds:.0f} s of waiting for {what}.")


def expect(text: str, pattern: str) -> None:
    """Raise StepFailedError unless the text holds the (regular) expression."""
    if not re.search(pattern, text):
        raise StepFailedError(f"Expected {shlex.quote(pattern)} in what was printed.")


def say(title: str) -> None:
    """Print the title of a step."""
    print(f"\n=== {title}", flush=True)
