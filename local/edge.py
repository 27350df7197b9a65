"""AWS's front door: every API call is signed, may be refused or struck, and then goes to moto."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from local import authz, call, callers
from local.errors import Answer, AwsError, write

if TYPE_CHECKING:
    from local.call import Call
    from local.callers import Caller
    from local.faults import Faults
    from local.runtime_api import Environment

log = logging.getLogger(__name__)

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Runner = Callable[[str], "Environment | None"]  # of an access key: the process that has it

_REASONS = {200: "OK"}
# These ask for faults themselves, once they know zone and type.
_PLACED = {("ec2", "RunInstances")}


class Edge:
    """The WSGI application in front of moto's; remembers the last calls for whoever counts them."""

    def __init__(self, moto: Wsgi, faults: Faults, runner: Runner) -> None:
        self._moto = moto
        self._faults = faults
        self._runner = runner
        self._lock = threading.Lock()
        self._calls: deque[dict[str, Any]] = deque(maxlen=20_000)

    def calls(self) -> list[dict[str, Any]]:
        """The calls so far: service, action, caller's ARN, status, time."""
        with self._lock:
            return list(self._calls)

    def forget_calls(self) -> None:
        """Start counting anew."""
        with self._lock:
            self._calls.clear()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        body = read_body(environ)
        answer = self._answer(environ, body)
        start(f"{answer.status} {_REASONS.get(answer.status, 'Status')}", list(answer.headers))
        return [answer.body]

    def _answer(self, environ: dict[str, Any], body: bytes) -> Answer:
        request = call.read(environ, body)
        if request is None or not request.action:
            # Nothing of AWS's is open to the unsigned, and moto's own pages are no part of AWS.
            protocol = "query" if b"Action=" in body else "rest-xml"
            return write(AwsError("AccessDenied", "Access Denied"), protocol)
        caller = None
        try:
            try:
                caller = callers.verify(request.method, request.target, request.headers, body)
            except AwsError as error:
                raise callers.worded(error, request.protocol) from None
            self._kill(caller, request, after=False)
            if (request.service, request.action) not in _PLACED:
                self._faults.strike(request.service, request.action, after=False)
            authz.check(caller, request)
            callers.acting.set(caller)
            answer = self._forward(environ, body, request.protocol)
            self._kill(caller, request, after=True)
            self._faults.strike(request.service, request.action, after=True)
        except AwsError as error:
            answer = write(error, request.protocol)
        except Exception:
            log.exception("%s:%s failed inside the account", request.service, request.action)
            message = f"The local account cannot do {request.service}:{request.action} like this."
            answer = write(AwsError("NotImplemented", message), request.protocol)
        self._remember(request, caller.arn if caller else "", answer.status)
        return answer

    def _kill(self, caller: Caller, request: Call, *, after: bool) -> None:
        """Kill the function's process that waits for this answer, if that is wanted."""
        process = self._runner(caller.access_key)
        if process is None:
            return
        name = process.program.name
        if self._faults.kills(request.service, request.action, after=after, function=name):
            process.crash()
            when = "after" if after else "before"
            log.warning("%s was killed %s %s:%s", name, when, request.service, request.action)
            raise AwsError("InternalFailure", "Nobody is left to hear this.", 500)

    def _forward(self, environ: dict[str, Any], body: bytes, protocol: str) -> Answer:
        inner = dict(environ)
        if protocol == call.REST_JSON and body:
            inner["CONTENT_TYPE"] = call.JSON
        inner["wsgi.input"] = io.BytesIO(body)
        inner["CONTENT_LENGTH"] = str(len(body))
        inner.pop("HTTP_TRANSFER_ENCODING", None)
        inner.pop("wsgi.input_terminated", None)
        head: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], _info: object = None) -> None:
            head[:] = [int(status.split(maxsplit=1)[0]), tuple(headers)]

        chunks = self._moto(inner, start)
        try:
            content = b"".join(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close:
                close()
        return Answer(head[0], head[1], content)

    def _remember(self, request: Call, arn: str, status: int) -> None:
        entry = {
            "service": request.service,
            "action": request.action,
            "caller": arn,
            "status": status,
            "at": time.time(),
        }
        with self._lock:
            self._calls.append(entry)


def read_body(environ: dict[str, Any]) -> bytes:
    """The whole body of a WSGI request."""
    length, chunked = environ.get("CONTENT_LENGTH"), environ.get("wsgi.input_terminated")
    if not length and not chunked:
        return b""
    # The server ends a chunked body by itself.
    return bytes(environ["wsgi.input"].read(int(length) if length else -1))
