"""The ticker behind EventBridge's schedules: fires deployed, enabled rate() rules at their rate.

Source: EventBridge User Guide, "Rate expressions". cron() rules fire on demand only.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_UNITS = {"minute": 60.0, "hour": 3600.0, "day": 86400.0}


class Clock:
    """Looks once a second which rules are due; `rules` gives the enabled ones, `fire` fires one."""

    def __init__(self, rules: Callable[[], list[Any]], fire: Callable[[Any], None]) -> None:
        self._rules = rules
        self._fire = fire
        self._due: dict[str, float] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)

    def start(self) -> None:
        """Begin to tick."""
        self._thread.start()

    def tick(self) -> list[str]:
        """Fire every enabled schedule now, whatever its rate; returns the rules' names."""
        fired = [rule for rule in self._rules() if rule.scheduled_expression]
        for rule in fired:
            self._fire(rule)
        return [rule.name for rule in fired]

    def step(self, now: float) -> list[str]:
        """Fire what is due at `now` (seconds of any steady clock); returns the rules' names."""
        fired = []
        with self._lock:
            scheduled = {rule.arn: rule for rule in self._rules() if rule.scheduled_expression}
            # A rule that was disabled or deleted counts from its return, as a new one does.
            self._due = {arn: due for arn, due in self._due.items() if arn in scheduled}
            for arn, rule in scheduled.items():
                rate = period(rule.scheduled_expression)
                if rate is None:
                    continue
                due = self._due.setdefault(arn, now + rate)
                if now >= due:
                    # A late clock fires once and keeps the beat: nothing is made up for.
                    self._due[arn] = due + rate * (1 + (now - due) // rate)
                    fired.append(rule)
        for rule in fired:
            self._fire(rule)
        return [rule.name for rule in fired]

    def close(self) -> None:
        """Stop ticking."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._end.wait(1.0):
            try:
                self.step(time.monotonic())
            except Exception:
                log.exception("the clock could not tick")


def period(expression: str) -> float | None:
    """The seconds of a rate() expression; None for any other."""
    found = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    return int(found[1]) * _UNITS[found[2]] if found else None
