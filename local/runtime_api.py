"""The Lambda Runtime API, and an execution environment behind it: a process of the zip.

Source: Lambda Developer Guide, "Using the Lambda runtime API for custom runtimes" and
"Understanding the Lambda execution environment lifecycle".
"""

from __future__ import annotations

import json
import queue
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import uuid4

from local.serving import POLL_SECONDS, SocketServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

# Lambda gives the initialisation phase ten seconds, on processors of its own; here, everything
# shares this machine's.
INIT_SECONDS = 60.0

Event = tuple[str, bytes, int]  # request id, payload, deadline in ms since 1970


@dataclass(frozen=True)
class Place:
    """Where functions run: a command that leads there, AWS's address from there, and a listener.

    `listen` gives a bound and listening socket that the processes there can reach.
    """

    prefix: tuple[str, ...]
    endpoint_url: str
    listen: Callable[[], socket.socket]


@dataclass(frozen=True)
class Program:
    """What an environment runs; two that are equal may stand for one another.

    `credentials` opens a session of the function's role: each process has one of its own.
    """

    name: str
    arn: str
    root: Path
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    timeout_seconds: float
    log: Path
    credentials: Callable[[], Mapping[str, str]] = field(compare=False)


@dataclass(frozen=True)
class Result:
    """An invocation's answer; `error` is Lambda's word ('Unhandled') or None."""

    payload: bytes
    error: str | None


class Environment:
    """One execution environment: one invocation at a time, as on Lambda. Its owner sees to that."""

    def __init__(
        self, program: Program, place: Place, spawn: Callable[..., subprocess.Popen[bytes]]
    ) -> None:
        self.program = program
        self.last_used = 0.0  # its owner's note, of a steady clock
        self.access_key = ""  # of the process that is there, or was there last
        self._place = place
        self._spawn = spawn
        self._ready = threading.Event()
        self._next: queue.Queue[Event | None] = queue.Queue()
        self._answers: queue.Queue[tuple[str, Result]] = queue.Queue()
        self._process: subprocess.Popen[bytes] | None = None
        self._server = SocketServer(place.listen(), _handler(self))
        threading.Thread(
            target=self._server.serve_forever, args=(POLL_SECONDS,), name=program.name, daemon=True
        ).start()

    @property
    def pid(self) -> int | None:
        """The process's id, where there is one."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def invoke(self, payload: bytes) -> Result:
        """Run one event; a process that died or was too slow is replaced at the next event."""
        request_id = str(uuid4())
        if self.pid is None:
            failure = self._start()
            if failure is not None:
                return failure
        limit = self.program.timeout_seconds
        deadline = time.time() + limit
        self._next.put((request_id, payload, int(deadline * 1000)))
        with self._log() as log:
            log.write(f"START RequestId: {request_id}\n".encode())
        while True:
            try:
                answered, result = self._answers.get(timeout=0.1)
            except queue.Empty:
                if time.time() > deadline:
                    self.kill()
                    return _failure(
                        "Sandbox.Timedout", f"{request_id} Task timed out after {limit:.2f} seconds"
                    )
                if self.pid is None:
                    self.kill()
                    return _failure(
                        "Runtime.ExitError", f"RequestId: {request_id} Error: Runtime exited"
                    )
                continue
            if answered == request_id:
                return result

    def crash(self) -> None:
        """Kill the process in the middle of its work; whoever waits in `invoke` finds it dead."""
        process = self._process
        if process is not None:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End the process, hard; the environment starts another when it is next used."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
        self._next.put(None)  # lets go of the listener's thread that waits for an event
        self._next = queue.Queue()
        self._answers = queue.Queue()

    def close(self) -> None:
        """End the process and the listener."""
        self.kill()
        self._server.shutdown()
        self._server.server_close()

    def next_event(self) -> Event | None:
        """Wait for what /invocation/next answers; None where the process was ended."""
        self._ready.set()
        return self._next.get()

    def answer(self, request_id: str, result: Result) -> None:
        """Take what the runtime posted."""
        self._answers.put((request_id, result))

    def _start(self) -> Result | None:
        self.kill()
        self._ready.clear()
        host, port = self._server.server_address[:2]
        credentials = self.program.credentials()
        self.access_key = credentials["AWS_ACCESS_KEY_ID"]
        environment = {**dict(self.program.environment), **credentials}
        environment["AWS_LAMBDA_RUNTIME_API"] = f"{host!s}:{port}"
        with self._log() as log:
            self._process = self._spawn(
                [*self._place.prefix, *self.program.command],
                cwd=self.program.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + INIT_SECONDS
        while not self._ready.wait(0.02):
            if self.pid is None or time.monotonic() > end:
                self.kill()
                return self._init_error()
        return None

    def _init_error(self) -> Result:
        try:
            return self._answers.get_nowait()[1]
        except queue.Empty:
            return _failure("Runtime.ExitError", "Runtime exited or was too slow to initialise")

    def _log(self) -> BinaryIO:
        self.program.log.parent.mkdir(parents=True, exist_ok=True)
        return self.program.log.open("ab")


def _failure(kind: str, message: str) -> Result:
    return Result(json.dumps({"errorType": kind, "errorMessage": message}).encode(), "Unhandled")


def _handler(environment: Environment) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one segment: 40 ms of delayed ACK each, otherwise

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base's name)
            pass

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                self.close_connection = True  # the environment was stopped

        def do_GET(self) -> None:
            event = environment.next_event()
            if event is None:
                self.close_connection = True
                return
            request_id, payload, deadline = event
            headers = {
                "Content-Type": "application/json",
                "Lambda-Runtime-Aws-Request-Id": request_id,
                "Lambda-Runtime-Deadline-Ms": str(deadline),
                "Lambda-Runtime-Invoked-Function-Arn": environment.program.arn,
                "Lambda-Runtime-Trace-Id": f"Root=1-{int(time.time()):x}-{uuid4().hex[:24]}",
            }
            self._reply(200, payload, headers)

        def do_POST(self) -> None:
            body = _read_body(self)
            *_, request_id, last = self.path.split("/")
            error = "Unhandled" if last == "error" else None
            environment.answer(request_id, Result(body, error))
            self._reply(202, b"", {})

        def _reply(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _read_body(handler: BaseHTTPRequestHandler) -> bytes:
    if "Content-Length" in handler.headers:
        return handler.rfile.read(int(handler.headers["Content-Length"]))
    chunks = []
    while size := int(handler.rfile.readline().partition(b";")[0], 16):
        chunks.append(handler.rfile.read(size))
        handler.rfile.readline()
    handler.rfile.readline()
    return b"".join(chunks)


def loopback() -> socket.socket:
    """A listener that any process of this network namespace reaches."""
    return socket.create_server(("127.0.0.1", 0))


def command(python: str, handler: str) -> Sequence[str]:
    """How Lambda's own runtime interface client is started."""
    return (python, "-m", "awslambdaric", handler)
