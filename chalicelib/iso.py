"""Times as tags, configuration objects and answers have them: `2026-11-24T16:00:00Z`."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(when: datetime) -> str:
    """UTC to the second, rounded down: a lease written never ends later than the one meant."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """The time a text names. Raises ValueError."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return when.astimezone(UTC)
