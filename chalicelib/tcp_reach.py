"""Knocks on the pool's ports from inside AWS, before money is spent."""

from __future__ import annotations

import socket
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# HTCondor's shared port (manual, COLLECTOR_HOST).
_PORT = 9618
_SECONDS = 3.0
_MOST = 17  # a collector and sixteen access points


class TcpReach:
    """`ports.PoolReach` by plain TCP connections."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def check(self, addresses: Sequence[str]) -> Future[Sequence[str]]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_MOST + 1)
        doors = [self._pool.submit(_knock, one) for one in dict.fromkeys(addresses[:_MOST])]
        return self._pool.submit(lambda: [note for door in doors if (note := door.result())])


def _knock(address: str) -> str:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port or _PORT)), timeout=_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        why = "does not answer" if isinstance(error, TimeoutError) else str(error)
        return (
            f"{host} port {port or _PORT} cannot be reached from AWS ({why}). Unless the machines' "
            "network is let in where this function's is not, they will not join: open TCP "
            f"{port or _PORT} of {host} to them."
        )
    return ""
