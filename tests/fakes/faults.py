"""Watches every call through a port, and breaks the one it is told to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Crash(BaseException):
    """The function is gone: no handler may catch it, as none survives a killed process."""


@dataclass
class Faults:
    """`points` are all the places passed so far; at the `at`-th, `error` is raised."""

    points: list[str] = field(default_factory=list)
    at: int | None = None
    error: BaseException | None = None
    watch: Callable[[str], None] | None = None

    def point(self, name: str) -> None:
        """Pass a place where the world may end."""
        position = len(self.points)
        self.points.append(name)
        if self.watch is not None:
            self.watch(name)
        if self.error is not None and position == self.at:
            raise self.error

    def disarm(self) -> None:
        """Nothing breaks any more."""
        self.at, self.error, self.watch, self.points = None, None, None, []


class Watched:
    """A port whose every call passes a point before and one after."""

    def __init__(self, port: Any, name: str, faults: Faults) -> None:
        self._port = port
        self._name = name
        self._faults = faults

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._port, method)

        def watched(*args: Any, **kwargs: Any) -> Any:
            self._faults.point(f"before {self._name}.{method}")
            result = call(*args, **kwargs)
            self._faults.point(f"after {self._name}.{method}")
            return result

        return watched
