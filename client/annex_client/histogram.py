"""Counts of lines, drawn as the tutorial draws them. Pure.

The columns: the longest value, the longest count, and bars that fill the width.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_WIDTH = 80
DEFAULT_HEIGHT = 15


def draw(
    values: Iterable[str],
    *,
    height: int = DEFAULT_HEIGHT,
    width: int = DEFAULT_WIDTH,
    character: str = "+",
) -> list[str]:
    """The lines of a histogram: a heading, then the most frequent values, at most `height`.

    Values that are empty do not count. Equal counts are in the order of the alphabet. A bar has at
    least one character, however rare its value.
    """
    counts = Counter(value for value in values if value)
    total = sum(counts.values())
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:height]
    if not rows:
        return ["Val|Ct (Pct) Histogram"]
    shares = [f"{number} ({100 * number / total:.2f}%)" for _, number in rows]
    value_width = max(len(value) for value, _ in [*rows, ("Val", 0)])
    share_width = max(len(share) for share in [*shares, "Ct (Pct)"])
    room = max(1, width - value_width - share_width - 2)
    most = rows[0][1]
    lines = [f"{'Val'.ljust(value_width)}|{'Ct (Pct)'.ljust(share_width)} Histogram"]
    for (value, number), share in zip(rows, shares):
        bar = character * (1 + number * (room - 1) // most)
        lines.append(f"{value.ljust(value_width)}|{share.ljust(share_width)} {bar}")
    return lines


def domain(remote_host: str) -> str:
    """The part of LastRemoteHost that the tutorial counts: `cut -d@ -f2 | cut -d. -f2,3`.

    `slot1_1@ip-10-0-1-11.ec2.internal@i-01.alice.annex` is `ec2.internal`.
    """
    fields = remote_host.split("@")
    host = fields[1] if len(fields) > 1 else remote_host
    labels = host.split(".")
    return ".".join(labels[1:3]) if len(labels) > 1 else host
