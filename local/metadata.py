"""The instance metadata service (IMDS), one listener in each instance's own namespace.

As EC2's: every dated version and `latest`, listings whose folders end in '/', session tokens by
PUT (version 2), plain GET only where the instance does not require tokens. AWS: EC2 User Guide,
"Use the Instance Metadata Service to access instance metadata".
"""

from __future__ import annotations

import json
import re
import secrets
import socket
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from local import kernel
from local.interfaces import VPC_CIDR
from local.network import METADATA_ADDRESS, mac_address

if TYPE_CHECKING:
    from local.interfaces import HostSpec, InstanceMetadata

_TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105 - a header's name
_TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
_LONGEST_TTL_SECONDS = 21600  # AWS: the longest a session token may live
_VERSIONED = re.compile(r"/(?:latest|\d{4}-\d\d-\d\d)(?:/(?P<path>.*))?\Z")


class Service:
    """The metadata service of one instance; serves from its making until `close`."""

    def __init__(self, namespace: int, spec: HostSpec, source: InstanceMetadata) -> None:
        """Serve inside the network namespace, whose `lo` has the address.

        Raises:
            OSError: the namespace is gone, or the address is taken.
        """
        answers = Answers(spec, source)

        class Handler(_Handler):
            def respond(self, method: str) -> tuple[int, bytes, dict[str, str]]:
                return answers.respond(method, self.path, dict(self.headers.items()))

        self._server = _Server(_listen(namespace), Handler)
        threading.Thread(
            target=self._server.serve_forever, daemon=True, name=f"metadata {spec.instance_id}"
        ).start()

    def close(self) -> None:
        """Stop serving; the listener no longer keeps the namespace alive."""
        self._server.shutdown()
        self._server.server_close()


class Answers:
    """What the service answers, without any socket."""

    def __init__(self, spec: HostSpec, source: InstanceMetadata) -> None:
        self._spec = spec
        self._source = source
        self._tokens: dict[str, float] = {}  # session token -> monotonic time of its end

    def respond(
        self, method: str, path: str, headers: dict[str, str]
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers for one request."""
        given = {name.lower(): value for name, value in headers.items()}
        if method == "PUT":
            return self._new_token(path, given)
        if method != "GET":
            return 405, b"", {}
        token = given.get(_TOKEN_HEADER.lower())
        if token is None:
            if self._source.tokens_required(self._spec.instance_id):
                return 401, b"", {}
        elif self._tokens.get(token, 0.0) < time.monotonic():
            return 401, b"", {}
        body = self._lookup(path.partition("?")[0])
        return (404, b"", {}) if body is None else (200, body, {})

    def _new_token(self, path: str, given: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        ttl = given.get(_TTL_HEADER.lower(), "")
        if path != "/latest/api/token":
            return 404, b"", {}
        # A request that came through a proxy gets no token: EC2 refuses it by this header.
        if "x-forwarded-for" in given:
            return 403, b"", {}
        if not ttl.isdecimal() or not 1 <= int(ttl) <= _LONGEST_TTL_SECONDS:
            return 400, b"", {}
        token = secrets.token_urlsafe(40)
        self._tokens[token] = time.monotonic() + int(ttl)
        return 200, token.encode(), {_TTL_HEADER: ttl}

    def _lookup(self, path: str) -> bytes | None:
        if path == "/":
            return b"latest"
        match = _VERSIONED.fullmatch(path)
        if match is None:
            return None
        steps = [step for step in (match["path"] or "").split("/") if step]
        value: Any = self._everything(steps)
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, dict):
            return _listing(value).encode()
        return value if isinstance(value, bytes) or value is None else str(value).encode()

    def _everything(self, steps: list[str]) -> dict[str, Any]:
        """The whole tree, as far as it is needed to go these steps."""
        instance = self._spec.instance_id
        root: dict[str, Any] = {"dynamic": {}, "meta-data": {}}
        user_data = self._source.user_data(instance)
        if user_data is not None:
            root["user-data"] = user_data
        if steps[:1] == ["meta-data"]:
            root["meta-data"] = self._with_interface(self._source.tree(instance))
        if steps[:1] == ["dynamic"]:
            document = self._source.identity_document(instance)
            # AWS prints ' : ', one key a line, and programs read that with sed and awk.
            text = json.dumps(document, indent=2, separators=(",", " : "))
            root["dynamic"] = {"instance-identity": {"document": text}}
        return root

    def _with_interface(self, tree: dict[str, Any]) -> dict[str, Any]:
        """The network interface as the host has it: EC2 does not know its hardware address."""
        address = self._spec.private_ip
        mac = mac_address(address)
        known = tree.get("network", {}).get("interfaces", {}).get("macs", {})
        interface: dict[str, Any] = {
            "device-number": "0",
            "interface-id": "eni-" + self._spec.instance_id.removeprefix("i-"),
            "local-hostname": self._spec.hostname,
            "local-ipv4s": address,
            "subnet-ipv4-cidr-block": VPC_CIDR,
            "vpc-ipv4-cidr-block": VPC_CIDR,
        }
        for values in known.values():  # subnet and VPC ids, where EC2 told them
            interface |= values
        interface["mac"] = mac
        network = {"interfaces": {"macs": {mac: interface}}}
        return {**tree, "mac": mac, "local-ipv4": address, "network": network}


def _listing(folder: dict[str, Any]) -> str:
    return "\n".join(
        f"{name}/" if isinstance(value, dict) else name for name, value in folder.items()
    )


def _listen(namespace: int) -> socket.socket:
    return kernel.within(
        namespace, lambda: socket.create_server((METADATA_ADDRESS, 80), backlog=64)
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "EC2ws"
    sys_version = ""
    wbufsize = -1  # headers and body in one segment, or each answer waits for a delayed ACK
    timeout = 60

    def respond(self, method: str) -> tuple[int, bytes, dict[str, str]]:
        raise NotImplementedError

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base's name
        """Say nothing: the console belongs to the supervisor."""

    def _do(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, body, headers = self.respond(self.command)
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = _do  # noqa: N815 - the base's names


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves on a socket that is already bound and listening."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listening: socket.socket, handler: type[_Handler]) -> None:
        super().__init__(("", 0), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
