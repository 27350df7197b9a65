"""The configuration object as JSON, the way machines read it (docs/architecture.md)."""

from __future__ import annotations

from typing import Any

import msgspec

from .configuration import Configuration
from .errors import Unreadable
from .ids import AnnexId, AnnexName
from .iso import iso, moment


def body_of(configuration: Configuration) -> bytes:
    """The object's content."""
    return msgspec.json.encode(_document(configuration))


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


def read(body: bytes) -> Configuration:
    """The configuration in an object. Raises Unreadable, which never quotes it."""
    try:
        return _from_document(msgspec.json.decode(body))
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        # Never the text: it may hold the token.
        raise Unreadable(
            f"An annex's configuration cannot be read ({type(error).__name__})."
        ) from None


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
