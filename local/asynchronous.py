"""Asynchronous invocations: a queue for each function, retries, and a few workers at most.

Source: Lambda Developer Guide, "Invoking a function asynchronously". Lambda scales to a thousand
environments; on one machine a burst of events (a launch of many instances changes as many states)
waits its turn instead.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.later import Later
    from local.options import Options
    from local.runtime_api import Result

log = logging.getLogger(__name__)

WORKERS = 4


@dataclass(frozen=True)
class Event:
    """One event for one function; `attempt` counts from nought, `at` is of a steady clock."""

    function: str
    payload: bytes
    region: str
    attempt: int = 0
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Limits:
    """How often an event is tried again, and how old it may be when it is begun, in seconds."""

    retries: int = 2
    age_seconds: float = 6 * 3600


class Asynchronous:
    """Runs events in the order in which they came, by function.

    `invoke` runs one and may raise AwsError; `limits` says what holds for a function's events.
    """

    def __init__(
        self,
        invoke: Callable[[str, bytes, str], Result],
        limits: Callable[[str, str], Limits],
        options: Options,
        later: Later,
    ) -> None:
        self._invoke = invoke
        self._limits = limits
        self._options = options
        self._later = later
        self._lock = threading.Lock()
        self._events: dict[str, deque[Event]] = {}
        self._workers: dict[str, int] = {}

    def put(self, event: Event) -> None:
        """Run an event as soon as there is a worker free."""
        name = event.function
        with self._lock:
            self._events.setdefault(name, deque()).append(event)
            if self._workers.get(name, 0) >= WORKERS:
                return
            self._workers[name] = self._workers.get(name, 0) + 1
        threading.Thread(target=self._work, args=(name,), name=f"async {name}", daemon=True).start()

    def clear(self) -> None:
        """Forget the events that nobody has begun."""
        with self._lock:
            for events in self._events.values():
                events.clear()

    def _work(self, name: str) -> None:
        while True:
            with self._lock:
                events = self._events[name]
                if not events:
                    self._workers[name] -= 1
                    return
                event = events.popleft()
            try:
                self._run(event)
            except Exception:
                log.exception("an event of %s could not be run", name)

    def _run(self, event: Event) -> None:
        try:
            limits = self._limits(event.function, event.region)
            if time.monotonic() - event.at > limits.age_seconds:
                log.warning("an event of %s grew too old", event.function)
                return
            result = self._invoke(event.function, event.payload, event.region)
        except AwsError as error:
            if error.code == "ResourceNotFoundException":
                log.warning("there is no function %s for its event", event.function)
                return
            # Throttled: Lambda keeps the event until it is too old.
            self._later.call(1.0, lambda: self.put(event))
            return
        if result.error is None:
            return
        reason = result.payload[:500].decode(errors="replace")
        log.warning("%s failed asynchronously: %s", event.function, reason)
        if event.attempt < limits.retries:
            delay = self._options.retry_seconds[event.attempt]
            again = replace(event, attempt=event.attempt + 1)
            self._later.call(delay, lambda: self.put(again))
