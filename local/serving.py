"""HTTP servers on sockets that somebody else has bound, in whatever network namespace."""

from __future__ import annotations

import socketserver
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from http.server import BaseHTTPRequestHandler

POLL_SECONDS = 0.05  # how often a server looks whether it is to stop


class SocketServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves on a bound and listening socket, a thread for each connection."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, listening: socket.socket, handler: Callable[..., BaseHTTPRequestHandler]
    ) -> None:
        address: Any = listening.getsockname()
        super().__init__(address, handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.server_address = address

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is nobody's business."""
