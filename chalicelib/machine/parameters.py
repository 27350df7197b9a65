"""What the user data tells the program, and times as they are written everywhere."""

from __future__ import annotations

import calendar
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from .paths import PARAMETERS

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def parse_time(text: str) -> int:
    """Unix time of a UTC time like 2026-11-24T16:00:00Z (ValueError where it is none)."""
    return calendar.timegm(time.strptime(text, TIME_FORMAT))


def format_time(when: float) -> str:
    """A Unix time as the wire has it."""
    return time.strftime(TIME_FORMAT, time.gmtime(when))


@dataclass(frozen=True)
class Parameters:
    """What the user data tells the program: where its configuration is, and the first lease."""

    annex_name: str
    annex_id: str
    bucket: str
    key: str = field(repr=False)  # whoever knows it may read the annex's token
    region: str
    role_id: str
    lease_end: int  # Unix time
    dead_man_margin_seconds: int
    boot_limit_seconds: int

    @staticmethod
    def parse(text: str) -> Parameters:
        """Read the JSON that `chalicelib/userdata.py` wrote."""
        given = json.loads(text)
        lease_end = parse_time(given.pop("lease_expires_at"))
        known = {name: given[name] for name in Parameters.__dataclass_fields__ if name in given}
        return Parameters(lease_end=lease_end, **known)

    @staticmethod
    def load(root: str = "/") -> Parameters:
        """Read them where the user data put them; raises OSError or ValueError."""
        return Parameters.parse(Path(root + PARAMETERS).read_text(encoding="utf-8"))
