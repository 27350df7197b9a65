"""Things to be done later, one thread for all of them."""

from __future__ import annotations

import heapq
import logging
import threading
import time
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


class Later:
    """Runs functions at their time, one after the other; a function must not wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._entries: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="later", daemon=True)
        self._thread.start()

    def call(self, seconds: float, function: Callable[[], object]) -> None:
        """Call `function` after so many seconds."""
        with self._changed:
            entry = (time.monotonic() + seconds, next(self._order), function)
            heapq.heappush(self._entries, entry)
            self._changed.notify()

    def clear(self) -> None:
        """Forget what is still to be done."""
        with self._changed:
            self._entries.clear()

    def close(self) -> None:
        """End the thread; what is still to be done is not done."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and not self._due():
                    wait = self._entries[0][0] - time.monotonic() if self._entries else None
                    self._changed.wait(wait)
                if self._closed:
                    return
                _, _, function = heapq.heappop(self._entries)
            try:
                function()
            except Exception:
                log.exception("a delayed step failed")

    def _due(self) -> bool:
        return bool(self._entries) and self._entries[0][0] <= time.monotonic()
