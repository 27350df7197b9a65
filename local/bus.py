"""EventBridge: events to the functions that deployed, enabled rules name as their targets.

Source: EventBridge User Guide, "Event patterns"; a rule with a schedule has no pattern and hears no
event. moto does neither: it calls no function, and lets a rule without a pattern match everything.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from moto.events.models import EventsBackend, Rule, events_backends

from local.callers import ACCOUNT

Deliver = Callable[[str, bytes, str], None]  # (function name, payload, region)


def rules(region: str) -> list[Any]:
    """The enabled rules of the default bus."""
    bus = events_backends[ACCOUNT][region].event_buses["default"]
    return [rule for rule in list(bus.rules.values()) if rule.state == "ENABLED"]


def publish(
    deliver: Deliver,
    region: str,
    source: str,
    kind: str,
    detail: dict[str, Any],
    resources: list[str],
) -> None:
    """Give an event to every rule whose pattern matches."""
    event = _event(region, source, kind, detail, resources)
    for rule in rules(region):
        if not rule.scheduled_expression and rule.event_pattern.matches_event(event):
            _send(deliver, rule, event)


def fire(deliver: Deliver, rule: Any) -> None:
    """Give a schedule's rule its event, now."""
    _send(deliver, rule, _event(rule.region_name, "aws.events", "Scheduled Event", {}, [rule.arn]))


def install(deliver: Deliver) -> None:
    """Let PutEvents reach functions, and refuse events in AWS's own name."""
    send = Rule.send_to_targets
    put = EventsBackend.put_events

    def send_to_targets(rule: Any, original_event: Any, transform_input: bool = True) -> None:  # noqa: FBT001, FBT002 (moto's signature)
        if rule.scheduled_expression or rule.state != "ENABLED":
            return
        if _functions(rule):
            event = {**original_event, "time": _now()}
            if rule.event_pattern.matches_event(event):
                _send(deliver, rule, event)
            return
        send(rule, original_event, transform_input)

    def put_events(backend: Any, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        reserved = [str(event.get("Source", "")).startswith("aws.") for event in events]
        answers = iter(put(backend, [e for e, no in zip(events, reserved, strict=True) if not no]))
        refusal = {
            "ErrorCode": "NotAuthorizedForSourceException",
            "ErrorMessage": "Not authorized for the source.",
        }
        return [refusal if no else next(answers) for no in reserved]

    Rule.send_to_targets = send_to_targets
    EventsBackend.put_events = put_events


def _send(deliver: Deliver, rule: Any, event: dict[str, Any]) -> None:
    for target in _functions(rule):
        payload = target.get("Input") or json.dumps(event)
        name = target["Arn"].partition(":function:")[2].partition(":")[0]
        deliver(name, payload.encode(), rule.region_name)


def _functions(rule: Any) -> list[dict[str, Any]]:
    return [target for target in list(rule.targets) if ":lambda:" in target["Arn"]]


def _event(
    region: str, source: str, kind: str, detail: dict[str, Any], resources: list[str]
) -> dict[str, Any]:
    return {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": kind,
        "source": source,
        "account": ACCOUNT,
        "time": _now(),
        "region": region,
        "resources": resources,
        "detail": detail,
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
