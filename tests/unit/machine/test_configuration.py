"""Reading the configuration object and the parameters."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine_builders import BOOT, HOUR, PARAMETERS, SECRETS, configuration, document

from chalicelib.machine.configuration import BadConfiguration, Configuration
from chalicelib.machine.parameters import Parameters, format_time, parse_time


def test_the_documented_object_is_read() -> None:
    assert Configuration.parse(json.dumps(document()).encode()) == configuration()


def test_fields_that_a_newer_control_plane_adds_are_ignored() -> None:
    body = json.dumps(document(program="UEs=", later={"x": 1})).encode()
    assert Configuration.parse(body) == configuration()


def test_admin_key_access_points_and_files_may_be_missing() -> None:
    given_ = document()
    del given_["admin"], given_["config_files"], given_["pool"]["access_points"]
    read = Configuration.parse(json.dumps(given_).encode())
    assert (read.admin, read.config_files, read.access_points) == (None, {}, ())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "cannot be read"),
        (b"[]", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"{}", "lacks 'format'"),
        (json.dumps(document(format=2)).encode(), "format 2"),
        (json.dumps(document(lease_expires_at="soon")).encode(), "cannot be read"),
        (json.dumps(document(pool=None)).encode(), "cannot be read"),
    ],
)
def test_what_is_no_configuration_is_refused_in_a_sentence(body: bytes, words: str) -> None:
    with pytest.raises(BadConfiguration, match=words):
        Configuration.parse(body)


@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_it_fail_otherwise(body: bytes) -> None:
    with pytest.raises(BadConfiguration):
        Configuration.parse(body)


def test_secrets_show_in_no_text() -> None:
    for text in (repr(configuration()), repr(PARAMETERS)):
        assert not any(secret in text for secret in (*SECRETS.values(), PARAMETERS.key))
    broken = json.dumps(document(lease_expires_at="x")).encode()
    with pytest.raises(BadConfiguration) as refused:
        Configuration.parse(broken)
    assert SECRETS["token"] not in str(refused.value)


def test_parameters_are_read_as_user_data_writes_them() -> None:
    text = json.dumps(
        {
            "annex_name": "MyAnnex",
            "annex_id": "annex-1",
            "bucket": PARAMETERS.bucket,
            "key": PARAMETERS.key,
            "region": "us-east-1",
            "role_id": "AROATEST",
            "lease_expires_at": "2027-01-15T09:00:00Z",
            "dead_man_margin_seconds": 300,
            "boot_limit_seconds": 1800,
            "a_later_one": 1,
        }
    )
    assert Parameters.parse(text) == PARAMETERS


@given(st.integers(0, 4_000_000_000))
def test_times_survive_being_written(when: int) -> None:
    assert parse_time(format_time(when)) == when


def test_the_lease_of_the_examples_is_an_hour() -> None:
    assert parse_time("2027-01-15T09:00:00Z") == BOOT + HOUR
