"""Fills the ports: the only place that makes AWS clients, and only when they are first used."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from .aws_errors import code_of, translated
from .aws_inventory import AwsInventory
from .dynamodb_ledger import DynamoDBLedger
from .ec2_catalog import EC2Catalog
from .ec2_compute import EC2Compute
from .ec2_leftovers import EC2Leftovers
from .errors import BadRequest, NotSetUp
from .journal import PowertoolsJournal
from .s3_config import S3ConfigStore
from .s3_legacy import S3LegacyStore
from .s3_reports import S3Reports
from .services import Services
from .settings import Deployment, Settings, read_settings
from .tcp_reach import TcpReach

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

# API Gateway waits 29 s. Ten seconds of launching (asking.INLINE_BUDGET) and the last call with
# its one repeat must fit.
CONFIG = Config(
    connect_timeout=2,
    read_timeout=7,
    retries={"mode": "standard", "total_max_attempts": 2},
    user_agent_extra="htcondor-annex",
)
_SETTINGS_KEPT_SECONDS = 30.0


class SystemClock:
    """`ports.Clock`; whole seconds, as tags and the wire have them."""

    def now(self) -> datetime:
        """The time, rounded down."""
        return datetime.now(UTC).replace(microsecond=0)


class Later:
    """A client made when it is first used: making one costs a tenth of a second of a cold start."""

    def __init__(self, session: boto3.Session, service: str, lock: threading.Lock) -> None:
        self._session = session
        self._service = service
        self._lock = lock  # making clients from one session is not thread-safe, using them is
        self._client: Any = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the client has
        with self._lock:
            if self._client is None:
                self._client = self._session.client(self._service, config=CONFIG)  # type: ignore[call-overload]
        return getattr(self._client, name)


class SsmSettings:
    """The settings, read when asked for and kept for a short while."""

    def __init__(self, client: SSMClient, parameter: str) -> None:
        self._client = client
        self._parameter = parameter
        self._kept: tuple[float, Settings] | None = None

    def __call__(self) -> Settings:
        """Read them. Raises NotSetUp, AwsUnavailable."""
        if self._kept is not None and time.monotonic() - self._kept[0] < _SETTINGS_KEPT_SECONDS:
            return self._kept[1]
        with translated("read the settings"):
            try:
                found = self._client.get_parameter(Name=self._parameter)
            except ClientError as error:
                if code_of(error) != "ParameterNotFound":
                    raise
                raise NotSetUp(
                    f"There are no settings at {self._parameter}: the administrator runs "
                    "annex-client setup."
                ) from error
        settings = read_settings(self._parameter, found["Parameter"]["Value"])
        self._kept = (time.monotonic(), settings)
        return settings


def compose(
    *,
    annex_name: str,
    annex_id: str,
    bucket: str,
    key: str,
    region: str,
    role_id: str,
    lease_expires_at: datetime,
    dead_man_margin_seconds: int,
    boot_limit_seconds: int,
    user_part: bytes | None,
) -> bytes:
    """`ports.Composer`, once bucket and region are known. Raises BadRequest."""
    # Late, since only a launch needs it: it packs the machine program.
    from . import userdata  # noqa: PLC0415
    from .user_part import NotUserData  # noqa: PLC0415

    parameters = userdata.MachineParameters(
        annex_name=annex_name,
        annex_id=annex_id,
        bucket=bucket,
        key=key,
        region=region,
        role_id=role_id,
        lease_expires_at=lease_expires_at,
        dead_man_margin_seconds=dead_man_margin_seconds,
        boot_limit_seconds=boot_limit_seconds,
    )
    try:
        return userdata.compose(parameters, user_part)
    except (userdata.UserDataTooLarge, NotUserData) as error:
        raise BadRequest(str(error)) from error


@lru_cache(maxsize=1)
def machine_program() -> str:
    """The program that machines fetch, packed once per cold start."""
    from .program import whole  # noqa: PLC0415  as above

    return whole()


@lru_cache(maxsize=1)
def services(function_arn: str) -> Services:
    """Everything a function of this deployment works with; made once per cold start."""
    deployment = Deployment.of(os.environ["ANNEX_DEPLOYMENT"], function_arn)
    session, lock = boto3.Session(region_name=deployment.region), threading.Lock()

    def client(service: str) -> Any:  # noqa: ANN401  one of boto3's clients
        return Later(session, service, lock)

    ec2, s3 = client("ec2"), client("s3")
    settings = SsmSettings(client("ssm"), deployment.settings_parameter)
    return Services(
        deployment=deployment,
        settings=settings,
        ledger=DynamoDBLedger(client("dynamodb"), deployment.table),
        compute=EC2Compute(ec2, deployment.name),
        catalog=EC2Catalog(ec2, client("ssm")),
        leftovers=EC2Leftovers(ec2, deployment.name),
        configs=S3ConfigStore(s3, deployment.bucket, deployment.account),
        legacy=S3LegacyStore(s3, client("ssm"), deployment),
        reports=S3Reports(
            s3, deployment.bucket, deployment.account, lambda: settings().instance_role_id
        ),
        reach=TcpReach(),
        program=machine_program,
        compose=partial(compose, bucket=deployment.bucket, region=deployment.region),
        clock=SystemClock(),
        journal=journal(),
        inventory=AwsInventory(client("lambda"), client("iam"), ec2),
    )


@lru_cache(maxsize=1)
def journal() -> PowertoolsJournal:
    """The logs and metrics of this function."""
    # Not by the app's own name: Chalice's logger has it.
    return PowertoolsJournal("control-plane")
