"""What the machine says about itself: its own object in S3, and a line in the journal."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Callable

from .files import File, write
from .parameters import format_time
from .paths import EVENTS
from .s3 import S3Error
from .shell import log

KEPT = 50  # events; a machine that flaps must not fill its report


class Reporter:
    """Keeps the events of this machine's life and writes them, newest state first.

    What could not be written is written with the next event or by `flush`.
    """

    def __init__(
        self,
        instance_id: str,
        put: Callable[[bytes], None],
        now: Callable[[], float] = time.time,
        root: str = "/",
    ) -> None:
        self._instance_id = instance_id
        self._put = put
        self._now = now
        self._root = root
        self._path = EVENTS.format(instance_id)
        self._events = self._earlier()
        self._written = True

    def say(self, phase: str, reason: str = "") -> None:
        """Record that the machine is in `phase`, for `reason`; the same again is not an event."""
        last = self._events[-1] if self._events else {}
        if (last.get("phase"), last.get("reason")) != (phase, reason):
            event = {"at": format_time(self._now()), "phase": phase, "reason": reason}
            self._events = [*self._events, event][-KEPT:]
            self._written = False
            log(f"{phase}: {reason}" if reason else phase)
            self._keep()
        self.flush()

    @property
    def phase(self) -> str:
        """The phase said last, or nothing."""
        return self._events[-1]["phase"] if self._events else ""

    def flush(self) -> bool:
        """Write what is not written yet; False where it could not be."""
        if not self._written and self._events:
            report = {"instance_id": self._instance_id, **self._events[-1], "events": self._events}
            try:
                self._put(json.dumps(report).encode())
                self._written = True
            except S3Error as error:
                log(error)
        return self._written

    def _earlier(self) -> list[dict[str, str]]:
        """The events before this program was restarted."""
        try:
            events = json.loads(Path(self._root + self._path).read_text(encoding="utf-8"))
            return events if isinstance(events, list) else []
        except (OSError, ValueError):
            return []

    def _keep(self) -> None:
        try:
            write(File(self._path, json.dumps(self._events).encode(), 0o600), self._root)
        except OSError as error:
            log(error)
