"""Configuration objects in S3: `config/SECRET.json`, the only place where tokens lie.

Encryption and public-access block are the bucket's own; every call names the bucket's owner, so
that a bucket of another account with the expected name gets nothing (confused deputy).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from .aws_errors import code_of, translated
from .configuration import Configuration
from .errors import Conflict, Unreadable
from .iso import iso, moment
from .model import AnnexId, AnnexName

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

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
        try:
            return _from_document(msgspec.json.decode(body)), answer["ETag"]
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            # Never the text: it may hold the token.
            raise Unreadable(
                f"An annex's configuration cannot be read ({type(error).__name__})."
            ) from None

    def write(self, key: str, configuration: Configuration, etag: str | None = None) -> None:
        # Two writers (a renewal with a new token, the sweep with an old one) must not both win.
        condition: dict[str, Any] = {} if etag is None else {"IfMatch": etag}
        with translated("write an annex's configuration"):
            try:
                self._client.put_object(
                    Bucket=self._bucket,
                    ExpectedBucketOwner=self._account,
                    Key=key,
                    Body=msgspec.json.encode(_document(configuration)),
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


def _document(configuration: Configuration) -> dict[str, Any]:
    document = {
        "format": 1,
        "annex_name": configuration.annex_name,
        "annex_id": configuration.annex_id,
        "generation": configuration.generation,
        "lease_expires_at": iso(configuration.lease_expires_at),
        "idle_seconds": configuration.idle_seconds,
        "retire_seconds": configuration.retire_seconds,
        "vacate_seconds": configuration.vacate_seconds,
        "dead_man_margin_seconds": configuration.dead_man_margin_seconds,
        "unjoined_limit_seconds": configuration.unjoined_limit_seconds,
        "ending": configuration.ending,
        "on_rebalance": configuration.on_rebalance,
        "identity": configuration.identity,
        "owners": list(configuration.owners),
        "any_owner": configuration.any_owner,
        "pool": {
            "collector_host": configuration.collector_host,
            "trust_domain": configuration.trust_domain,
            "access_points": list(configuration.access_points),
        },
        "token": configuration.token,
        "config_files": configuration.config_files,
        "program": configuration.program,
    }
    if configuration.admin is not None:
        document["admin"] = configuration.admin
    return document


def _from_document(document: dict[str, Any]) -> Configuration:
    pool = document["pool"]
    return Configuration(
        annex_name=AnnexName(document["annex_name"]),
        annex_id=AnnexId(document["annex_id"]),
        generation=int(document["generation"]),
        lease_expires_at=moment(document["lease_expires_at"]),
        idle_seconds=int(document["idle_seconds"]),
        retire_seconds=int(document["retire_seconds"]),
        vacate_seconds=int(document["vacate_seconds"]),
        dead_man_margin_seconds=int(document["dead_man_margin_seconds"]),
        unjoined_limit_seconds=int(document["unjoined_limit_seconds"]),
        ending=bool(document["ending"]),
        on_rebalance=document.get("on_rebalance", "record"),  # objects of before do not say
        identity=document["identity"],
        owners=tuple(document["owners"]),
        any_owner=bool(document["any_owner"]),
        collector_host=pool["collector_host"],
        trust_domain=pool["trust_domain"],
        access_points=tuple(pool["access_points"]),
        config_files=document["config_files"],
        program=document["program"],
        token=document["token"],
        admin=document.get("admin"),
    )
