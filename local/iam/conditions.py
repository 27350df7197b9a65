"""The Condition element of IAM policies.

Source: IAM User Guide, "IAM JSON policy elements: Condition operators".
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.iam.patterns import Context, as_tuple, matches_wildcard, substitute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Values = tuple[str, ...]


def met(condition: Mapping[str, Any] | None, context: Context) -> bool:
    """Whether every operator is met; `context` has lower-case keys."""
    return all(
        _operator_met(operator, key, wanted, context)
        for operator, keys in (condition or {}).items()
        for key, wanted in keys.items()
    )


def _operator_met(operator: str, key: str, wanted: object, context: Context) -> bool:
    quantifier, _, rest = operator.rpartition(":")
    name = rest.removesuffix("IfExists")
    have = _present(context.get(key.lower()))
    if name == "Null":
        return (not have) == (str(as_tuple(wanted)[0]).lower() == "true")
    if not have and (rest.endswith("IfExists") or quantifier == "ForAllValues"):
        return True
    negated = name.startswith(("StringNot", "ArnNot", "NumericNot", "DateNot", "NotIp"))
    if not have:
        return negated and quantifier != "ForAnyValue"
    test = _OPERATORS.get(name)
    if test is None:
        raise ValueError(f"The local account does not know the condition operator {operator}.")
    filled = (substitute(_text(value), context) for value in as_tuple(wanted))
    patterns = [value for value in filled if value is not None]

    def one(value: str) -> bool:
        return any(test(value, pattern) for pattern in patterns) != negated

    return all(map(one, have)) if quantifier == "ForAllValues" else any(map(one, have))


def _present(value: str | Values | None) -> Values:
    return () if value is None else (value,) if isinstance(value, str) else value


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _same(have: str, want: str) -> bool:
    return have == want


def _same_but_case(have: str, want: str) -> bool:
    return have.lower() == want.lower()


def _like(have: str, want: str) -> bool:
    return matches_wildcard(want, have)


def _when(text: str) -> datetime:
    if text.isdigit():
        return datetime.fromtimestamp(int(text), UTC)
    return datetime.fromisoformat(text)


def _in_network(have: str, want: str) -> bool:
    return ipaddress.ip_address(have) in ipaddress.ip_network(want, strict=False)


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": _same,
    "StringNotEquals": _same,
    "StringEqualsIgnoreCase": _same_but_case,
    "StringNotEqualsIgnoreCase": _same_but_case,
    "StringLike": _like,
    "StringNotLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
    "ArnNotEquals": _like,
    "ArnNotLike": _like,
    "Bool": _same_but_case,
    "IpAddress": _in_network,
    "NotIpAddress": _in_network,
    "NumericEquals": lambda have, want: float(have) == float(want),
    "NumericNotEquals": lambda have, want: float(have) == float(want),
    "NumericLessThan": lambda have, want: float(have) < float(want),
    "NumericLessThanEquals": lambda have, want: float(have) <= float(want),
    "NumericGreaterThan": lambda have, want: float(have) > float(want),
    "NumericGreaterThanEquals": lambda have, want: float(have) >= float(want),
    "DateEquals": lambda have, want: _when(have) == _when(want),
    "DateNotEquals": lambda have, want: _when(have) == _when(want),
    "DateLessThan": lambda have, want: _when(have) < _when(want),
    "DateLessThanEquals": lambda have, want: _when(have) <= _when(want),
    "DateGreaterThan": lambda have, want: _when(have) > _when(want),
    "DateGreaterThanEquals": lambda have, want: _when(have) >= _when(want),
}
