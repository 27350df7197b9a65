"""The configuration object of an annex, as the control plane writes it to S3.

It is described in docs/architecture.md. Unknown fields are ignored here: a control plane that is
newer than a machine may add some, and a running machine must not stumble over them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from .parameters import parse_time


class BadConfiguration(Exception):
    """The object is none that this program understands; the text is without secrets."""


@dataclass(frozen=True)
class AdminKey:
    """The signing key with which the annex's owner administers this machine."""

    key_name: str
    identity: str
    key: str = field(repr=False)  # base64


@dataclass(frozen=True)
class Configuration:
    """One generation of the annex's configuration; times are Unix times, spans are seconds."""

    annex_name: str
    annex_id: str
    generation: int
    lease_end: int
    idle_seconds: int
    retire_seconds: int
    vacate_seconds: int
    dead_man_margin_seconds: int
    unjoined_limit_seconds: int
    ending: bool
    identity: str
    owners: tuple[str, ...]
    any_owner: bool
    collector_host: str
    trust_domain: str
    access_points: tuple[str, ...]
    token: str = field(repr=False)
    admin: AdminKey | None = None
    config_files: dict[str, str] = field(default_factory=dict, repr=False)
    on_rebalance: str = "record"  # or "retire": no new jobs once EC2 recommends to rebalance

    @staticmethod
    def parse(body: bytes) -> Configuration:
        """Read the object; raises `BadConfiguration`, which never quotes the object itself."""
        try:
            given = json.loads(body)
            if given["format"] != 1:
                raise BadConfiguration(
                    "The configuration object has format {!r}; this machine reads format 1.".format(
                        given["format"]
                    )
                )
            return _read(given)
        except (ValueError, TypeError, AttributeError) as error:
            raise BadConfiguration(
                f"The configuration object cannot be read ({type(error).__name__})."
            ) from None
        except KeyError as error:
            raise BadConfiguration(f"The configuration object lacks {error}.") from None


def _read(given: dict[str, Any]) -> Configuration:
    pool, admin = given["pool"], given.get("admin")
    return Configuration(
        annex_name=str(given["annex_name"]),
        annex_id=str(given["annex_id"]),
        generation=int(given["generation"]),
        lease_end=parse_time(given["lease_expires_at"]),
        idle_seconds=int(given["idle_seconds"]),
        retire_seconds=int(given["retire_seconds"]),
        vacate_seconds=int(given["vacate_seconds"]),
        dead_man_margin_seconds=int(given["dead_man_margin_seconds"]),
        unjoined_limit_seconds=int(given["unjoined_limit_seconds"]),
        ending=bool(given["ending"]),
        identity=str(given["identity"]),
        owners=tuple(given["owners"]),
        any_owner=bool(given["any_owner"]),
        collector_host=str(pool["collector_host"]),
        trust_domain=str(pool["trust_domain"]),
        access_points=tuple(pool.get("access_points") or ()),
        token=str(given["token"]),
        admin=AdminKey(admin["key_name"], admin["identity"], admin["key"]) if admin else None,
        config_files=dict(given.get("config_files") or {}),
        on_rebalance=str(given.get("on_rebalance") or "record"),
    )
