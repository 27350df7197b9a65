"""The configuration object of a new annex, from the request that started it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .configuration import Configuration

if TYPE_CHECKING:
    from .model import Annex
    from .settings import Settings
    from .wire import StartRequest


def first_configuration(
    annex: Annex, request: StartRequest, settings: Settings, program: str
) -> Configuration:
    """What the machines need to know, the token among it; nobody's jobs run but the owners'."""
    admin = request.admin
    return Configuration(
        annex_name=annex.name,
        annex_id=annex.annex_id,
        generation=annex.generation,
        lease_expires_at=annex.lease_expires_at,
        idle_seconds=annex.idle_seconds,
        retire_seconds=annex.retire_seconds,
        vacate_seconds=settings.vacate_seconds,
        dead_man_margin_seconds=settings.dead_man_margin_seconds,
        unjoined_limit_seconds=settings.unjoined_limit_seconds,
        identity=annex.identity,
        owners=request.owners or (() if request.any_owner else (annex.identity,)),
        any_owner=request.any_owner,
        collector_host=request.pool.collector_host,
        trust_domain=request.pool.trust_domain,
        access_points=request.pool.access_points,
        config_files=request.config_files,
        program=program,
        on_rebalance=request.on_rebalance,
        token=request.token,
        admin=None
        if admin is None
        else {"key_name": admin.key_name, "identity": admin.identity, "key": admin.key},
    )
