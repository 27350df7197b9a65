"""API Gateway's front door: /{api id}/{stage}/path, signed for execute-api, answered by Lambda.

Source: API Gateway Developer Guide, "Control access to a REST API with IAM permissions" and "Input
format of a Lambda function for proxy integration".
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any
from urllib.parse import parse_qsl, unquote
from uuid import uuid4

from moto.apigateway.models import apigateway_backends
from moto.core.request import Request

from local import authz, callers
from local.callers import ACCOUNT, Caller
from local.edge import read_body
from local.errors import AwsError
from local.iam.policy import Need
from local.runtime_api import Result

Invoke = Callable[[str, bytes, str], Result]

INTEGRATION_SECONDS = 29.0  # "Amazon API Gateway quotas": integration time-out

_KINDS = {
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "UnrecognizedClient": "UnrecognizedClientException",
    "ExpiredToken": "ExpiredTokenException",
    "RequestExpired": "InvalidSignatureException",
    "InvalidSignature": "InvalidSignatureException",
}


class Gateway:
    """The WSGI application. It keeps nothing: routes are read from what is deployed now."""

    def __init__(self, invoke: Invoke, region: str) -> None:
        self._invoke = invoke
        self._region = region

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        body = read_body(environ)
        request_id = str(uuid4())
        headers = [("x-amzn-RequestId", request_id)]
        try:
            status, more, content = self._answer(Request(environ), body, request_id)
            headers += more
        except AwsError as error:
            status, content = error.status, json.dumps({"message": error.message}).encode()
            headers += [("Content-Type", "application/json"), ("x-amzn-ErrorType", error.code)]
        start(f"{status} Status", [*headers, ("Content-Length", str(len(content)))])
        return [content]

    def _answer(
        self, request: Any, body: bytes, request_id: str
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        api_id, _, rest = request.raw_path.removeprefix("/").partition("/")
        stage, _, rest = rest.partition("/")
        path = f"/{rest}"
        resource, method, labels = self._route(api_id, stage, request.method, path)
        identity = _nobody(request)
        if method.authorization_type == "AWS_IAM":
            caller = self._authenticate(request, body)
            route = f"{api_id}/{stage}/{request.method}{path}"
            arn = f"arn:aws:execute-api:{self._region}:{ACCOUNT}:{route}"
            if not authz.permits(caller, Need("execute-api:Invoke", arn)):
                raise AwsError(
                    "AccessDeniedException",
                    f"User: {caller.arn} is not authorized to perform: execute-api:Invoke on "
                    f"resource: {arn}",
                    403,
                )
            identity |= _identity(caller)
        event = _event(request, body, resource, labels) | {
            "path": unquote(path),
            "requestContext": {
                "resourceId": resource.id,
                "resourcePath": resource.get_path(),
                "httpMethod": request.method,
                "path": f"/{stage}{path}",
                "accountId": ACCOUNT,
                "apiId": api_id,
                "stage": stage,
                "requestId": request_id,
                "extendedRequestId": request_id,
                "protocol": "HTTP/1.1",
                "requestTimeEpoch": int(time.time() * 1000),
                "identity": identity,
            },
        }
        found = re.search(r":function:([^/:]+)", method.method_integration.uri)
        if found is None:
            raise _broken()
        return _response(self._run(found[1], json.dumps(event).encode()))

    def _run(self, function: str, payload: bytes) -> Result:
        """The function's answer, within API Gateway's own limit; the function itself goes on."""
        future: Future[Result] = Future()

        def work() -> None:
            try:
                future.set_result(self._invoke(function, payload, self._region))
            except Exception as error:  # noqa: BLE001 (handed to who waits)
                future.set_exception(error)

        threading.Thread(target=work, name=f"gateway {function}", daemon=True).start()
        try:
            return future.result(timeout=INTEGRATION_SECONDS)
        except TimeoutError as error:
            raise AwsError(
                "InternalServerErrorException", "Endpoint request timed out", 504
            ) from error
        except AwsError as error:
            raise _broken() from error

    def _route(
        self, api_id: str, stage: str, verb: str, path: str
    ) -> tuple[Any, Any, dict[str, str]]:
        api = apigateway_backends[ACCOUNT][self._region].apis.get(api_id)
        if api is None or stage not in api.stages:
            raise AwsError("ForbiddenException", "Forbidden", 403)
        # Literal paths win over those with labels.
        for resource in sorted(api.resources.values(), key=lambda each: each.get_path().count("{")):
            found = re.fullmatch(_pattern(resource.get_path()), path)
            methods = resource.resource_methods
            method = methods.get(verb) or methods.get("ANY")
            if found and method:
                return (
                    resource,
                    method,
                    {key: unquote(value) for key, value in found.groupdict().items()},
                )
        raise AwsError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)

    def _authenticate(self, request: Any, body: bytes) -> Caller:
        target = request.raw_path
        if request.query_string:
            target += "?" + request.query_string.decode()
        try:
            caller = callers.verify(request.method, target, dict(request.headers), body)
        except AwsError as error:
            raise AwsError(_KINDS[error.code], error.message, 403) from error
        if "/execute-api/aws4_request" not in request.headers["Authorization"]:
            message = "Credential should be scoped to correct service: 'execute-api'."
            raise AwsError("InvalidSignatureException", message, 403)
        return caller


def _pattern(path: str) -> str:
    """A resource's path as a regular expression; `{name+}` takes the rest."""
    parts = re.split(r"(\{\w+\+?\})", path)
    return "".join(
        re.escape(part)
        if not part.startswith("{")
        else f"(?P<{part[1:-2]}>.+)"
        if part.endswith("+}")
        else f"(?P<{part[1:-1]}>[^/]+)"
        for part in parts
    )


def _nobody(request: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("accessKey", "accountId", "caller", "user", "userArn"))
    agent = request.headers.get("User-Agent")
    return {**empty, "sourceIp": request.remote_addr, "userAgent": agent}


def _identity(caller: Caller) -> dict[str, Any]:
    """As API Gateway fills it: `caller` and `user` are unique ids, never names."""
    return {
        "accessKey": caller.access_key,
        "accountId": ACCOUNT,
        "caller": caller.unique_id,
        "user": caller.unique_id,
        "userArn": caller.arn,
    }


def _event(request: Any, body: bytes, resource: Any, labels: Mapping[str, str]) -> dict[str, Any]:
    multi: dict[str, list[str]] = {}
    for key, value in parse_qsl(request.query_string.decode(), keep_blank_values=True):
        multi.setdefault(key, []).append(value)
    headers = dict(request.headers)
    return {
        "resource": resource.get_path(),
        "httpMethod": request.method,
        "headers": headers,
        "multiValueHeaders": {key: [value] for key, value in headers.items()},
        "queryStringParameters": {key: values[-1] for key, values in multi.items()} or None,
        "multiValueQueryStringParameters": multi or None,
        "pathParameters": dict(labels) or None,
        "stageVariables": None,
        "body": body.decode() if body else None,
        "isBase64Encoded": False,
    }


def _response(result: Result) -> tuple[int, list[tuple[str, str]], bytes]:
    if result.error:
        raise _broken()
    try:
        answer = json.loads(result.payload)
        body = answer.get("body") or ""
        content = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
        headers = list((answer.get("headers") or {}).items())
        for key, values in (answer.get("multiValueHeaders") or {}).items():
            headers += [(key, value) for value in values]
        return int(answer["statusCode"]), [(key, str(value)) for key, value in headers], content
    except (ValueError, KeyError, AttributeError) as error:
        raise _broken() from error


def _broken() -> AwsError:
    """What API Gateway says of a function that fails or answers nonsense."""
    return AwsError("InternalServerErrorException", "Internal server error", 502)
