"""Knocks on the pool's ports from inside AWS, before money is spent."""

from __future__ import annotations

import errno
import socket
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# HTCondor's shared port (manual, COLLECTOR_HOST).
_PORT = 9618
_SECONDS = 3.0
_MOST = 17  # a collector and sixteen access points


class TcpReach:
    """`ports.PoolReach` by plain TCP connections."""

    def check(self, addresses: Sequence[str]) -> Future[Sequence[str]]:
        wanted = list(dict.fromkeys(addresses[:_MOST]))
        pool = ThreadPoolExecutor(len(wanted) + 1)
        doors = [pool.submit(_knock, one) for one in wanted]
        notes = pool.submit(_notes, dict(zip(wanted, doors, strict=True)))
        pool.shutdown(wait=False)
        return notes


def _notes(doors: Mapping[str, Future[str]]) -> Sequence[str]:
    # A name server that is silent holds a connection up for longer than its own time-out.
    wait(doors.values(), timeout=_SECONDS + 1)
    said = [
        door.result() if door.done() else _unreached(address, "its name is not found in time")
        for address, door in doors.items()
    ]
    return [note for note in said if note]


def _knock(address: str) -> str:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port or _PORT)), timeout=_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        return _unreached(address, _why(error))
    return ""


def _why(error: Exception) -> str:
    """In words for the user, whom neither a number nor the resolver's own text helps."""
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, ConnectionRefusedError):
        return "it refuses the connection"
    if isinstance(error, socket.gaierror):
        return "its name is not known there"
    if isinstance(error, OSError) and error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return "there is no way to it"
    if isinstance(error, OSError):
        return "the connection fails"
    return "that is no address"


def _unreached(address: str, why: str) -> str:
    host, _, port = address.partition(":")
    return (
        f"{host} port {port or _PORT} cannot be reached from AWS ({why}). Unless the machines' "
        "network is let in where this function's is not, they will not join: open TCP "
        f"{port or _PORT} of {host} to them."
    )
