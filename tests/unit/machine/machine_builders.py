"""Values for the machine program's tests, and a machine that is made of files."""

from __future__ import annotations

import base64
import json
import socketserver
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from chalicelib.machine.configuration import AdminKey, Configuration
from chalicelib.machine.configure import Facts
from chalicelib.machine.machine import Machine
from chalicelib.machine.metadata import Metadata
from chalicelib.machine.observe import Condor, Eyes
from chalicelib.machine.parameters import Parameters
from chalicelib.machine.report import Reporter
from chalicelib.machine.s3 import S3, Fetched, S3Error
from chalicelib.machine.shell import Ran

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BOOT = 1_800_000_000
HOUR = 3600
INSTANCE = "i-0123456789abcdef0"
SECRETS = {"token": "TOKEN-TOKEN-TOKEN", "key": base64.b64encode(b"K" * 48).decode()}


def configuration(**changes: Any) -> Configuration:
    """An hour's lease of alice's annex, from the boot on."""
    whole = Configuration(
        annex_name="MyAnnex",
        annex_id="annex-1",
        generation=1,
        lease_end=BOOT + HOUR,
        idle_seconds=900,
        retire_seconds=300,
        vacate_seconds=30,
        dead_man_margin_seconds=300,
        unjoined_limit_seconds=600,
        ending=False,
        identity="alice@pool.example",
        owners=("alice@pool.example",),
        any_owner=False,
        collector_host="cm.pool.example:9618",
        trust_domain="pool.example",
        access_points=("ap.pool.example",),
        token=SECRETS["token"],
        admin=AdminKey("annex-MyAnnex-admin", "admin@MyAnnex.annex", SECRETS["key"]),
        config_files={},
    )
    return replace(whole, **changes)


def document(**changes: Any) -> dict[str, Any]:
    """The same, as the control plane writes it (docs/architecture.md, The configuration object)."""
    return {
        "format": 1,
        "annex_name": "MyAnnex",
        "annex_id": "annex-1",
        "generation": 1,
        "lease_expires_at": "2027-01-15T09:00:00Z",
        "idle_seconds": 900,
        "retire_seconds": 300,
        "vacate_seconds": 30,
        "dead_man_margin_seconds": 300,
        "unjoined_limit_seconds": 600,
        "ending": False,
        "identity": "alice@pool.example",
        "owners": ["alice@pool.example"],
        "any_owner": False,
        "pool": {
            "collector_host": "cm.pool.example:9618",
            "trust_domain": "pool.example",
            "access_points": ["ap.pool.example"],
        },
        "token": SECRETS["token"],
        "admin": {
            "key_name": "annex-MyAnnex-admin",
            "identity": "admin@MyAnnex.annex",
            "key": SECRETS["key"],
        },
        "config_files": {},
        **changes,
    }


def facts(**changes: Any) -> Facts:
    """A machine of four cores."""
    return replace(Facts(INSTANCE, "m7i.xlarge", "us-east-1a", "on-demand", 4, BOOT), **changes)


PARAMETERS = Parameters(
    annex_name="MyAnnex",
    annex_id="annex-1",
    bucket="htcondor-annex-123456789012-us-east-1",
    key="config/0123456789abcdef0123456789abcdef.json",
    region="us-east-1",
    role_id="AROATEST",
    lease_end=BOOT + HOUR,
    dead_man_margin_seconds=300,
    boot_limit_seconds=1800,
)


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self, now: float = BOOT) -> None:
        self.now = float(now)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Commands:
    """Records commands and answers them by their first words; all others succeed silently."""

    def __init__(self, **answers: Ran) -> None:
        self.answers = answers
        self.seen: list[list[str]] = []
        self.environments: list[dict[str, str]] = []

    def __call__(
        self, args: Sequence[str], seconds: float, environment: dict[str, str] | None = None
    ) -> Ran:
        assert seconds > 0
        self.seen.append(list(args))
        self.environments.append(environment or {})
        return self.answers.get(args[0].rsplit("/", 1)[-1], Ran(0))

    def lines(self) -> list[str]:
        """The commands as one would type them."""
        return [" ".join(args) for args in self.seen]


class Looks(Eyes):
    """Eyes that see what a test tells them."""

    def __init__(self) -> None:
        self.state = Condor.UP
        self.running = 0
        self.trace = 0.0
        self.reachable = True
        self.in_pool: bool | None = True
        self.asked: list[str] = []

    def condor(self) -> Condor:
        return self.state

    def jobs(self) -> int:
        return self.running

    def last_job_trace(self) -> float:
        return self.trace

    def collector(self, address: str) -> bool:
        self.asked.append(address)
        return self.reachable

    def joined(self) -> bool | None:
        return self.in_pool

    def startd_address(self) -> str:
        return "<172.31.0.4:9618?sock=startd>"


class Bucket(S3):
    """The configuration bucket as a dictionary; `broken` makes every call fail."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.broken = ""

    def get(self, key: str, etag: str = "") -> Fetched | None:
        if self.broken:
            raise S3Error(self.broken)
        if key not in self.objects:
            raise S3Error("S3 refused to read an object of config/ (403 AccessDenied).")
        body = self.objects[key]
        now = str(hash(body))
        return None if now == etag else Fetched(body, now)

    def put(self, key: str, body: bytes) -> None:
        if self.broken:
            raise S3Error(self.broken)
        self.objects[key] = body

    def configure(self, **changes: Any) -> None:
        self.objects[PARAMETERS.key] = json.dumps(document(**changes)).encode()


def machine(root: Path, bucket: Bucket, clock: Clock, metadata: Metadata | None = None) -> Machine:
    """A machine below `root`; a spot machine where it has a metadata service."""
    key = f"reports/{PARAMETERS.role_id}:{INSTANCE}"
    reporter = Reporter(INSTANCE, lambda body: bucket.put(key, body), clock, str(root))
    return Machine(
        PARAMETERS,
        facts(lifecycle="spot" if metadata else "on-demand"),
        metadata or Metadata("http://127.0.0.1:1"),
        bucket,
        reporter,
        str(root),
    )


def reports(bucket: Bucket) -> list[tuple[str, str]]:
    """Phases and reasons as the control plane reads them."""
    body = json.loads(bucket.objects[f"reports/{PARAMETERS.role_id}:{INSTANCE}"])
    return [(event["phase"], event["reason"]) for event in body["events"]]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    tree: dict[str, str]
    tokens: set[str]
    requests: list[str]

    def server_bind(self) -> None:
        # HTTPServer's own would look its name up.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "metadata", self.server_address[1]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *args: Any) -> None:
        pass

    def do_PUT(self) -> None:
        self.server.requests.append("PUT " + self.path)
        if not self.headers.get("X-aws-ec2-metadata-token-ttl-seconds"):
            return self._answer(400, "")
        token = f"T{len(self.server.requests)}"
        self.server.tokens.add(token)
        return self._answer(200, token)

    def do_GET(self) -> None:
        self.server.requests.append("GET " + self.path)
        if self.headers.get("X-aws-ec2-metadata-token") not in self.server.tokens:
            return self._answer(401, "")
        found = self.server.tree.get(self.path.removeprefix("/latest/"))
        return self._answer(404 if found is None else 200, found or "")

    def _answer(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


@contextmanager
def metadata_service(tree: dict[str, str]) -> Iterator[tuple[_Server, str]]:
    """A metadata service, version 2 only, on a loopback port."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.tree, server.tokens, server.requests = tree, set(), []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def role_credentials(expires: str = "2036-01-01T00:00:00Z") -> dict[str, str]:
    """What the metadata service has of the role."""
    given = {
        "Code": "Success",
        "AccessKeyId": "ASIAEXAMPLE",
        "SecretAccessKey": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "Token": "SESSION/TOKEN+with==signs",
        "Expiration": expires,
    }
    return {
        "meta-data/iam/security-credentials/": "htcondor-annex-instance",
        "meta-data/iam/security-credentials/htcondor-annex-instance": json.dumps(given),
    }
