"""The exit statuses, which scripts may rely on."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What became of the command; the numbers never change."""

    DONE = 0
    UNEXPECTED = 1
    BAD_INPUT = 2  # usage, names, numbers, files
    REFUSED = 3  # not allowed, a cap, not the owner, no usable credentials or token, no capacity
    NOT_FOUND = 4
    CONFLICT = 5  # name taken, annex is ending, a second deployment
    PARTLY = 6  # N of M
    AWS_TROUBLE = 7  # AWS or the control plane out of reach, or not set up
    POOL_TROUBLE = 8  # collector or schedd out of reach
    TIMED_OUT = 9  # while waiting
    INTERRUPTED = 130  # Ctrl-C
