"""The process that is the account: AWS side and hosts joined, up until it is told to end."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import threading
from typing import TYPE_CHECKING, Protocol

from local.processes import end_recorded
from local.state import State, Up

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from local.account import Account


class Hosts(Protocol):
    """The hosts' side, as `local.joining` makes it."""

    def close(self) -> None:
        """End every host and remove the network."""


class AlreadyUpError(RuntimeError):
    """Another process is the account already."""


def run(state: State, *, hosts: bool, say: Callable[[str], None]) -> None:
    """Be the account until SIGINT or SIGTERM.

    Raises:
        AlreadyUpError: another process is.
        OSError, RuntimeError: it could not come up; nothing is left behind.
    """
    if not state.take():
        raise AlreadyUpError("The local account is already up.")
    _on_signals(signal.default_int_handler)
    logging.basicConfig(
        filename=state.log,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    account: Account | None = None
    joined: Hosts | None = None
    try:
        clean(state)
        say("Starting AWS")
        # Imported here: moto takes most of a second, and `env` and `run` do not need it.
        from local.account import Account, endpoint  # noqa: PLC0415
        from local.aws import REGION  # noqa: PLC0415

        account = Account(state.path)
        aws_socket, gateway_socket = _listen(), _listen()
        account.start(aws_socket, gateway_socket)
        if hosts:
            from local import joining  # noqa: PLC0415 (needs root and the kernel's namespaces)

            joined = joining.start(state.path, account, say)
        key = account.administrator
        up = Up(
            pid=os.getpid(),
            aws_url=endpoint(aws_socket),
            gateway_url=endpoint(gateway_socket),
            region=REGION,
            access_key_id=key.access_key_id,
            secret_access_key=key.secret_access_key,
            hosts=joined is not None,
        )
        state.write(up)
        say(f"The local account is up: AWS at {up.aws_url}, API Gateway at {up.gateway_url}")
        threading.Event().wait()
    except KeyboardInterrupt:
        say("Ending the local account")
    finally:
        # Nothing interrupts the end: a second Ctrl-C would leave things behind.
        _on_signals(signal.SIG_IGN)
        state.clear()
        if account is not None:
            account.rest()
        if joined is not None:
            joined.close()
        if account is not None:
            account.close()
        clean(state)


def clean(state: State) -> None:
    """Remove what an account that was killed has left; the caller holds the lock."""
    state.clear()
    end_recorded(state.path)
    shutil.rmtree(state.path / "functions", ignore_errors=True)
    from local import joining  # noqa: PLC0415 (moto is behind it)

    joining.clean(state.path)


def _on_signals(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def _listen() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=128)
