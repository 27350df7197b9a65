"""Configuration objects in S3: `config/SECRET.json`, the only place where tokens lie.

Encryption and public-access block are the bucket's own; every call names the bucket's owner, so
that a bucket of another account with the expected name gets nothing (confused deputy).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from . import configuration_document
from .aws_errors import code_of, translated
from .errors import AnnexError, Conflict
from .model import Leftover, LeftoverKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

    from .configuration import Configuration

_GONE = frozenset({"NoSuchKey", "404"})
_LOST = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412"})


class S3ConfigStore:
    """`ports.ConfigStore` on S3."""

    def __init__(self, client: S3Client, bucket: str, account: str) -> None:
        self._client = client
        self._bucket = bucket
        self._account = account

    def read(self, key: str) -> tuple[Configuration, str] | None:
        with _unnamed("read an annex's configuration"):
            try:
                answer = self._client.get_object(
                    Bucket=self._bucket, Key=key, ExpectedBucketOwner=self._account
                )
                body = answer["Body"].read()
            except ClientError as error:
                if code_of(error) in _GONE:
                    return None
                raise
        return configuration_document.read(body), answer["ETag"]

    def write(self, key: str, configuration: Configuration, etag: str | None = None) -> None:
        # Two writers (a renewal with a new token, the sweep with an old one) must not both win.
        condition: dict[str, Any] = {} if etag is None else {"IfMatch": etag}
        with _unnamed("write an annex's configuration"):
            try:
                self._client.put_object(
                    Bucket=self._bucket,
                    ExpectedBucketOwner=self._account,
                    Key=key,
                    Body=configuration_document.body_of(configuration),
                    ContentType="application/json",
                    **condition,
                )
            except ClientError as error:
                if code_of(error) in _LOST or (etag is not None and code_of(error) in _GONE):
                    raise Conflict(
                        f"The configuration of annex {configuration.annex_name} changed meanwhile.",
                        annex=configuration.annex_name,
                    ) from error
                raise

    def delete(self, key: str) -> None:
        with _unnamed("delete an annex's configuration"):
            self._client.delete_object(
                Bucket=self._bucket, Key=key, ExpectedBucketOwner=self._account
            )

    def listed(self) -> list[Leftover]:
        with _unnamed("list the annexes' configurations"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix="config/", ExpectedBucketOwner=self._account
            )
            return [
                Leftover(LeftoverKind.CONFIGURATION, one["Key"], one["LastModified"])
                for page in pages
                for one in page.get("Contents", [])
            ]


@contextmanager
def _unnamed(what: str) -> Iterator[None]:
    """`translated`, without botocore's own words: a time-out names the URL, and so the key."""
    try:
        with translated(what):
            yield
    except AnnexError as error:
        raise error from None
