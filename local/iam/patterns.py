"""IAM's patterns: wildcards, policy variables, and lists that may be one thing.

Source: IAM User Guide, "IAM JSON policy elements: Resource" and "Variables and tags".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Condition keys and their values, one or many.
Context = Mapping[str, "str | tuple[str, ...]"]


def matches_wildcard(pattern: str, text: str) -> bool:
    """IAM's wildcards: `*` for any number of characters, `?` for one; nothing else is special."""
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def as_tuple(value: object) -> tuple[Any, ...]:
    """IAM writes lists of one as the one."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def substitute(pattern: str, context: Context) -> str | None:
    """`pattern` with its policy variables filled in; None where one has no value.

    Neither role ids nor session names nor tags' keys may hold a `*`, so no value widens a pattern.
    Source: IAM User Guide, "Policy variables": what has a variable without a value never matches.
    """
    missing = False

    def value(found: re.Match[str]) -> str:
        nonlocal missing
        name, _, default = found[1].partition(",")
        name = name.strip()
        if name in {"*", "?", "$"}:
            return name
        have = context.get(name.lower())
        if isinstance(have, str):
            return have
        if default:
            return default.strip().strip("'")
        missing = True
        return ""

    text = re.sub(r"\$\{([^}]*)\}", value, pattern)
    return None if missing else text
