"""One bucket, with the instance role's credentials: an object fetched when changed, one written."""

from __future__ import annotations

import http.client
import os
import re
import ssl
import time
from dataclasses import dataclass, field
from typing import Callable
from urllib.parse import urlsplit

from .metadata import Credentials, Metadata, MetadataError
from .signing import path_of, sign

# For a connection and for each wait on it: the watcher, who must act in time, waits as well.
TIMEOUT = 6
OK, NOT_MODIFIED, FORBIDDEN = 200, 304, 403
# The instance role's credentials were replaced, or the clock was set since they were signed.
STALE = {"ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "TokenRefreshRequired"}


class S3Error(Exception):
    """S3 could not be asked, or refused; a sentence with S3's own code and no secret."""


@dataclass(frozen=True)
class Fetched:
    """An object's content and its ETag, for `If-None-Match` next time."""

    body: bytes = field(repr=False)
    etag: str


class S3:
    """The configuration bucket as this machine may use it.

    `AWS_ENDPOINT_URL_S3` and `AWS_ENDPOINT_URL` are honoured (with the bucket in the path); `owner`
    is the account that must own the bucket, or empty.
    """

    def __init__(
        self,
        bucket: str,
        region: str,
        metadata: Metadata,
        *,
        domain: str = "amazonaws.com",
        owner: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        self._url = urlsplit(endpoint or f"https://{bucket}.s3.{region}.{domain}")
        self._prefix: tuple[str, ...] = (bucket,) if endpoint else ()
        self._region = region
        self._metadata = metadata
        self._headers = {"x-amz-expected-bucket-owner": owner} if owner else {}
        self._now = now

    def get(self, key: str, etag: str = "") -> Fetched | None:
        """The object, or None where it still is the one with `etag`; raises `S3Error`."""
        code, body, found = self._ask("GET", key, b"", {"if-none-match": etag} if etag else {})
        if code == NOT_MODIFIED:
            return None
        if code == OK:
            return Fetched(body, found)
        raise S3Error(_sentence("read", key, code, body))

    def put(self, key: str, body: bytes) -> None:
        """Write an object of JSON; raises `S3Error`."""
        code, answer, _ = self._ask("PUT", key, body, {"content-type": "application/json"})
        if code != OK:
            raise S3Error(_sentence("write", key, code, answer))

    def _ask(
        self, method: str, key: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, bytes, str]:
        for attempt in range(2):
            try:
                code, answer, etag = self._send(
                    method, key, body, headers, self._metadata.credentials()
                )
            except MetadataError as error:
                raise S3Error(str(error)) from None
            except (OSError, http.client.HTTPException) as error:
                raise S3Error(
                    f"S3 at {self._url.netloc} cannot be reached ({_plain(error)})."
                ) from None
            if attempt or code not in (400, FORBIDDEN) or _code(answer) not in STALE:
                break
            self._metadata.forget_credentials()
        return code, answer, etag

    def _send(
        self, method: str, key: str, body: bytes, headers: dict[str, str], credentials: Credentials
    ) -> tuple[int, bytes, str]:
        path = path_of(*self._prefix, key)
        signed = sign(
            method,
            self._url.netloc,
            path,
            body,
            {**headers, **self._headers},
            region=self._region,
            credentials=credentials,
            now=self._now(),
        )
        if self._url.scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._url.netloc, timeout=TIMEOUT, context=ssl.create_default_context()
            )
        else:
            connection = http.client.HTTPConnection(self._url.netloc, timeout=TIMEOUT)
        try:
            connection.request(method, path, body or None, signed)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers.get("ETag", "")
        finally:
            connection.close()


def _code(answer: bytes) -> str:
    found = re.search(rb"<Code>(\w+)</Code>", answer)
    return found.group(1).decode() if found else ""


def _plain(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:120]


def _sentence(verb: str, key: str, code: int, answer: bytes) -> str:
    # The configuration's key is half a secret: only its folder is told.
    folder = key.split("/", maxsplit=1)[0]
    return f"S3 refused to {verb} an object of {folder}/ ({code} {_code(answer)})."
