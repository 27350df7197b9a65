"""`distribution`: the filter at the end of the tutorial's command line.

    condor_history ... | cut ... | distribution --height=101

counts equal lines and draws a histogram of them.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from annex_client import histogram
from annex_client.context import real_context
from annex_client.exits import Exit
from annex_client.render import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from annex_client.context import Context


def run(argv: Sequence[str], context: Context) -> int:
    """Read lines, print their histogram."""
    parser = argparse.ArgumentParser(
        prog="distribution",
        description="Count equal lines of standard input and draw a histogram of them.",
        allow_abbrev=False,
    )
    parser.add_argument("--height", type=int, default=histogram.DEFAULT_HEIGHT, metavar="LINES")
    parser.add_argument("--width", type=int, default=histogram.DEFAULT_WIDTH, metavar="COLUMNS")
    parser.add_argument("--char", default="+", metavar="C", help="what the bars are made of")
    options = parser.parse_args(argv)
    out = Output(context, program="distribution")
    try:
        lines = [line.strip() for line in context.stdin]
        for line in histogram.draw(
            lines, height=options.height, width=options.width, character=options.char
        ):
            out.say(line)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return Exit.DONE
    return Exit.DONE


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:], real_context()))
