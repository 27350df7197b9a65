"""From HTTP to a handler and back: parse, call, answer; every refusal has the same shape."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec

from . import wire
from .asking import Asked
from .check import Check
from .errors import AnnexError, BadRequest, Forbidden
from .ids import AnnexName, CallerId, RequestId
from .renew import Renew
from .show import Show
from .start import Start
from .stop import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .services import Services

_T = TypeVar("_T", wire.StartRequest, wire.RenewRequest)
_WITHOUT = "-"
_NAMES = (
    "An annex's name has 1 to 64 letters, digits, '.', '_' or '-', and begins with a letter or "
    "digit."
)
_CREATED, _ACCEPTED, _OK = 201, 202, 200


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is used of API Gateway's event. `caller` is the signed identity's unique id."""

    method: str
    resource: str
    parameters: Mapping[str, str]
    body: bytes
    caller: str | None
    gateway_request_id: str


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status and JSON."""

    status: int
    body: bytes


@dataclass(frozen=True)
class Api:
    """The routes of docs/architecture.md."""

    services: Services

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """Answer any request; whatever goes wrong is an `ErrorAnswer`."""
        try:
            return self._routed(request)
        except AnnexError as error:
            refusal = error
        except Exception as error:  # noqa: BLE001  the one place where a defect becomes an answer
            self.services.journal.trouble("defect", error)
            self.services.journal.count("Defects")
            refusal = AnnexError(
                "The control plane met a defect of its own; the log of the function has it under "
                f"request {request.gateway_request_id}. Repeating is safe."
            )
        annex, request_id = _named(request)
        body = wire.ErrorBody(
            code=refusal.code,
            message=refusal.message,
            annex=refusal.annex or annex,
            request_id=request_id or request.gateway_request_id,
        )
        self.services.journal.fact(
            "refused",
            code=body.code,
            said=body.message,
            annex=body.annex,
            client_request_id=request_id,
        )
        return _json(refusal.status, wire.ErrorAnswer(body))

    def _routed(self, request: HttpRequest) -> HttpAnswer:
        caller = _caller(request)
        route, name = f"{request.method} {request.resource}", request.parameters.get("name")
        if route == "POST /annexes":
            start = _decode(request.body, wire.StartRequest)
            return self._start(_asked(caller, start, ""), start)
        if route == "PATCH /annexes/{name}":
            renew = _decode(request.body, wire.RenewRequest)
            asked = _asked(caller, renew, name or "")
            return _json(_OK, Renew(self.services)(asked, _name(name), renew))
        return _json(_OK, self._plain(route, caller, name))

    def _start(self, asked: Asked, request: wire.StartRequest) -> HttpAnswer:
        answer = Start(self.services)(asked, request)
        status = _ACCEPTED if answer.pending else _OK if request.dry_run else _CREATED
        return _json(status, answer)

    def _plain(self, route: str, caller: CallerId, annex: str | None) -> msgspec.Struct:
        handlers: dict[str, Callable[[], msgspec.Struct]] = {
            "GET /annexes": lambda: Show(self.services).all(caller),
            "GET /annexes/{name}": lambda: Show(self.services).one(caller, _name(annex)),
            "DELETE /annexes/{name}": lambda: Stop(self.services)(caller, _name(annex)),
            "GET /setup": lambda: Check(self.services)(caller),
        }
        if route not in handlers:
            raise BadRequest(f"There is no route {route}.")
        return handlers[route]()


def _caller(request: HttpRequest) -> CallerId:
    if not request.caller:
        raise Forbidden("The request is not signed by an AWS identity.")
    return CallerId(request.caller)


def _name(text: str | None) -> AnnexName:
    try:
        return AnnexName(msgspec.convert(text, wire.Name))
    except msgspec.ValidationError as error:
        raise BadRequest(_NAMES) from error


def _decode(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if str(error).endswith("`$.name`"):
            raise BadRequest(_NAMES) from None
        # msgspec's words name the field and what is expected, never the value.
        raise BadRequest(f"The request cannot be read: {error}.") from None


def _named(request: HttpRequest) -> tuple[str | None, str | None]:
    """Annex and request id as far as they can be read, also where the rest of the body cannot."""
    try:
        body = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = None
    fields = body if isinstance(body, dict) else {}
    name = request.parameters.get("name") or fields.get("name")
    return _valid(name, wire.Name), _valid(fields.get("request_id"), wire.RequestId)


def _valid(text: object, kind: object) -> str | None:
    """The text if it is one of its kind: a field may hold anything, and a secret, too."""
    try:
        return str(msgspec.convert(text, kind))
    except msgspec.ValidationError:
        return None


def _asked(caller: CallerId, request: wire.StartRequest | wire.RenewRequest, annex: str) -> Asked:
    """The request's identity: all of it but the token, which a repeat may have fetched anew."""
    kept = msgspec.structs.replace(request, token=_WITHOUT)
    text = msgspec.json.encode([type(kept).__name__, annex, kept], order="sorted")
    return Asked(caller, RequestId(request.request_id), hashlib.sha256(text).hexdigest())


def _json(status: int, body: msgspec.Struct) -> HttpAnswer:
    return HttpAnswer(status, msgspec.json.encode(body))
