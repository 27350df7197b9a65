"""The decision itself: IAM User Guide, "Policy evaluation logic" and "Condition operators"."""

from __future__ import annotations

from typing import Any

import pytest

from local.iam.policy import Need, allows

ARN = "arn:aws:s3:::b/reports/AROA1:i-1"


def statement(**parts: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*", **parts}


def decide(*statements: dict[str, Any], **context: Any) -> bool:
    keys = {name.replace("__", ":"): value for name, value in context.items()}
    return allows([{"Statement": list(statements)}], Need("s3:PutObject", ARN, keys))


def test_nothing_is_allowed_by_nothing() -> None:
    assert not decide()


def test_a_deny_wins() -> None:
    assert decide(statement())
    assert not decide(statement(), statement(Effect="Deny", Action="s3:*"))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"Action": "S3:putobject"}, True),
        ({"Action": ["s3:Get*", "s3:Put*"]}, True),
        ({"Action": "s3:Put?bject"}, True),
        ({"Action": "s3:Get*"}, False),
        ({"Action": (), "NotAction": "s3:Get*"}, True),
        ({"Resource": "arn:aws:s3:::b/*"}, True),
        ({"Resource": "arn:aws:s3:::B/*"}, False),
        ({"Resource": "arn:aws:s3:::b"}, False),
        ({"NotResource": "arn:aws:s3:::b/*"}, False),
        ({"NotResource": "arn:aws:s3:::c/*"}, True),
    ],
)
def test_actions_and_resources_match_as_written(parts: dict[str, Any], expected: bool) -> None:
    assert decide(statement(**parts)) is expected


def test_variables_in_resources_are_the_callers() -> None:
    own = statement(Resource="arn:aws:s3:::b/reports/${aws:userid}")
    assert decide(own, aws__userid="AROA1:i-1")
    assert not decide(own, aws__userid="AROA1:i-2")
    assert not decide(own)


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        ({"StringEquals": {"k": "a"}}, {"k": "a"}, True),
        ({"StringEquals": {"k": ["b", "a"]}}, {"k": "a"}, True),
        ({"StringEquals": {"K": "a"}}, {"k": "a"}, True),
        ({"StringEquals": {"k": "a"}}, {}, False),
        ({"StringEqualsIfExists": {"k": "a"}}, {}, True),
        ({"StringNotEquals": {"k": "a"}}, {}, True),
        ({"StringNotEquals": {"k": ["a", "b"]}}, {"k": "a"}, False),
        ({"StringLike": {"k": "a*"}}, {"k": "abc"}, True),
        ({"StringEquals": {"k": "a*"}}, {"k": "abc"}, False),
        ({"Null": {"k": "true"}}, {}, True),
        ({"Null": {"k": True}}, {"k": "a"}, False),
        ({"Bool": {"k": "true"}}, {"k": "True"}, True),
        ({"NumericLessThanEquals": {"k": "5"}}, {"k": "5"}, True),
        ({"DateLessThan": {"k": "2026-01-01T00:00:00Z"}}, {"k": "2025-12-31T23:59:59Z"}, True),
        ({"IpAddress": {"k": "10.0.0.0/8"}}, {"k": "10.1.2.3"}, True),
        ({"ArnLike": {"k": "arn:aws:iam::*:role/r"}}, {"k": "arn:aws:iam::1:role/r"}, True),
        ({"ForAllValues:StringEquals": {"k": ["a", "b"]}}, {"k": ("a", "b")}, True),
        ({"ForAllValues:StringEquals": {"k": ["a"]}}, {"k": ("a", "b")}, False),
        ({"ForAllValues:StringEquals": {"k": ["a"]}}, {}, True),
        ({"ForAnyValue:StringEquals": {"k": ["a"]}}, {"k": ("a", "b")}, True),
        ({"ForAnyValue:StringEquals": {"k": ["a"]}}, {}, False),
        ({"StringEquals": {"k": "a", "l": "b"}}, {"k": "a"}, False),
    ],
)
def test_conditions(condition: dict[str, Any], context: dict[str, Any], expected: bool) -> None:
    assert decide(statement(Condition=condition), **context) is expected


def test_an_operator_that_is_not_known_is_an_error_not_a_verdict() -> None:
    with pytest.raises(ValueError, match="StringSimilar"):
        decide(statement(Condition={"StringSimilar": {"k": "a"}}), k="a")
