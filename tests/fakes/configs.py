"""Configuration objects in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.errors import Conflict, Unreadable
from chalicelib.model import Leftover, LeftoverKind

if TYPE_CHECKING:
    from datetime import datetime

    from chalicelib.configuration import Configuration
    from chalicelib.ports import Clock


class FakeConfigs:
    """`ports.ConfigStore`. `broken` holds the keys of objects that make no sense."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.objects: dict[str, tuple[Configuration, str]] = {}
        self.broken: set[str] = set()
        self._written_at: dict[str, datetime] = {}
        self._writes = 0

    def read(self, key: str) -> tuple[Configuration, str] | None:
        if key in self.broken:
            raise Unreadable("An annex's configuration cannot be read.")
        return self.objects.get(key)

    def write(self, key: str, configuration: Configuration, etag: str | None = None) -> None:
        current = self.objects.get(key)
        if etag is not None and (current is None or current[1] != etag):
            raise Conflict("etag")
        self._writes += 1
        self.objects[key] = (configuration, f'"{self._writes}"')
        self._written_at[key] = self._clock.now()

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def listed(self) -> list[Leftover]:
        return [
            Leftover(LeftoverKind.CONFIGURATION, key, self._written_at[key]) for key in self.objects
        ]
