"""What every command needs first: settings, credentials, and the control plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annex_client import api, credentials, settings
from annex_client.errors import PoolTrouble

if TYPE_CHECKING:
    from annex_client.context import Context
    from annex_client.pool import Pool, Slot
    from annex_client.render import Output


@dataclass(frozen=True)
class Access:
    """How the command line says to reach AWS."""

    region: str | None = None
    key_files: tuple[str, str] | None = None


@dataclass
class Session:
    """One command's ways to the control plane and to the pool, opened when first used."""

    context: Context
    out: Output
    access: Access

    def __post_init__(self) -> None:
        self.settings = settings.read(self.context, region=self.access.region)
        self._api: api.Api | None = None
        self._pool: Pool | None = None

    @property
    def api(self) -> api.Api:
        """The control plane.

        Raises:
            AwsTrouble: nothing is set up here.
            Refused: there are no usable credentials.
        """
        if self._api is None:
            url = self.settings.need_api_url()
            where = api.endpoint(url, self.settings.region, self.context.environ)
            _, keys = credentials.session(self.context, self.settings, self.access.key_files)
            self._api = api.Api(where, keys, self.context.clock)
        return self._api

    @property
    def pool(self) -> Pool:
        """The pool."""
        if self._pool is None:
            self._pool = self.context.pool()
        return self._pool

    def slots(self, annex_name: str | None = None) -> tuple[list[Slot] | None, str]:
        """The collector's slots; None and a sentence where it cannot be asked."""
        try:
            return self.pool.slots(annex_name), ""
        except PoolTrouble as trouble:
            return None, trouble.message
