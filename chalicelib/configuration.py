"""What the machines of an annex are told, one object for all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from .ids import AnnexId, AnnexName


@dataclass(frozen=True, slots=True)
class Configuration:
    """The configuration object of one annex: docs/architecture.md, 'The configuration object'."""

    annex_name: AnnexName
    annex_id: AnnexId
    generation: int
    lease_expires_at: datetime
    idle_seconds: int
    retire_seconds: int
    vacate_seconds: int
    dead_man_margin_seconds: int
    unjoined_limit_seconds: int
    identity: str
    owners: tuple[str, ...]
    any_owner: bool
    collector_host: str
    trust_domain: str
    access_points: tuple[str, ...]
    config_files: dict[str, str] = field(repr=False)
    program: str = field(repr=False)  # the machine program, as machines fetch it
    token: str = field(repr=False)
    admin: dict[str, str] | None = field(repr=False)
    ending: bool = False
    on_rebalance: str = "record"
