"""Whether the pool's addresses can be reached from here, before HTCondor starts and later."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from collections.abc import Iterable

PORT = 9618  # HTCondor's own, where an address names none
Connect = Callable[[str, int, float], None]


def split(address: str) -> tuple[str, int]:
    """Host and port of `host` or `host:port`."""
    host, _, port = address.partition(":")
    return host, int(port or PORT)


def connect(host: str, port: int, seconds: float) -> None:
    """Open a TCP connection and close it; raises OSError."""
    socket.create_connection((host, port), seconds).close()


def unreachable(addresses: Iterable[str], connect: Connect = connect, seconds: float = 5) -> str:
    """A sentence that names each address that cannot be reached and why, or nothing."""
    problems = []
    for address in addresses:
        host, port = split(address)
        try:
            connect(host, port, seconds)
        except OSError as error:
            why = error.strerror or str(error) or type(error).__name__
            problems.append(f"{host}:{port} cannot be reached from this machine ({why.lower()})")
    return "; ".join(problems)
