"""Signing, the metadata service and the bucket, against botocore and moto's server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

import calendar
import logging
import time

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st
from machine_builders import metadata_service, role_credentials
from moto.server import ThreadedMotoServer

from chalicelib.machine import signing
from chalicelib.machine.metadata import Credentials, Metadata, MetadataError
from chalicelib.machine.s3 import S3, S3Error

BUCKET = "htcondor-annex-123456789012-us-east-1"
ROLE = Credentials("ASIAEXAMPLE", "SECRET/KEY", "SESSION/TOKEN==")


@given(
    st.sampled_from(["GET", "PUT"]),
    st.text("abcXYZ019:._~/-= ü+", min_size=1, max_size=40),
    st.binary(max_size=100),
)
def test_signatures_are_botocores(method: str, key: str, body: bytes) -> None:
    path = signing.path_of(BUCKET, key)
    host = "s3.eu-central-1.amazonaws.com"
    request = AWSRequest(method, f"https://{host}{path}", {"If-None-Match": '"abc"'}, body)
    S3SigV4Auth(
        BotoCredentials(ROLE.access_key, ROLE.secret_key, ROLE.session_token), "s3", "eu-central-1"
    ).add_auth(request)
    theirs = request.headers
    now = calendar.timegm(time.strptime(theirs["X-Amz-Date"], "%Y%m%dT%H%M%SZ"))
    ours = signing.sign(
        method,
        host,
        path,
        body,
        {"if-none-match": '"abc"', "x-amz-content-sha256": theirs["X-Amz-Content-SHA256"]},
        region="eu-central-1",
        credentials=ROLE,
        now=now,
    )
    assert ours["authorization"] == theirs["Authorization"]


@pytest.fixture(scope="module")
def account() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def theirs(account: str) -> Iterator[S3Client]:
    client = boto3.client(
        "s3",
        endpoint_url=account,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="y",
    )
    client.create_bucket(Bucket=BUCKET)
    yield client
    for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=entry["Key"])
    client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def ours(account: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", account)
    with metadata_service(role_credentials()) as (_, endpoint):
        yield S3(BUCKET, "us-east-1", Metadata(endpoint))


def test_an_object_is_read_once_and_again_only_when_it_has_changed(
    theirs: S3Client, ours: S3
) -> None:
    theirs.put_object(Bucket=BUCKET, Key="config/x.json", Body=b"one")
    first = ours.get("config/x.json")
    assert first.body == b"one"
    assert ours.get("config/x.json", first.etag) is None
    theirs.put_object(Bucket=BUCKET, Key="config/x.json", Body=b"two")
    assert ours.get("config/x.json", first.etag).body == b"two"


def test_the_report_is_written_under_a_name_with_a_colon(theirs: S3Client, ours: S3) -> None:
    ours.put("reports/AROATEST:i-0123", b'{"phase": "joined"}')
    found = theirs.get_object(Bucket=BUCKET, Key="reports/AROATEST:i-0123")
    assert found["Body"].read() == b'{"phase": "joined"}'
    assert found["ContentType"] == "application/json"


def test_a_refusal_names_the_folder_but_not_the_key(theirs: S3Client, ours: S3) -> None:
    with pytest.raises(S3Error) as refused:
        ours.get("config/0123456789abcdef.json")
    assert "config/ (404 NoSuchKey)" in str(refused.value)
    assert "0123456789abcdef" not in str(refused.value)


def test_an_account_out_of_reach_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with (
        metadata_service(role_credentials()) as (_, endpoint),
        pytest.raises(S3Error, match=r"127\.0\.0\.1:1 cannot be reached \(Connection refused"),
    ):
        S3(BUCKET, "us-east-1", Metadata(endpoint)).get("config/x")


def test_without_endpoint_settings_the_bucket_is_in_the_hosts_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    s3 = S3(BUCKET, "cn-north-1", Metadata("http://127.0.0.1:1"), domain="amazonaws.com.cn")
    assert s3._url.geturl() == f"https://{BUCKET}.s3.cn-north-1.amazonaws.com.cn"
    assert s3._prefix == ()


def test_one_token_serves_many_questions_and_a_lost_one_is_replaced() -> None:
    with metadata_service({"meta-data/instance-id": "i-0123"}) as (service, endpoint):
        metadata = Metadata(endpoint)
        assert metadata.need("meta-data/instance-id") == "i-0123"
        assert metadata.get("meta-data/nothing") is None
        assert service.requests.count("PUT /latest/api/token") == 1
        service.tokens.clear()
        assert metadata.need("meta-data/instance-id") == "i-0123"
        assert service.requests.count("PUT /latest/api/token") == 2


def test_what_the_metadata_service_lacks_is_named() -> None:
    with (
        metadata_service({}) as (_, endpoint),
        pytest.raises(MetadataError, match="has no meta-data/instance-id"),
    ):
        Metadata(endpoint).need("meta-data/instance-id")
    with pytest.raises(MetadataError, match="does not answer"):
        Metadata("http://127.0.0.1:1").need("meta-data/instance-id")


def test_credentials_are_kept_until_shortly_before_they_run_out() -> None:
    role = role_credentials(expires="2027-01-15T09:00:00Z")
    with metadata_service(role) as (service, endpoint):
        now = [1_800_000_000.0]
        metadata = Metadata(endpoint, lambda: now[0])
        first = metadata.credentials()
        asked = len(service.requests)
        assert metadata.credentials() is first
        assert len(service.requests) == asked
        now[0] += 3301
        metadata.credentials()
        assert len(service.requests) > asked
        assert "wJalr" not in repr(first)
        assert "SESSION" not in repr(first)


def test_a_role_without_credentials_is_said_to_be_so() -> None:
    role = "meta-data/iam/security-credentials/"
    tree = {role: "role", role + "role": '{"Code": "AssumeRoleUnauthorizedAccess"}'}
    with (
        metadata_service(tree) as (_, endpoint),
        pytest.raises(MetadataError, match="AssumeRoleUnauthorizedAccess"),
    ):
        Metadata(endpoint).credentials()
