"""The instance metadata service, version 2 (a session token first), over IPv4."""

from __future__ import annotations

import http.client
import json
import os
import time
from dataclasses import dataclass, field
from typing import Callable
from urllib.parse import urlsplit

from .parameters import parse_time

ADDRESS = "http://169.254.169.254"
TOKEN_SECONDS = 21600  # the longest that the service gives
OK, NOT_FOUND, UNAUTHORIZED = 200, 404, 401


class MetadataError(Exception):
    """The service did not answer, or not as it should; the text says what was asked."""


@dataclass(frozen=True)
class Credentials:
    """The instance role's credentials; `expires` is a Unix time."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires: int = 0


class Metadata:
    """A client of the service; `AWS_EC2_METADATA_SERVICE_ENDPOINT` moves it, as in AWS's SDKs."""

    def __init__(self, endpoint: str | None = None, now: Callable[[], float] = time.time) -> None:
        given = endpoint or os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or ADDRESS
        self._host = urlsplit(given).netloc
        self._now = now
        self._token: str | None = None
        self._credentials: Credentials | None = None

    def get(self, path: str) -> str | None:
        """`latest/PATH` as text, or None where there is no such thing; raises `MetadataError`."""
        for _ in range(2):  # a token may have run out
            if self._token is None:
                code, body = self._ask(
                    "PUT",
                    "api/token",
                    {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)},
                )
                if code != OK:
                    raise MetadataError(f"The metadata service gave no token ({code}).")
                self._token = body
            code, body = self._ask("GET", path, {"X-aws-ec2-metadata-token": self._token})
            if code == OK:
                return body
            if code == NOT_FOUND:
                return None
            if code == UNAUTHORIZED:
                self._token = None
        raise MetadataError(f"The metadata service answered {code} to {path}.")

    def need(self, path: str) -> str:
        """As `get`, but what is missing is a `MetadataError` too."""
        found = self.get(path)
        if found is None:
            raise MetadataError(f"The metadata service has no {path}.")
        return found

    def credentials(self) -> Credentials:
        """The role's credentials, kept until five minutes before they run out."""
        kept = self._credentials
        if kept is None or kept.expires - 300 < self._now():
            role = self.need("meta-data/iam/security-credentials/").split()[0]
            given = json.loads(self.need("meta-data/iam/security-credentials/" + role))
            if given.get("Code", "Success") != "Success":
                raise MetadataError(
                    "The instance role has no credentials ({}).".format(given["Code"])
                )
            kept = self._credentials = Credentials(
                given["AccessKeyId"],
                given["SecretAccessKey"],
                given["Token"],
                parse_time(given["Expiration"]),
            )
        return kept

    def forget_credentials(self) -> None:
        """Fetch them anew at the next use: S3 has refused them."""
        self._credentials = None

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self._host, timeout=5)
        try:
            connection.request(method, "/latest/" + path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise MetadataError(
                f"The metadata service does not answer ({type(error).__name__})."
            ) from None
        finally:
            connection.close()
