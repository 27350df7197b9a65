"""A control plane for tests: real HTTP on the loopback, requests checked against the schema."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema

SCHEMA = json.loads((Path(__file__).parents[2] / "schema" / "wire.json").read_text())
NOW = datetime(2026, 11, 24, 16, 0, tzinfo=UTC)


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def valid(value: object, kind: str) -> None:
    """Fail if a body is not what the wire says."""
    jsonschema.validate(value, {**SCHEMA, "$ref": f"#/$defs/{kind}"})


@dataclass
class Call:
    """One request, as it arrived."""

    method: str
    path: str
    body: Any
    headers: dict[str, str]


@dataclass
class FakePlane:
    """Knows annexes by name; a test may hand it answers to give instead (`next_answers`)."""

    annexes: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    # (status, body) or "drop" (close the connection without an answer), used up in order.
    next_answers: list[Any] = field(default_factory=list)
    seen_requests: dict[str, tuple[bool, dict[str, Any]]] = field(default_factory=dict)
    capacity: int = 1000
    pending: bool = False
    weight: int = 2  # slots of a machine, where slots are asked for
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    components: list[dict[str, Any]] = field(default_factory=list)
    sweep_finished_at: str | None = iso(NOW)
    warning: str = ""

    def sent(self, method: str) -> list[Call]:
        """The requests of one method."""
        return [call for call in self.calls if call.method == method]

    def add(self, name: str, machines: int = 1, **more: Any) -> dict[str, Any]:
        """An annex with running machines."""
        number = len(self.annexes)
        self.annexes[name] = {
            "name": name,
            "annex_id": f"annex-{number:04}",
            "owner": "alice@pool.example",
            "state": "active",
            "created_at": iso(NOW),
            "lease_expires_at": iso(NOW + timedelta(seconds=3000)),
            "idle_seconds": 900,
            "requested": machines,
            "started": machines,
            "unit": "machine",
            "reason": "",
            "instances": [instance(f"i-{number:04x}{i:013x}") for i in range(machines)],
            **more,
        }
        return self.annexes[name]

    def answer(self, call: Call) -> tuple[int, Any]:
        """Carry a request out: status and body."""
        if call.method == "POST":
            valid(call.body, "StartRequest")
            return self._start(call.body)
        name = call.path.rsplit("/", 1)[-1]
        if call.path == "/annexes":
            found = [_summary(annex) for annex in self.annexes.values()]
            return 200, {"annexes": found, "warning": self.warning}
        if call.path == "/setup":
            return 200, {
                "deployment": "htcondor-annex",
                "version": "0.1.0",
                "caller": "AIDAALICE",
                "sweep_finished_at": self.sweep_finished_at,
                "components": self.components,
            }
        if name not in self.annexes:
            return error(404, "NoSuchAnnex", f"There is no annex {name}.", name)
        annex = self.annexes[name]
        if call.method == "PATCH":
            valid(call.body, "RenewRequest")
            end = NOW + timedelta(seconds=call.body["duration_seconds"])
            annex["lease_expires_at"] = iso(end)
            return 200, {"annex": annex, "unreached": []}
        if call.method == "DELETE":
            annex["state"] = "terminated"
            for one in annex["instances"]:
                one["state"] = "terminated"
        return 200, annex

    def _start(self, body: dict[str, Any]) -> tuple[int, Any]:
        name, grow = body["name"], bool(body.get("grow"))
        if body["request_id"] in self.seen_requests:
            was_grow, answer = self.seen_requests[body["request_id"]]
            if was_grow != grow:
                return error(409, "RequestMismatch", "The request id was used before.", name)
            return 201, answer
        live = self.annexes.get(name)
        if live is not None and live["state"] != "terminated" and not grow:
            return error(409, "AlreadyThere", f"Annex {name} has machines already.", name)
        asked = body.get("slots") or body["count"]
        started = min(asked, self.capacity)
        if not started and not self.pending:
            return error(409, "NoCapacity", f"EC2 has no machines for annex {name}.", name)
        if body.get("dry_run"):
            annex = FakePlane().add(name, 0)
        else:
            annex = live or self.add(name, 0, unit="slot" if body.get("slots") else "machine")
            self._launch(annex, body, started)
            annex["requested"] += asked
            annex["started"] += started
        answer = {"annex": annex, "asked": asked, "started": started}
        seconds = (900 if "spot_fleet_config" in body else 300) if self.pending else 0
        answer.update(pending=self.pending, pending_seconds=seconds, notes=[*self.notes])
        if not body.get("dry_run"):
            self.seen_requests[body["request_id"]] = (grow, answer)
        return 201, answer

    def _launch(self, annex: dict[str, Any], body: dict[str, Any], units: int) -> None:
        """Add so many units' machines."""
        lifecycle = body.get("market", "on-demand")
        while units > 0:
            weight = min(units, self.weight) if body.get("slots") else 1
            name = f"i-{len(annex['instances']):017x}"
            annex["instances"].append(instance(name, lifecycle=lifecycle, units=weight))
            units -= weight


def instance(instance_id: str, state: str = "running", **more: Any) -> dict[str, Any]:
    return {
        "instance_id": instance_id,
        "instance_type": "m7i.large",
        "zone": "us-east-1a",
        "lifecycle": "on-demand",
        "state": state,
        "launched_at": iso(NOW),
        "private_dns_name": "ip-172-31-0-4.ec2.internal",
        "phase": "",
        "reason": "",
        "units": 1,
        **more,
    }


def error(status: int, code: str, message: str, annex: str | None = None) -> tuple[int, Any]:
    return status, {"error": {"code": code, "message": message, "annex": annex, "request_id": None}}


def _summary(annex: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in annex.items() if key not in ("instances", "started")}
    states = Counter(one["state"] for one in annex["instances"])
    return {**kept, "instance_counts": dict(states)}


class PlaneServer:
    """Serves a `FakePlane`; problems found in requests are kept in `plane.problems`."""

    def __init__(self, plane: FakePlane) -> None:
        handler = type("Handler", (_Handler,), {"plane": plane})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


_ANSWERS = {"POST": "StartAnswer", "PATCH": "RenewAnswer", "DELETE": "AnnexView"}


class _Handler(BaseHTTPRequestHandler):
    plane: FakePlane
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one segment, or each answer waits for a delayed ACK
    prefix = "/abc123/api"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        """Say nothing."""

    def _serve(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.removeprefix(self.prefix)
        headers = {key.lower(): value for key, value in self.headers.items()}
        call = Call(self.command, path, json.loads(data) if data else None, headers)
        self.plane.calls.append(call)
        if not headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 Credential="):
            self.plane.problems.append(f"unsigned: {self.command} {self.path}")
        if "/us-east-1/execute-api/aws4_request" not in headers.get("authorization", ""):
            self.plane.problems.append(f"signed for elsewhere: {headers.get('authorization')}")
        if not self.path.startswith(self.prefix):
            self.plane.problems.append(f"not the API's path: {self.path}")
        given = self.plane.next_answers.pop(0) if self.plane.next_answers else None
        try:
            status, body = given if isinstance(given, tuple) else self.plane.answer(call)
            if given is None and status < 400:
                valid(body, _kind(call))
        except jsonschema.ValidationError as problem:
            self.plane.problems.append(f"{self.command} {self.path}: {problem.message}")
            status, body = error(400, "BadRequest", problem.message)
        if given == "drop":
            self.close_connection = True
            return
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's names


def _kind(call: Call) -> str:
    if call.method == "GET":
        return {"/annexes": "AnnexList", "/setup": "SetupReport"}.get(call.path, "AnnexView")
    return _ANSWERS[call.method]
