"""Legacy annexes' tarballs in a bucket of their own: `config-ANNEX-ID.tar.gz`.

The name is the image's choice. The lease, for whoever finds one that no record knows, is in the
object's metadata.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from .aws_errors import code_of, translated
from .configuration_document import body_of
from .errors import Forbidden
from .ids import AnnexId
from .iso import iso
from .legacy import tarball
from .machine.configuration import Configuration as MachineConfiguration
from .model import Leftover, LeftoverKind
from .tags import lease_of

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient

    from .configuration import Configuration
    from .settings import Deployment

_KEY = re.compile(r"config-(annex-[0-9a-f]+)\.tar\.gz")
_LEASE = "lease-expires-at"
_GONE = frozenset({"NoSuchKey", "404"})


class S3LegacyStore:
    """`ports.LegacyStore`; it is on while the parameter that `setup --legacy` makes is there."""

    def __init__(self, s3: S3Client, ssm: SSMClient, deployment: Deployment) -> None:
        self._s3 = s3
        self._ssm = ssm
        self._deployment = deployment

    def is_on(self) -> bool:
        with translated("see whether legacy images are on"):
            try:
                self._ssm.get_parameter(Name=self._deployment.legacy_parameter)
            except ClientError as error:
                if code_of(error) != "ParameterNotFound":
                    raise
                return False
        return True

    def write(self, configuration: Configuration) -> None:
        files = tarball(MachineConfiguration.parse(body_of(configuration)))
        with translated("write a legacy annex's configuration"):
            self._s3.put_object(
                Bucket=self._deployment.legacy_bucket,
                ExpectedBucketOwner=self._deployment.account,
                Key=_key(configuration.annex_id),
                Body=files,
                Metadata={_LEASE: iso(configuration.lease_expires_at)},
            )

    def delete(self, annex_id: AnnexId) -> None:
        with translated("delete a legacy annex's configuration"):
            self._s3.delete_object(
                Bucket=self._deployment.legacy_bucket,
                ExpectedBucketOwner=self._deployment.account,
                Key=_key(annex_id),
            )

    def listed(self) -> list[Leftover]:
        try:
            return self._listed()
        except Forbidden:
            # Where nothing was set up, the bucket of that name may be somebody else's.
            if self.is_on():
                raise
            return []

    def lease(self, annex_id: AnnexId) -> datetime | None:
        with translated("look at a legacy annex's configuration"):
            try:
                found = self._s3.head_object(
                    Bucket=self._deployment.legacy_bucket,
                    ExpectedBucketOwner=self._deployment.account,
                    Key=_key(annex_id),
                )
            except ClientError as error:
                if code_of(error) not in _GONE:
                    raise
                return None
        return lease_of(found["Metadata"].get(_LEASE))

    def _listed(self) -> list[Leftover]:
        with translated("list the legacy annexes' configurations"):
            try:
                pages = self._s3.get_paginator("list_objects_v2").paginate(
                    Bucket=self._deployment.legacy_bucket,
                    Prefix="config-",
                    ExpectedBucketOwner=self._deployment.account,
                )
                objects = [one for page in pages for one in page.get("Contents", [])]
            except ClientError as error:
                if code_of(error) != "NoSuchBucket":
                    raise
                return []  # legacy images were never allowed here
        return [
            Leftover(LeftoverKind.TARBALL, one["Key"], one["LastModified"], AnnexId(named[1]))
            for one in objects
            if (named := _KEY.fullmatch(one["Key"]))
        ]


def _key(annex_id: AnnexId) -> str:
    return f"config-{annex_id}.tar.gz"
