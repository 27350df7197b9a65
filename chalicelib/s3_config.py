"""Configuration objects in S3: `config/SECRET.json`, the only place where tokens lie.

Encryption and public-access block are the bucket's own; every call names the bucket's owner, so
that a bucket of another account with the expected name gets nothing (confused deputy).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from . import configuration_document
from .aws_errors import code_of, translated
from .errors import Conflict

if TYPE_CHECKING:
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
        with translated("read an annex's configuration"):
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
        with translated("write an annex's configuration"):
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
        with translated("delete an annex's configuration"):
            self._client.delete_object(
                Bucket=self._bucket, Key=key, ExpectedBucketOwner=self._account
            )
