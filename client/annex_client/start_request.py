"""The body of a start request: what was typed, the defaults, and what the pool says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from annex_client import inputs, user_files
from annex_client.errors import BadInput
from annex_client.wanted import Wanted

if TYPE_CHECKING:
    from annex_client.render import Output
    from annex_client.settings import Settings
    from annex_client.tokens import Token


@dataclass(frozen=True)
class StartOptions:
    """The command line, checked word by word (`inputs`); None is 'not given'."""

    name: str
    wanted: Wanted = field(default_factory=Wanted)
    duration_seconds: int | None = None
    idle_seconds: int | None = None
    retire_seconds: int | None = None
    on_rebalance: str | None = None
    ami_id: str | None = None
    legacy: bool = False
    owners: str | None = None
    any_owner: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    config_dir: str | None = None
    user_data_file: str | None = None
    user_data: bytes | None = None
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    key_name: str | None = None
    grow: bool = False  # --grow: a live annex is meant
    grow_if_live: bool = False  # connect_annex: as of old
    yes: bool = False
    dry_run: bool = False
    wait_seconds: int | None = None
    request_id: str | None = None


def checked(out: Output, options: StartOptions, settings: Settings) -> dict[str, Any]:
    """What can be checked without asking anybody, as the request's body."""
    ami = options.ami_id or settings.image_id
    if options.legacy and not ami:
        raise BadInput("--legacy is for an image of condor_annex's own: name it with --ami-id.")
    groups = options.security_groups
    if not groups and settings.security_groups:
        groups = tuple(inputs.security_groups(settings.security_groups))
    key_name = options.key_name or settings.key_name
    if options.wanted.spot_fleet is not None:
        ami, groups, key_name = None, (), None  # its own JSON says so
    if ami == inputs.TUTORIAL_IMAGE:
        out.warn(
            f"{ami} is the tutorial's image of 2017, which no longer works; the default image is"
            " used instead."
        )
        ami = None
    body: dict[str, Any] = {
        "name": options.name,
        **options.wanted.body(settings.instance_type),
        "tags": inputs.tags([*options.tags]),
        "grow": options.grow,
    }
    optional: dict[str, Any] = {
        "ami_id": inputs.ami_id(ami) if ami else None,
        "duration_seconds": options.duration_seconds,
        "idle_seconds": options.idle_seconds,
        "subnets": [*options.subnets],
        "security_groups": [*groups],
        "key_name": key_name,
        "legacy": options.legacy,
    }
    if options.config_dir is not None:
        optional["config_files"] = user_files.config_dir(options.config_dir)
    if options.user_data_file is not None:
        optional["user_data"] = user_files.user_data_file(options.user_data_file)
    elif options.user_data is not None:
        optional["user_data"] = user_files.user_data(options.user_data)
    body.update({key: value for key, value in optional.items() if value})
    duration = options.duration_seconds or settings.lease_seconds
    if options.idle_seconds and options.idle_seconds > duration and not options.grow:
        raise BadInput(
            f"The idle time ({inputs.hours_of_seconds(options.idle_seconds)} hours) is longer than"
            f" the lease ({inputs.hours_of_seconds(duration)} hours), so it would never count."
            "  Give a longer duration or a shorter idle time."
        )
    return body


def apply_lease(body: dict[str, Any], options: StartOptions, settings: Settings) -> None:
    """A new annex has a lease; defaults are cut to fit it."""
    duration = options.duration_seconds or settings.lease_seconds
    body["duration_seconds"] = duration
    body["idle_seconds"] = options.idle_seconds or min(settings.idle_seconds, duration)
    if options.retire_seconds is not None:
        body["retire_seconds"] = options.retire_seconds
        if options.retire_seconds >= duration:
            raise BadInput("With so long a --retire no machine would ever take a job; shorten it.")
    if options.on_rebalance is not None:
        body["on_rebalance"] = options.on_rebalance


def apply_identity(
    body: dict[str, Any], options: StartOptions, settings: Settings, token: Token
) -> None:
    """Whose jobs run there: the token's subject unless others are named."""
    body["identity"] = token.identity
    body["pool"]["trust_domain"] = token.trust_domain
    if options.any_owner:
        body["any_owner"] = True
        return
    domain = token.identity.split("@")[1] if settings.uid_domain == "localhost" else ""
    named = options.owners
    body["owners"] = (
        [token.identity] if named is None else inputs.owners(named, domain or settings.uid_domain)
    )
