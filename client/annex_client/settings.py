"""The client's settings, from HTCondor's configuration: site, user and environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annex_client import user_config
from annex_client.errors import AwsTrouble, BadInput

if TYPE_CHECKING:
    from annex_client.context import Context

# The predecessor's defaults, which are the tutorial's: 0.83 and 0.25 hours.
LEASE_SECONDS = 3000
IDLE_SECONDS = 900
INSTANCE_TYPE = "m7i.large"
REGION = "us-east-1"  # HTCondor's own default of ANNEX_DEFAULT_AWS_REGION
# What HTCondor itself still has built in; it means that nobody chose one.
_BUILT_IN_TYPE = "m4.large"
_MIN_SECONDS, _MAX_SECONDS = 60, 366 * 86_400


@dataclass(frozen=True)
class Settings:
    """Defaults for what the command line leaves open; None is 'the deployment decides'."""

    region: str
    api_url: str | None
    lease_seconds: int
    idle_seconds: int
    instance_type: str
    image_id: str | None
    security_groups: str | None
    key_name: str | None
    access_key_file: str | None
    secret_key_file: str | None
    token_key: str  # the pool's signing key for annexes
    uid_domain: str
    spot_fleet_file: str | None = None  # connect_annex's, for -slots without a file

    def need_api_url(self) -> str:
        """The control plane's address.

        Raises:
            AwsTrouble: nobody has run `setup` for this user or site.
        """
        if not self.api_url:
            raise AwsTrouble(
                "No annex is set up here: ANNEX_DEFAULT_API_URL is not in HTCondor's configuration."
                "  Run 'annex-client setup' first, or ask whoever administers the AWS account for"
                " the address and put it into ~/.condor/user_config.",
                code="NotSetUp",
            )
        return self.api_url


def read(context: Context, *, region: str | None = None) -> Settings:
    """Read the settings; `region` is the command line's and must fit the control plane's address.

    Raises:
        BadInput: a macro that should be a number is none, or the regions differ.
    """
    look_up = _Macros(context)
    image = look_up("ANNEX_DEFAULT_ODI_IMAGE_ID")
    instance_type = look_up("ANNEX_DEFAULT_ODI_INSTANCE_TYPE")
    return Settings(
        region=region or look_up("ANNEX_DEFAULT_AWS_REGION") or REGION,
        api_url=look_up("ANNEX_DEFAULT_API_URL"),
        lease_seconds=look_up.seconds("ANNEX_DEFAULT_LEASE_DURATION", LEASE_SECONDS),
        idle_seconds=look_up.seconds("ANNEX_DEFAULT_UNCLAIMED_TIMEOUT", IDLE_SECONDS),
        instance_type=(
            INSTANCE_TYPE if instance_type in (None, _BUILT_IN_TYPE) else str(instance_type)
        ),
        image_id=image,
        security_groups=look_up("ANNEX_DEFAULT_ODI_SECURITY_GROUP_IDS"),
        key_name=look_up("ANNEX_DEFAULT_ODI_KEY_NAME"),
        access_key_file=look_up("ANNEX_DEFAULT_ACCESS_KEY_FILE"),
        secret_key_file=look_up("ANNEX_DEFAULT_SECRET_KEY_FILE"),
        token_key=look_up("ANNEX_DEFAULT_TOKEN_KEY") or "annex",
        uid_domain=look_up("UID_DOMAIN") or "localhost",
        spot_fleet_file=look_up("ANNEX_DEFAULT_SFR_CONFIG_FILE"),
    )


class _Macros:
    """HTCondor's view, and behind it the user's file itself: HTCondor reads none for root."""

    def __init__(self, context: Context) -> None:
        self._param = context.param
        self._file = user_config.read(context.condor_dir / "user_config")

    def __call__(self, name: str) -> str | None:
        value = self._param(name)
        from_file = self._file.get(name)
        if from_file and "$" not in from_file and value in (None, _BUILT_INS.get(name)):
            return from_file
        return value

    def seconds(self, name: str, default: int) -> int:
        text = self(name)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError:
            raise BadInput(
                f"{name} is {text!r} in HTCondor's configuration; it is seconds."
            ) from None
        if not _MIN_SECONDS <= value <= _MAX_SECONDS:
            raise BadInput(
                f"{name} is {value} in HTCondor's configuration; 60 s to a year is right."
            )
        return value


_BUILT_INS = {
    "ANNEX_DEFAULT_AWS_REGION": REGION,
    "ANNEX_DEFAULT_ODI_INSTANCE_TYPE": _BUILT_IN_TYPE,
    "ANNEX_DEFAULT_LEASE_DURATION": str(LEASE_SECONDS),
    "ANNEX_DEFAULT_UNCLAIMED_TIMEOUT": str(IDLE_SECONDS),
}
