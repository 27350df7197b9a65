"""States of the fakes as values: copied before something changes them, compared, and numbered."""

from __future__ import annotations

import copy
from dataclasses import fields, is_dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Hashable


def copied(value: Any) -> Any:
    """A copy of all that can change in it; what cannot change is shared."""
    if isinstance(value, dict):
        return {key: copied(one) for key, one in value.items()}
    if isinstance(value, list):
        return [copied(one) for one in value]
    if isinstance(value, set):
        return set(value)
    if is_dataclass(value) and not isinstance(value, type) and not _is_frozen(value):
        twin = copy.copy(value)
        for one in fields(value):
            setattr(twin, one.name, copied(getattr(value, one.name)))
        return twin
    return value


def comparable(value: Any) -> Hashable:  # noqa: PLR0911  a line a kind of value
    """What two values have in common if they are the same; the order of keys does not count."""
    if isinstance(value, dict):
        return frozenset((key, comparable(one)) for key, one in value.items())
    if isinstance(value, list | tuple):
        return (type(value), *map(comparable, value))
    if isinstance(value, set):
        return frozenset(value)
    if isinstance(value, BaseException):
        return (type(value), str(value))
    if isinstance(value, FunctionType):
        cells = (one.cell_contents for one in value.__closure__ or ())
        return (value.__code__, *map(comparable, cells))
    if isinstance(value, msgspec.Struct):
        return (type(value), comparable(msgspec.structs.asdict(value)))
    if is_dataclass(value) and not (_is_frozen(value) and _is_hashable(value)):
        return (type(value), *(comparable(getattr(value, one.name)) for one in fields(value)))
    return value  # type: ignore[no-any-return]


class Numbers:
    """Gives each value a small number, the same to those that are the same."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self.values: list[Any] = []

    def of(self, value: Any) -> int:
        """The value's number; `values[number]` is the first one that had it."""
        number = self._numbers.setdefault(comparable(value), len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number


def _is_frozen(value: Any) -> bool:
    return bool(type(value).__dataclass_params__.frozen)


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
