"""An administrator's way into the AWS account: boto3's clients, made when first used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annex_client import credentials

if TYPE_CHECKING:
    from boto3 import Session as Boto3Session
    from botocore.credentials import ReadOnlyCredentials
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient

    from annex_client.session import Session


@dataclass(frozen=True)
class Account:
    """The clients of one region; the account's number comes from STS."""

    boto: Boto3Session
    keys: ReadOnlyCredentials
    region: str

    @classmethod
    def open(cls, session: Session) -> Account:
        """With the session's credentials.

        Raises:
            Refused: there are none.
        """
        import boto3  # noqa: PLC0415 - slow to import

        core, keys = credentials.session(
            session.context, session.settings, session.access.key_files
        )
        region = session.settings.region
        return cls(boto3.Session(botocore_session=core, region_name=region), keys, region)

    def number(self) -> str:
        """The account's number."""
        return self.boto.client("sts").get_caller_identity()["Account"]

    def apigateway(self) -> Any:  # noqa: ANN401 - the tools have no stubs of it
        """REST APIs."""
        return self.boto.client("apigateway")

    def cloudformation(self) -> CloudFormationClient:
        """Stacks."""
        return self.boto.client("cloudformation")

    def dynamodb(self) -> DynamoDBClient:
        """The ledger's table."""
        return self.boto.client("dynamodb")

    def ec2(self) -> EC2Client:
        """Networks and machines."""
        return self.boto.client("ec2")

    def events(self) -> EventBridgeClient:
        """The schedule."""
        return self.boto.client("events")

    def functions(self) -> LambdaClient:
        """Lambda functions."""
        return self.boto.client("lambda")

    def iam(self) -> IAMClient:
        """The users' policy."""
        return self.boto.client("iam")

    def logs(self) -> Any:  # noqa: ANN401 - the same
        """Log groups."""
        return self.boto.client("logs")

    def s3(self) -> S3Client:
        """Buckets."""
        return self.boto.client("s3")

    def ssm(self) -> SSMClient:
        """Parameters."""
        return self.boto.client("ssm")
