"""Machines' own reports: `reports/ROLE-ID:INSTANCE-ID`, which only that machine can write."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from .errors import AnnexError
from .model import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mypy_boto3_s3 import S3Client

    from .ids import InstanceId

# A machine is root on itself and may write anything: this much is read, this much is shown.
_BYTES_READ = 16 * 1024
_CHARACTERS_SHOWN = 300
_MOST_READ = 200
_AT_ONCE = 8
_SECONDS = 4.0


class _Document(msgspec.Struct):
    phase: str
    reason: str = ""


class S3Reports:
    """`ports.Reports` on S3. `role_id` is asked for late: it comes from the settings."""

    def __init__(
        self, client: S3Client, bucket: str, account: str, role_id: Callable[[], str]
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._account = account
        self._role_id = role_id

    def read(self, instance_ids: Sequence[InstanceId]) -> Mapping[InstanceId, Report]:
        if not instance_ids:
            return {}
        try:
            role_id = self._role_id()
        except AnnexError:
            return {}
        pool = ThreadPoolExecutor(_AT_ONCE)
        asked = {pool.submit(self._one, role_id, i): i for i in instance_ids[:_MOST_READ]}
        done, _ = wait(asked, timeout=_SECONDS)
        pool.shutdown(wait=False, cancel_futures=True)
        return {asked[one]: report for one in done if (report := one.result()) is not None}

    def _one(self, role_id: str, instance_id: InstanceId) -> Report | None:
        try:
            answer = self._client.get_object(
                Bucket=self._bucket,
                Key=f"reports/{role_id}:{instance_id}",
                ExpectedBucketOwner=self._account,
                Range=f"bytes=0-{_BYTES_READ - 1}",
            )
            document = msgspec.json.decode(answer["Body"].read(), type=_Document)
        except (ClientError, BotoCoreError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return Report(_plain(document.phase), _plain(document.reason))


def _plain(text: str) -> str:
    """One printable line: a report ends up on terminals."""
    return "".join(c if c.isprintable() else " " for c in text)[:_CHARACTERS_SHOWN].strip()
