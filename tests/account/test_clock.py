"""EventBridge User Guide, "Rate expressions"."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from local.clock import Clock, period


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("rate(1 minute)", 60),
        ("rate(5 minutes)", 300),
        ("rate(1 hour)", 3600),
        ("rate(2 days)", 172800),
        ("cron(0 12 * * ? *)", None),
    ],
)
def test_rates(expression: str, seconds: float | None) -> None:
    assert period(expression) == seconds


def test_a_rule_fires_at_its_rate_and_late_clocks_do_not_make_up() -> None:
    rule = SimpleNamespace(arn="a", name="sweep", scheduled_expression="rate(1 minute)")
    fired: list[str] = []
    clock = Clock(lambda: [rule], lambda each: fired.append(each.name))
    assert [bool(clock.step(now)) for now in (0, 59, 60, 61, 119, 120, 600, 601, 660)] == [
        False, False, True, False, False, True, True, False, True,
    ]  # fmt: skip
    assert fired == ["sweep"] * 4


def test_a_disabled_rule_begins_anew() -> None:
    rule = SimpleNamespace(arn="a", name="sweep", scheduled_expression="rate(1 minute)")
    rules = [rule]
    clock = Clock(lambda: rules, lambda _rule: None)
    clock.step(0)
    rules.clear()
    assert clock.step(60) == []
    rules.append(rule)
    assert clock.step(61) == []
    assert clock.step(121) == ["sweep"]
