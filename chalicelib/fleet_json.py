"""Reads JSON by a table that decides every field: passed on, set by us, or refused.

A table has no defaults: a field that it does not know is refused by name, so that nothing a user
wrote is dropped in silence. Values are checked for their kind, since AWS would say no only later.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from .errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Kind(StrEnum):
    """A JSON value that is no structure. AWS's guide writes numbers as text here and there."""

    TEXT = "text"
    MARK = "text, also empty"
    WHOLE = "a whole number"
    NUMBER = "a number"
    TRUTH = "true or false"
    TIME = "a time like 2026-11-24T16:00:00Z"


class Fate(StrEnum):
    """What becomes of a field."""

    PASSED = "passed on"
    OURS = "set by us"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Many:
    """A list."""

    each: Shape


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its shape, its fate, and (unless passed on) the reason as the end of a sentence.

    `same` are the values of a field of ours that come to the same as ours, and of a refused one
    those that ask for nothing.
    """

    shape: Shape
    fate: Fate = Fate.PASSED
    why: str = ""
    same: tuple[object, ...] = ()


Table = dict[str, Field]
Shape = Kind | Many | Table


def passed(shape: Shape) -> Field:
    """A field that EC2 gets as it is."""
    return Field(shape)


def ours(shape: Shape, why: str, *, same: tuple[object, ...] = ()) -> Field:
    """A field that is ours to say; the user hears of it if it says anything but `same`."""
    return Field(shape, Fate.OURS, why, same)


def refused(shape: Shape, why: str, *, same: tuple[object, ...] = ()) -> Field:
    """A field that cannot be honoured."""
    return Field(shape, Fate.REFUSED, why, same)


def parsed(text: str, what: str) -> dict[str, Any]:
    """A JSON object. Raises BadRequest, also where a name is there twice."""
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise BadRequest(
            f"{what} is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{what} is not JSON that AWS would take: {error}.") from error
    if not isinstance(value, dict):
        raise BadRequest(f"{what} is not a JSON object.")
    return value


def read(value: Mapping[str, Any], table: Table, path: str, notes: list[str]) -> dict[str, Any]:
    """The fields of a structure, each of its kind; null, {} and [] count as left out.

    Refused and unknown fields raise BadRequest; the fields of ours are kept for whoever checks
    them, and told in `notes` where they say something else.
    """
    found: dict[str, Any] = {}
    for name, given in value.items():
        here = f"{path}.{name}" if path else name
        field = table.get(name)
        if _is_empty(given) and not (field and field.shape is Kind.MARK and given is not None):
            continue
        if field is None:
            raise BadRequest(f"{here}: {_unknown(name, table)}.")
        read_value = _read(given, field.shape, here, notes)
        if _is_empty(read_value) and field.shape is not Kind.MARK:
            continue
        if read_value not in field.same:
            if field.fate is Fate.REFUSED:
                raise BadRequest(f"{here}: {field.why}.")
            if field.fate is Fate.OURS and field.why:
                notes.append(f"{_without_numbers(here)}: {field.why}.")
        if field.fate is not Fate.REFUSED:
            found[name] = read_value
    return found


def passed_on(value: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """What EC2 gets of a structure that was read; one of which nothing is left is left out."""
    kept = {
        name: _passed_on(given, table[name].shape)
        for name, given in value.items()
        if table[name].fate is Fate.PASSED
    }
    return {name: given for name, given in kept.items() if given != {}}


def _unknown(name: str, table: Table) -> str:
    meant = next((one for one in table if one.lower() == name.lower()), None)
    if meant is not None:
        return f"is written {meant}"
    return "a Spot Fleet has no such field that this version knows"


def _passed_on(value: Any, shape: Shape) -> Any:  # noqa: ANN401  JSON
    match shape:
        case Many(each):
            return [_passed_on(one, each) for one in value]
        case dict():
            return passed_on(value, shape)
        case _:
            return value.isoformat() if isinstance(value, datetime) else value


def _read(value: Any, shape: Shape, path: str, notes: list[str]) -> Any:  # noqa: ANN401  JSON
    match shape:
        case Many(each):
            if not isinstance(value, list):
                raise BadRequest(f"{path}: must be a list.")
            # A list keeps its order and its length: an empty member is for AWS to judge.
            return [_read(one, each, f"{path}[{n}]", notes) for n, one in enumerate(value)]
        case dict():
            if not isinstance(value, dict):
                raise BadRequest(f"{path}: must be a structure in braces.")
            return read(value, shape, path, notes)
        case _:
            return _plain(value, shape, path)


def _plain(value: Any, kind: Kind, path: str) -> Any:  # noqa: ANN401  JSON
    try:
        return _READERS[kind](value)
    except (ValueError, TypeError, OverflowError, OSError):  # the last for times beyond all years
        raise BadRequest(f"{path}: must be {kind}, not {_shown(value)}.") from None


def _shown(value: object) -> str:
    if isinstance(value, list):
        return "a list"
    return "a structure" if isinstance(value, dict) else json.dumps(value, default=str)[:80]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    if isinstance(value, str) and not re.fullmatch(r"\s*-?[0-9]{1,15}(\.[0-9]{1,15})?\s*", value):
        raise ValueError(value)
    return float(value)


def _whole(value: object) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError(value)
    return int(number)


def _truth(value: object) -> bool:
    if value in ("true", "false"):
        return value == "true"
    if not isinstance(value, bool):
        raise TypeError
    return value


def _time(value: object) -> datetime:
    if isinstance(value, datetime):  # as botocore answers
        return value
    if isinstance(value, str):
        at = datetime.fromisoformat(value.strip())
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    return datetime.fromtimestamp(_number(value), tz=UTC)


_READERS = {
    Kind.TEXT: _text,
    Kind.MARK: _text,
    Kind.WHOLE: _whole,
    Kind.NUMBER: _number,
    Kind.TRUTH: _truth,
    Kind.TIME: _time,
}


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)


def _without_numbers(path: str) -> str:
    return re.sub(r"\[[0-9]+\]", "[]", path)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice")
    return found


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number")
