"""The deployment's names, from the function's own ARN, and its settings, from one SSM parameter."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from .errors import NotSetUp


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where this deployment lives and what its things are called (docs/architecture.md)."""

    name: str
    partition: str
    account: str
    region: str

    @classmethod
    def of(cls, name: str, function_arn: str) -> Deployment:
        """From the invoked function's ARN: no call, no configuration, nothing to be missing.

        Raises ValueError if it is not the ARN of a function.
        """
        _, partition, service, region, account, kind, *_ = function_arn.split(":")
        if (service, kind) != ("lambda", "function"):
            raise ValueError(f"not the ARN of a function: {function_arn}")
        return cls(name, partition, account, region)

    @property
    def bucket(self) -> str:
        """The configuration bucket."""
        return f"{self.name}-{self.account}-{self.region}"

    @property
    def table(self) -> str:
        """The ledger."""
        return f"{self.name}-ledger"

    @property
    def settings_parameter(self) -> str:
        """The SSM parameter with the settings."""
        return f"/{self.name}/settings"

    @property
    def instance_profile(self) -> str:
        """The machines' role and profile."""
        return f"{self.name}-instance"

    @property
    def spot_fleet_role(self) -> str:
        """The role that Spot Fleets act with."""
        return f"{self.name}-spot-fleet"

    @property
    def legacy_parameter(self) -> str:
        """The SSM parameter whose being there says that legacy images may be used."""
        return f"/{self.name}/legacy"

    @property
    def legacy_bucket(self) -> str:
        """Where legacy images find their configuration."""
        return f"{self.name}-legacy-{self.account}-{self.region}"

    @property
    def legacy_profile_arn(self) -> str:
        """The instance profile of legacy machines."""
        return f"arn:{self.partition}:iam::{self.account}:instance-profile/{self.name}-legacy"

    def function(self, part: str = "") -> str:
        """A function's name: `api` has no part of its own."""
        return f"{self.name}-dev-{part}" if part else f"{self.name}-dev"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the administrator decided. Unknown keys are ignored: a newer client may write more."""

    subnets: tuple[str, ...]
    security_group: str
    instance_profile_arn: str
    instance_role_id: str
    default_instance_type: str = "m7i.large"
    image_parameter: str = "/aws/service/debian/release/13/latest/{arch}"
    # Jobs' scratch lies there; an image that brings more keeps it.
    root_volume_gib: int = 20
    max_lease_seconds: int = 604_800
    max_instances_per_annex: int = 100
    max_instances_per_owner: int = 200
    dead_man_margin_seconds: int = 300
    boot_limit_seconds: int = 1800
    vacate_seconds: int = 30
    unjoined_limit_seconds: int = 900
    # What Spot Fleets act with; none in a deployment that was set up before there were any.
    spot_fleet_role_arn: str = ""
    # The EC2 key pairs that machines may be given; None are all.
    key_names: tuple[str, ...] | None = None


def read_settings(parameter: str, text: str) -> Settings:
    """The settings in a parameter's text. Raises NotSetUp."""
    try:
        return msgspec.json.decode(text, type=Settings)
    except msgspec.DecodeError as error:
        raise NotSetUp(
            f"The settings in {parameter} cannot be read ({error}): the administrator runs "
            "annex-client setup again."
        ) from error
