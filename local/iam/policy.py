"""Whether policies allow an action on a resource: the decision alone, no AWS and no state.

Source: IAM User Guide, "Policy evaluation logic" and "IAM JSON policy elements". Not evaluated:
resource-based policies, service control policies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.iam import conditions
from local.iam.patterns import Context, as_tuple, matches_wildcard, substitute

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Need:
    """One permission that a call needs: an action on a resource, with its condition keys."""

    action: str  # "ec2:TerminateInstances"
    resource: str  # an ARN, or "*" where the action has no resource
    context: Context = field(default_factory=dict)


def allows(documents: Iterable[Document], need: Need) -> bool:
    """Whether an Allow matches and no Deny does."""
    allowed = False
    context = {key.lower(): value for key, value in need.context.items()}
    for statement in _statements(documents):
        if not _matches(statement, need, context):
            continue
        if statement.get("Effect") == "Deny":
            return False
        allowed = True
    return allowed


def _statements(documents: Iterable[Document]) -> Iterator[Mapping[str, Any]]:
    for document in documents:
        yield from as_tuple(document.get("Statement", ()))


def _matches(statement: Mapping[str, Any], need: Need, context: Context) -> bool:
    return (
        _action_matches(statement, need.action)
        and _resource_matches(statement, need.resource, context)
        and conditions.met(statement.get("Condition"), context)
    )


def _action_matches(statement: Mapping[str, Any], action: str) -> bool:
    element = "NotAction" if "NotAction" in statement else "Action"
    listed = any(
        matches_wildcard(pattern.lower(), action.lower())
        for pattern in as_tuple(statement.get(element, ()))
    )
    return listed != (element == "NotAction")


def _resource_matches(statement: Mapping[str, Any], resource: str, context: Context) -> bool:
    if "NotResource" in statement:
        return not _any_resource(statement["NotResource"], resource, context)
    return _any_resource(statement.get("Resource", ()), resource, context)


def _any_resource(patterns: object, resource: str, context: Context) -> bool:
    filled = (substitute(pattern, context) for pattern in as_tuple(patterns))
    return any(pattern is not None and matches_wildcard(pattern, resource) for pattern in filled)
