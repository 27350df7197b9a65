"""What people and scripts read. The only module that writes to a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from annex_client.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from annex_client.context import Context
    from annex_client.errors import ClientError

_CLEAR_LINE = "\r\x1b[K"
_INDENT = "    "


class Output:
    """Sentences, facts, questions and dots.

    With `as_json`, standard output holds one JSON object and nothing else; sentences go to
    standard error.
    """

    def __init__(self, context: Context, *, program: str, as_json: bool = False) -> None:
        self.as_json = as_json
        self._program = program
        self._stdin = context.stdin
        self._out = context.stdout
        self._err = context.stderr
        self._people = context.stderr if as_json else context.stdout
        self._tty = self._people.isatty()
        self._columns = context.columns()
        self._progress = ""

    def say(self, text: str = "") -> None:
        """One or more lines for people."""
        self._end_progress()
        self._write(text + "\n")

    def warn(self, text: str) -> None:
        """A line for people that is not the answer: on standard error."""
        self._end_progress()
        self._err.write(f"{text}\n")
        self._err.flush()

    def facts(self, value: Any) -> None:  # noqa: ANN401 - any JSON value
        """The answer for scripts; without `--json` nothing is printed."""
        if self.as_json:
            self._out.write(json.dumps(value, indent=2) + "\n")
            self._out.flush()

    def ask(self, question: str) -> bool:
        """Whether the user typed 'yes'; the end of the input is a no."""
        self._end_progress()
        self._write(f"{question}  (Type 'yes' or 'no'): ")
        try:
            answer = self._stdin.readline()
        except KeyboardInterrupt:
            self._write("\n")
            raise Interrupted("Interrupted at the question: nothing was done.") from None
        if not answer.endswith("\n"):
            self._write("\n")
        return answer.strip().lower() in ("yes", "y")

    def begin(self, text: str) -> None:
        """Begin a line that grows by dots: the first three are given."""
        self._write(f"{text}...")

    def dot(self) -> None:
        """One more dot: still working."""
        self._write(".")

    def end(self, text: str = " complete.") -> None:
        """End a line of dots."""
        self._write(f"{text}\n")

    def progress(self, text: str, elapsed: str = "") -> None:
        """The state of a wait: rewritten in place on a terminal, else a line at each change."""
        if self._tty:
            self._write(f"{_CLEAR_LINE}{text}{elapsed and f', {elapsed}'}")
        elif text != self._progress:
            self._write(f"{text}\n")
        self._progress = text

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]], right: str = "") -> None:
        """Columns as wide as they need to be; those named in `right` by their index are numbers.

        The last column is words. On a terminal that they do not fit into, they stand below their
        row; elsewhere each row is one line, for grep.
        """
        lines = [list(header), *(list(row) for row in rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
        for line in lines:
            cells = [
                cell.rjust(width) if str(i) in right else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(line, widths))
            ]
            text = "  ".join(cells).rstrip()
            if self._tty and len(text) > self._columns and line[-1]:
                text = "  ".join(cells[:-1]).rstrip() + "\n" + self._below(line[-1])
            self.say(text)

    def _below(self, words: str) -> str:
        import textwrap  # noqa: PLC0415 - only here

        return textwrap.fill(
            words,
            self._columns,
            initial_indent=_INDENT,
            subsequent_indent=_INDENT,
            break_long_words=False,
        )

    def clear_screen(self) -> None:
        """For `--watch` on a terminal."""
        if self._tty:
            self._write("\x1b[H\x1b[2J")

    def failed(self, error: ClientError) -> None:
        """The sentence of an error, and with `--json` the same as an object."""
        named = f" ({error.named})" if error.named else ""
        self.warn(f"{self._program}: {error.message}{named}")
        self.facts(
            {
                "error": {
                    "code": error.code,
                    "message": f"{error.message}{named}",
                    "exit": error.exit,
                    "annex": error.annex,
                    "request_id": error.request_id,
                }
            }
        )

    def _end_progress(self) -> None:
        if self._progress and self._tty:
            self._people.write(_CLEAR_LINE)
        self._progress = ""

    def _write(self, text: str) -> None:
        self._people.write(text)
        self._people.flush()


def plural(number: int, noun: str) -> str:
    """`1 machine`, `2 machines`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
