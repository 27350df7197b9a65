"""A way to what is broken, in words."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from chalicelib.api import HttpAnswer
from chalicelib.configuration import Configuration
from chalicelib.launch import Attempt, Refusal
from chalicelib.model import Annex, Instance, RequestRecord
from tests.explorer.actors import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.explorer.search import Found, Step


def story(found: Found) -> Iterator[str]:
    """A line a step, and what is broken at last."""
    for now, step in found.story:
        yield f"{moment(now):%H:%M:%S}  {_said(step)}"
    yield f"BROKEN: {found.broken}"


def _said(step: Step) -> str:
    if step.call is None:
        return step.what
    call = step.call
    args = ", ".join(told(one) for one in (*call.args, *call.kwargs.values()))
    said = f"{step.what}: {call.port}.{call.method}({args})"
    if step.told is not None and step.told.error is not None:
        how = "done, but the answer is lost" if step.made else "fails"
        error = type(step.told.error).__name__
        said += f" {how}" if error == "AwsUnavailable" else f" raises {error}"
    elif step.told is not None and step.told.value is not None:
        said += f" -> {told(step.told.value)}"
    if step.done is not None:
        said += f"; over{_answered(step.done.told.value)}"
    return said


def _answered(value: Any) -> str:
    return f": answers {value.status}" if isinstance(value, HttpAnswer) else ""


def told(value: Any) -> str:  # noqa: PLR0911  a line a kind of value
    """A value, as short as it can be understood."""
    match value:
        case Annex():
            open_launch = ", a launch open" if value.open_launch else ""
            return (
                f"{value.name} v{value.version} {value.state}, lease "
                f"{value.lease_expires_at:%H:%M:%S}, machines {len(value.living)}{open_launch}"
            )
        case Instance():
            return f"{value.instance_id} {value.state}"
        case Attempt():
            return f"attempt {value.client_token}"
        case Refusal():
            return value.code
        case Configuration():
            return f"generation {value.generation}"
        case RequestRecord():
            return f"request {value.request_id[-2:]}"
        case datetime():
            return f"{value:%H:%M:%S}"
        case list() | tuple():
            return f"[{'; '.join(told(one) for one in value)}]"
        case str() | int() | None:
            return str(value)
        case _:
            return type(value).__name__
