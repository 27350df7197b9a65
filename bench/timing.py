"""Paired timing: two commands in turn, A B A B, so that a noisy machine is noisy for both."""

from __future__ import annotations

import statistics
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def seconds(argv: Sequence[str], env: Mapping[str, str] | None = None) -> float:
    """Run a command to its end and return the wall time; raises CalledProcessError if it fails."""
    began = time.perf_counter()
    subprocess.run(argv, check=True, capture_output=True, env=env)
    return time.perf_counter() - began


def paired(
    ours: Sequence[str],
    other: Sequence[str],
    rounds: int = 9,
    env: Mapping[str, str] | None = None,
) -> tuple[float, float, float]:
    """Return the medians of both in seconds, and the median of the ratios ours/other."""
    seconds(ours, env)  # the first run warms the disk's cache
    seconds(other, env)
    pairs = [(seconds(ours, env), seconds(other, env)) for _ in range(rounds)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )
