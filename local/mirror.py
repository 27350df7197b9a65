"""The distribution's archive, as far as the account has it, by plain HTTP inside the network."""

from __future__ import annotations

import functools
import socketserver
import threading
from http.server import SimpleHTTPRequestHandler
from typing import TYPE_CHECKING

from local.interfaces import MIRROR_ADDRESS

if TYPE_CHECKING:
    from pathlib import Path

    from local.network import Network

PATH = "/debian"


class Mirror:
    """Serves a folder at http://MIRROR_ADDRESS/debian/ until `close`."""

    def __init__(self, network: Network, folder: Path) -> None:
        """Serve; the network is up."""
        handler = functools.partial(_Handler, directory=str(folder))
        self._server = _Server((MIRROR_ADDRESS, 80), handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = network.listen(MIRROR_ADDRESS, 80)
        threading.Thread(target=self._server.serve_forever, daemon=True, name="mirror").start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    timeout = 60

    def translate_path(self, path: str) -> str:
        """Only what is below PATH is there; nothing else of this machine."""
        inside = path.removeprefix(PATH) if path.startswith(PATH + "/") else "/no-such-file"
        return super().translate_path(inside)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base's name
        """Say nothing: the console belongs to the supervisor."""
