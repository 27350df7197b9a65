"""Legacy annexes' tarballs in a bucket of their own: `config-ANNEX-ID.tar.gz`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from .aws_errors import code_of, translated
from .configuration_document import body_of
from .legacy import tarball
from .machine.configuration import Configuration as MachineConfiguration

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient

    from .configuration import Configuration
    from .ids import AnnexId
    from .settings import Deployment


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
            )

    def delete(self, annex_id: AnnexId) -> None:
        with translated("delete a legacy annex's configuration"):
            self._s3.delete_object(
                Bucket=self._deployment.legacy_bucket,
                ExpectedBucketOwner=self._deployment.account,
                Key=_key(annex_id),
            )


def _key(annex_id: AnnexId) -> str:
    return f"config-{annex_id}.tar.gz"
