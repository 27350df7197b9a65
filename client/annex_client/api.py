"""The control plane: signed calls, repeated with the same request id where the answer was lost."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from annex_client import views
from annex_client.errors import (
    AwsTrouble,
    BadInput,
    ClientError,
    Conflict,
    NotFound,
    Refused,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.credentials import ReadOnlyCredentials

    from annex_client.context import Clock

# API Gateway answers within 29 s or gives up; one second more and nothing will come.
_TIMEOUT_SECONDS = (5, 31)
# Waits between repetitions. A lost answer is asked for again: the request id makes that harmless.
_PAUSES = (0.5, 1.0, 2.0, 4.0)
_TRIES_UNREACHABLE = 2  # where nobody listens at all
_AGAIN = (429, 500, 502, 503, 504)
_HOST = re.compile(
    r"https://(?P<id>[a-z0-9]+)\.execute-api\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?"
    r"/(?P<stage>[A-Za-z0-9_-]+)/?"
)


class Unanswered(AwsTrouble):
    """The request may have arrived; its answer did not."""

    code = "Unanswered"


@dataclass(frozen=True)
class Endpoint:
    """Where requests go, and the region they are signed for."""

    url: str
    region: str


def endpoint(api_url: str, region: str, environ: Mapping[str, str]) -> Endpoint:
    """The address behind `api_url`.

    AWS_ENDPOINT_URL_EXECUTE_API stands for the host, as AWS's own variables of that form do, and
    is followed by the API's id and stage.

    Raises:
        BadInput: the address belongs to another region than the one asked for.
    """
    match = _HOST.fullmatch(api_url)
    if match is None:
        return Endpoint(api_url.rstrip("/"), region)
    if match["region"] != region:
        raise BadInput(
            f"The annex that is set up here is in {match['region']}, not in {region}: leave the"
            f" region out, or run 'annex-client setup --region {region}' for another one."
        )
    other = environ.get("AWS_ENDPOINT_URL_EXECUTE_API")
    if other:
        return Endpoint(f"{other.rstrip('/')}/{match['id']}/{match['stage']}", region)
    return Endpoint(api_url.rstrip("/"), region)


class Api:
    """The control plane's routes (docs/architecture.md)."""

    def __init__(self, where: Endpoint, credentials: ReadOnlyCredentials, clock: Clock) -> None:
        self._where = where
        self._credentials = credentials
        self._clock = clock
        self._http: Any = None

    def start(self, body: dict[str, Any]) -> views.Started:
        """POST /annexes.

        Raises:
            ClientError: by the control plane's answer.
            Unanswered: nobody knows what became of it; the same body may be sent again.
        """
        return views.started(self._call("POST", "/annexes", body, annex=body["name"]))

    def annexes(self) -> views.Annexes:
        """GET /annexes: the caller's, newest first."""
        return views.annexes(self._call("GET", "/annexes"))

    def annex(self, name: str) -> views.Annex:
        """GET /annexes/{name}.

        Raises:
            NotFound: there is none, or it is somebody else's.
        """
        return views.annex(self._call("GET", _path(name), annex=name))

    def find(self, name: str) -> views.Annex | None:
        """The caller's annex of that name, or None."""
        try:
            return self.annex(name)
        except NotFound:
            return None

    def renew(self, name: str, body: dict[str, Any]) -> views.Renewed:
        """PATCH /annexes/{name}."""
        return views.renewed(self._call("PATCH", _path(name), body, annex=name))

    def stop(self, name: str) -> views.Annex:
        """DELETE /annexes/{name}."""
        return views.annex(self._call("DELETE", _path(name), annex=name))

    def setup_report(self) -> dict[str, Any]:
        """GET /setup."""
        return self._call("GET", "/setup")

    def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None, annex: str | None = None
    ) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        try:
            return self._tried(method, path, data)
        except ClientError as error:
            error.annex = error.annex or annex
            error.request_id = error.request_id or (body or {}).get("request_id")
            raise

    def _tried(self, method: str, path: str, data: bytes | None) -> dict[str, Any]:
        unsure = False
        for tries, pause in enumerate((*_PAUSES, None)):
            try:
                status, answer = self._send(method, path, data)
            except _Lost as lost:
                if pause is None or (not lost.connected and tries >= _TRIES_UNREACHABLE - 1):
                    raise _gave_up(self._where.url, lost) from None
            else:
                if status < 400:  # noqa: PLR2004 - HTTP's own
                    return self._parsed(answer)
                if status not in _AGAIN or pause is None:
                    error = error_of(status, answer)
                    if unsure and not error.told and not isinstance(error, AwsTrouble):
                        # An earlier try of this request may have been carried out nevertheless.
                        raise Unanswered(error.message)
                    raise error
            unsure = method != "GET"
            self._clock.sleep(pause)
        raise AssertionError  # the last turn returns or raises

    def _send(self, method: str, path: str, data: bytes | None) -> tuple[int, bytes]:
        import botocore.exceptions as problems  # noqa: PLC0415 - slow to import
        from botocore.auth import SigV4Auth  # noqa: PLC0415
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415
        from botocore.httpsession import URLLib3Session  # noqa: PLC0415
        from botocore.utils import get_environ_proxies  # noqa: PLC0415

        url = self._where.url + path
        if self._http is None:
            self._http = URLLib3Session(
                # botocore's stubs know no pair of time-outs; botocore does.
                timeout=_TIMEOUT_SECONDS,  # type: ignore[arg-type]
                proxies=get_environ_proxies(url),
            )
        request = AWSRequest(
            method=method, url=url, data=data, headers={"Content-Type": "application/json"}
        )
        # Each attempt is signed anew: a signature is good for five minutes only.
        SigV4Auth(self._credentials, "execute-api", self._where.region).add_auth(request)
        try:
            answer = self._http.send(request.prepare())
        except (problems.EndpointConnectionError, problems.ConnectTimeoutError) as error:
            raise _Lost(_brief(error), connected=False) from None
        except problems.HTTPClientError as error:
            raise _Lost(_brief(error), connected=True) from None
        return answer.status_code, answer.content

    def _parsed(self, answer: bytes) -> dict[str, Any]:
        try:
            value = json.loads(answer)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise AwsTrouble(
                f"Whatever answers at {self._where.url} is not the annex's control plane.  Check"
                " ANNEX_DEFAULT_API_URL in ~/.condor/user_config."
            )
        return value


class _Lost(Exception):
    def __init__(self, why: str, *, connected: bool) -> None:
        super().__init__(why)
        self.connected = connected


def error_of(status: int, answer: bytes) -> ClientError:
    """The error that an HTTP answer stands for."""
    try:
        body = json.loads(answer)
    except ValueError:
        body = {}
    told = body.get("error") if isinstance(body, dict) else None
    if isinstance(told, dict) and told.get("message"):
        code, message = str(told.get("code", "")), str(told["message"])
    else:  # API Gateway's own answers
        told = {}
        if _no_such_api(status, body):
            return AwsTrouble(_NO_API, code="NotDeployed")
        code, message = "", _gateway_message(status, body)
    kind = _KINDS.get(status, ClientError if status < 500 else AwsTrouble)  # noqa: PLR2004
    if code in ("NoCapacity", "QuotaExceeded"):
        kind = Refused
    error = kind(message, code=code or None)
    error.told = bool(code)
    error.annex, error.request_id = told.get("annex"), told.get("request_id")
    return error


_KINDS: dict[int, type[ClientError]] = {
    400: BadInput,
    403: Refused,
    404: NotFound,
    409: Conflict,
    413: BadInput,
    422: BadInput,
    429: AwsTrouble,
}


_NO_API = (
    "There is no control plane at the address in ANNEX_DEFAULT_API_URL any more.  Machines still"
    " end by their leases.  Ask whoever administers the AWS account: 'annex-client setup' brings it"
    " back and writes its address, which is another one then."
)


def _no_such_api(status: int, body: Any) -> bool:  # noqa: ANN401 - any JSON
    """Whether API Gateway knows no such API or stage: it says so by this one word alone.

    Who may not call an API that is there is told more: which user, or what of the signature.
    """
    return status == 403 and isinstance(body, dict) and body.get("message") == "Forbidden"  # noqa: PLR2004


def _gateway_message(status: int, body: Any) -> str:  # noqa: ANN401 - any JSON
    said = ""
    if isinstance(body, dict):
        said = str(body.get("message") or body.get("Message") or "")
    if status == 403:  # noqa: PLR2004
        if "Missing Authentication Token" in said:
            return (
                "The control plane has no such route: the address in ANNEX_DEFAULT_API_URL is"
                " wrong, or the functions are older than this client."
            )
        return (
            f"AWS refused the request{f' ({said})' if said else ''}.  The AWS user or role needs"
            " the managed policy htcondor-annex-user, valid keys and a clock that is right.  After"
            " a teardown and a new setup the policy is given anew, and the address is another."
        )
    if status >= 500 or status == 429:  # noqa: PLR2004
        return (
            f"The control plane is in trouble (HTTP {status}{f', {said}' if said else ''}).  Try"
            " again in a minute; 'annex-client check-setup' says more."
        )
    return f"The control plane answered HTTP {status}{f': {said}' if said else ''}."


def _gave_up(url: str, lost: _Lost) -> ClientError:
    if lost.connected:
        return Unanswered(f"The connection to the control plane at {url} broke ({lost}).")
    return AwsTrouble(
        f"The control plane at {url} cannot be reached ({lost}).  Check the network, and with"
        " 'annex-client check-setup' whether the annex is still set up."
    )


def _brief(error: Exception) -> str:
    """The kind of network trouble; botocore's texts repeat the whole URL."""
    inner = getattr(error, "kwargs", {}).get("error")
    return str(inner or error).rsplit(": ", 1)[-1][:200]


def _path(name: str) -> str:
    return f"/annexes/{quote(name, safe='')}"
