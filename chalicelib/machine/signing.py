"""AWS Signature Version 4 for S3, in the headers.

Written for the standard library because curl's own signing leaves the session token's header out in
versions still in use, and an AWS command line is on few images. Source: AWS General Reference,
'Create a signed AWS API request'; S3 does not normalise paths and wants the payload's hash.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from .metadata import Credentials


def path_of(*segments: str) -> str:
    """A URL path of unquoted segments; a slash inside a key stays a slash."""
    return "/" + "/".join(quote(segment, safe="/~") for segment in segments)


def sign(
    method: str,
    host: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
    *,
    region: str,
    credentials: Credentials,
    now: float,
) -> dict[str, str]:
    """All headers to send: `headers` and those that sign them; `path` is quoted already."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    digest = hashlib.sha256(body).hexdigest()
    signed = {
        **{name.lower(): value.strip() for name, value in headers.items()},
        "host": host,
        "x-amz-content-sha256": digest,
        "x-amz-date": stamp,
        "x-amz-security-token": credentials.session_token,
    }
    names = sorted(signed)
    canonical = "\n".join(
        [
            method,
            path,
            "",
            *(f"{name}:{signed[name]}" for name in names),
            "",
            ";".join(names),
            digest,
        ]
    )
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    text = "\n".join(
        ["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = ("AWS4" + credentials.secret_key).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signed["authorization"] = (
        "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={}".format(
            credentials.access_key,
            scope,
            ";".join(names),
            hmac.new(key, text.encode(), hashlib.sha256).hexdigest(),
        )
    )
    return signed
