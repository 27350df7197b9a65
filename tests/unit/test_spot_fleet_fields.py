"""Nothing that AWS takes is dropped in silence: every field of its own model has a fate."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.errors import BadRequest
from chalicelib.fleet_json import Fate, Kind, Many, Table, passed_on, read
from chalicelib.spot_fleet_fields import OVERRIDE, REQUEST, TEMPLATE
from tests.fakes.spot_fleets import IMAGE, VALID, spec
from tests.unit.test_spot_fleet_config import TERMS, catalog, spot_fleet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.model import Shape

EC2 = botocore.session.get_session().get_service_model("ec2")
REQUESTED = EC2.shape_for("SpotFleetRequestConfigData")
ANSWERED = EC2.shape_for("ResponseLaunchTemplateData")
TAKEN = EC2.shape_for("RequestLaunchTemplateData")

KINDS = {
    "string": Kind.TEXT,
    "integer": Kind.WHOLE,
    "double": Kind.NUMBER,
    "float": Kind.NUMBER,
    "boolean": Kind.TRUTH,
    "timestamp": Kind.TIME,
}
# AWS's guide has it, its API does not.
BEYOND_THE_MODEL = ("LaunchTemplateConfigs.Overrides.Placement",)


def model_leaves(shape: Shape, path: str = "") -> Iterator[tuple[str, Kind]]:
    """Every field that is no structure, as AWS has it."""
    match shape.type_name:
        case "structure":
            for name, member in shape.members.items():
                yield from model_leaves(member, f"{path}.{name}" if path else name)
        case "list":
            yield from model_leaves(shape.member, path)
        case kind:
            yield path, KINDS[kind]


def table_leaves(shape: object, path: str = "") -> Iterator[tuple[str, Kind]]:
    """Every field that is no structure, as the table has it."""
    match shape:
        case Many(each):
            yield from table_leaves(each, path)
        case dict():
            for name, field in shape.items():
                yield from table_leaves(field.shape, f"{path}.{name}" if path else name)
        case kind:
            yield path, Kind.TEXT if kind is Kind.MARK else kind


@pytest.mark.parametrize(("table", "shape"), [(REQUEST, REQUESTED), (TEMPLATE, ANSWERED)])
def test_tables_have_every_field_of_aws_and_its_kind(table: Table, shape: Shape) -> None:
    known = {
        path: kind for path, kind in table_leaves(table) if not path.startswith(BEYOND_THE_MODEL)
    }
    assert known == dict(model_leaves(shape))


def test_what_is_passed_on_of_a_template_may_be_put_into_one() -> None:
    """What EC2 answers is not in everything what it takes."""

    def passed_leaves(shape: object, path: str = "") -> Iterator[str]:
        match shape:
            case Many(each):
                yield from passed_leaves(each, path)
            case dict():
                for name, field in shape.items():
                    if field.fate is Fate.PASSED:
                        yield from passed_leaves(field.shape, f"{path}.{name}" if path else name)
            case _:
                yield path

    assert set(passed_leaves(TEMPLATE)) <= {path for path, _ in model_leaves(TAKEN)}


# One field at a time, through the whole of the translation

SAMPLES: dict[Kind, Any] = {
    Kind.TEXT: "sample",
    Kind.MARK: "sample",
    Kind.WHOLE: 7,
    Kind.NUMBER: 7.0,
    Kind.TRUTH: True,
    Kind.TIME: "2026-11-24T11:00:00Z",
}
# What must be there, or be no more than so much, for the rest to be looked at.
GOOD = {
    "ImageId": IMAGE,
    "InstanceType": "c7i.large",
    "SubnetId": "subnet-0000000a",
    "KeyName": "laptop",
    "UserData": "IyEvYmluL3No",
    "LaunchTemplateName": "full",
    "OnDemandTargetCapacity": 4,
    "TagSpecifications.ResourceType": "spot-fleet-request",
    "ResourceType": "volume",
}
# Of these nothing need be said: EC2's own words about a template, and a time that has passed.
NOTHING_TO_SAY = ("ValidFrom", "MetadataOptions.State", "Operator.HiddenByDefault")


def one_field(table: object, path: str, whole: str) -> Any:
    """The JSON that has this one field."""
    match table:
        case Many(each):
            return [one_field(each, path, whole)]
        case dict():
            name, _, rest = path.partition(".")
            value = one_field(table[name].shape, rest, whole)
            tagged = {"Tags": [{"Key": "sample"}]} if name == "ResourceType" else {}
            keyed = {"Key": "sample"} if name == "Value" else {}
            return {name: value, **tagged, **keyed}
        case kind:
            return GOOD.get(whole, GOOD.get(whole.rpartition(".")[2], SAMPLES[kind]))


def merged(one: Any, other: Any) -> Any:
    """The first, with what only the second has."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {**other, **{k: merged(v, other[k]) if k in other else v for k, v in one.items()}}
    if isinstance(one, list):
        return [merged(a, b) for a, b in zip(one, other, strict=True)]
    return one


def outcome(config: dict[str, Any], template: dict[str, Any]) -> tuple[str, set[str], str]:
    """What EC2 gets, what the user is told, and the refusal."""
    account = catalog()
    account.templates["sample", "1"] = template
    try:
        found = spot_fleet(json.dumps(config), TERMS, account)
    except BadRequest as refusal:
        return "", set(), refusal.message
    return json.dumps([found.fleet.config, *found.fleet.templates]), set(found.notes), ""


def assert_fate(
    path: str, before: tuple[str, set[str], str], after: tuple[str, set[str], str]
) -> None:
    """It made a difference, was told of, or was refused by its name or that of what it is in."""
    if after[2]:
        named = re.sub(r"\[[0-9]+\]|^Version 1 of sample\.", "", after[2].partition(": ")[0])
        assert f"{path}.".startswith(f"{named}."), after[2]
    else:
        passed, told = after[0] != before[0], after[1] - before[1]
        assert passed or told or path in NOTHING_TO_SAY, f"{path} was dropped in silence"


def _without(fields: dict[str, Any], path: str) -> dict[str, Any]:
    """The field itself comes from the sample, and requirements are instead of a type."""
    one = path.rpartition("Specifications.")[2].partition(".")[0]
    gone = {one, "InstanceType"} if one == "InstanceRequirements" else {one}
    return {name: value for name, value in fields.items() if name not in gone}


@pytest.mark.parametrize("path", [path for path, _ in table_leaves(REQUEST)])
def test_field_of_a_request_is_passed_on_told_or_refused(path: str) -> None:
    launch: dict[str, Any] = {"LaunchSpecifications": [_without(spec(), path)]}
    if path.startswith("LaunchTemplateConfigs"):
        named = {"LaunchTemplateName": "mine", "Version": "1"}
        launch = {
            "LaunchTemplateConfigs": [
                {"LaunchTemplateSpecification": named, "Overrides": [{"SpotPrice": "1"}]}
            ]
        }
    field = one_field(REQUEST, path, path)
    assert_fate(path, outcome(launch, {}), outcome(merged(field, launch), {}))


@pytest.mark.parametrize("path", [path for path, _ in table_leaves(TEMPLATE)])
def test_field_of_a_template_is_passed_on_told_or_refused(path: str) -> None:
    named = {"LaunchTemplateName": "sample", "Version": "1"}
    config = {"LaunchTemplateConfigs": [{"LaunchTemplateSpecification": named}]}
    plain = _without({"ImageId": IMAGE, "InstanceType": "m7i.large"}, path)
    field = one_field(TEMPLATE, path, path)
    assert_fate(path, outcome(config, plain), outcome(config, {**plain, **field}))


# Whatever the values


PLAIN: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: st.sampled_from(["a", "", "terminate", "default"]),
    Kind.MARK: st.sampled_from(["a", ""]),
    Kind.WHOLE: st.integers(0, 3),
    Kind.NUMBER: st.sampled_from([0, 0.5, 2]),
    Kind.TRUTH: st.booleans(),
    Kind.TIME: st.just("2026-11-24T11:00:00Z"),
}


def values(shape: Any) -> st.SearchStrategy[Any]:
    """JSON of a shape, right in kind."""
    match shape:
        case Many(each):
            return st.lists(values(each), max_size=2)
        case dict():
            fields = {name: values(one.shape) for name, one in shape.items()}
            return st.fixed_dictionaries({}, optional=fields)
        case kind:
            return PLAIN[kind]


def to_be_passed(value: Any, table: object, path: str = "") -> Iterator[str]:
    """Where in what a user wrote there is something that EC2 must get."""
    match table:
        case Many(each):
            for number, one in enumerate(value):
                yield from to_be_passed(one, each, f"{path}[{number}]")
        case dict():
            for name, one in value.items():
                if table[name].fate is Fate.PASSED:
                    yield from to_be_passed(one, table[name].shape, f"{path}.{name}")
        case kind:
            if value != "" or kind is Kind.MARK:
                yield path


def places(value: Any, path: str = "") -> Iterator[str]:
    """Where in a JSON value there is something."""
    match value:
        case dict():
            for name, one in value.items():
                yield from places(one, f"{path}.{name}")
        case list():
            for number, one in enumerate(value):
                yield from places(one, f"{path}[{number}]")
        case _:
            yield path


@pytest.mark.parametrize("table", [REQUEST, TEMPLATE, OVERRIDE])
def test_reading_loses_nothing_that_is_to_be_passed_on(table: Table) -> None:
    @settings(max_examples=150)
    @given(values(table))
    def check(value: Any) -> None:
        try:
            kept = passed_on(read(value, table, "", []), table)
        except BadRequest:
            return
        assert set(to_be_passed(value, table)) <= set(places(kept))

    check()


# Whatever somebody may write

NOISE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from nodes(one, (*path, key))


def with_noise(value: Any, path: tuple[Any, ...], noise: Any) -> Any:
    if not path:
        return noise
    copy = value.copy()
    copy[path[0]] = with_noise(value[path[0]], path[1:], noise)
    return copy


@settings(max_examples=400)
@given(st.data())
def test_whatever_is_written_is_taken_or_refused_with_a_sentence(data: st.DataObject) -> None:
    config = VALID[data.draw(st.sampled_from(sorted(VALID)))][0]
    path = data.draw(st.sampled_from(list(nodes(config))))
    text = json.dumps(with_noise(config, path, data.draw(NOISE)))
    try:
        spot_fleet(text, TERMS, catalog())
    except BadRequest as refusal:
        assert refusal.message.endswith(".")  # noqa: PT017  either outcome is good
