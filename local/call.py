"""One AWS API call as it came over HTTP: which service, which action, with what."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from botocore.exceptions import UnknownServiceError
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Mapping

# The service as signatures name it, where botocore names its model otherwise.
MODELS = {"monitoring": "cloudwatch", "email": "ses", "tagging": "resourcegroupstaggingapi"}
# A service of this protocol goes by method and path, whatever type the client calls the body; moto
# would refuse any other than this one.
REST_JSON, JSON = "rest-json", "application/json"


@dataclass(frozen=True)
class Call:
    """A call; `action` is botocore's operation name, `params` its parameters as far as they matter.

    `target` is the raw path with its query, as it was signed.
    """

    service: str
    action: str
    protocol: str
    region: str
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def query(self) -> dict[str, str]:
        """The query string's parameters."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


def signed_scope(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """(region, signing name) of a signed request, or None where there is no signature."""
    _, found, rest = headers.get("Authorization", "").partition("Credential=")
    scope = rest.split(",", 1)[0].strip().split("/")
    return (scope[2], scope[3]) if found and len(scope) == 5 else None  # noqa: PLR2004 (SigV4's scope)


def read(environ: dict[str, Any], body: bytes) -> Call | None:
    """The call in a WSGI request whose body was `body`; None where it is not signed."""
    request = Request(environ)
    scope = signed_scope(request.headers)
    if scope is None:
        return None
    region, signing_name = scope
    service = MODELS.get(signing_name, signing_name)
    target = request.raw_path
    if request.query_string:
        target += "?" + request.query_string.decode()
    protocol, action, params = _parse(service, request, body)
    return Call(
        service,
        action,
        protocol,
        region,
        request.method,
        target,
        dict(request.headers),
        body,
        params,
    )


def _parse(service: str, request: Request, body: bytes) -> tuple[str, str, Mapping[str, Any]]:
    try:
        model = get_service_model(service)
    except UnknownServiceError:
        return "json", "", {}
    header = request.headers.get("X-Amz-Target", "")
    if header:
        return "json", header.rsplit(".", 1)[-1], _json(body)
    if model.protocol in {"query", "ec2"}:
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        action = form.get("Action", "")
        return model.protocol, action, _structured(model, action, form, request)
    if model.protocol == REST_JSON:
        request = Request({**request.environ, "CONTENT_TYPE": JSON})
    try:
        operation, labels = get_service_router(service).match(request)
    except HTTPException:
        return model.protocol, "", {}
    params = {**(_json(body) if model.protocol == REST_JSON else {}), **labels}
    return model.protocol, operation.name, params


def _structured(
    model: Any, action: str, form: dict[str, str], request: Request
) -> Mapping[str, Any]:
    if action not in model.operation_names:
        return {}
    parser = PROTOCOL_PARSERS[model.protocol](model.operation_model(action))
    parsed: dict[str, Any] = parser.parse(
        {
            "method": request.method,
            "values": form,
            "headers": request.headers,
            "body": b"",
            "url_path": request.path,
            "url_params": {},
        }
    )
    return parsed


def _json(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
