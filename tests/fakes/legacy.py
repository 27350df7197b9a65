"""Legacy annexes' tarballs in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.model import Leftover, LeftoverKind

if TYPE_CHECKING:
    from datetime import datetime

    from chalicelib.configuration import Configuration
    from chalicelib.ids import AnnexId
    from chalicelib.ports import Clock


class FakeLegacyStore:
    """`ports.LegacyStore`: the tokens in the tarballs, and the leases they were written for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.on = True
        self.tokens: dict[AnnexId, str] = {}
        self.leases: dict[AnnexId, datetime] = {}
        self._written_at: dict[AnnexId, datetime] = {}

    def is_on(self) -> bool:
        return self.on

    def write(self, configuration: Configuration) -> None:
        annex_id = configuration.annex_id
        self.tokens[annex_id] = configuration.token
        self.leases[annex_id] = configuration.lease_expires_at
        self._written_at[annex_id] = self._clock.now()

    def delete(self, annex_id: AnnexId) -> None:
        self.tokens.pop(annex_id, None)

    def listed(self) -> list[Leftover]:
        return [
            Leftover(LeftoverKind.TARBALL, key_of(one), self._written_at[one], one)
            for one in self.tokens
        ]

    def lease(self, annex_id: AnnexId) -> datetime | None:
        return self.leases.get(annex_id) if annex_id in self.tokens else None


def key_of(annex_id: AnnexId) -> str:
    """The name of an annex's tarball."""
    return f"config-{annex_id}.tar.gz"
