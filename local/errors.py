"""AWS's own errors: a code, a sentence and an HTTP status, written as each protocol writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from uuid import uuid4
from xml.sax.saxutils import escape

# Statuses other than 400. Sources: "Error codes for the Amazon EC2 API" (client and server errors),
# each service's "Common Errors".
STATUS = {
    "AccessDenied": 403,
    "AuthFailure": 401,
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted": 403,
    "DryRunOperation": 412,
    "InsufficientInstanceCapacity": 500,
    "InternalError": 500,
    "InternalFailure": 500,
    "InternalServerError": 500,
    "InvalidAccessKeyId": 403,
    "InvalidClientTokenId": 403,
    "NotImplemented": 501,
    "OptInRequired": 401,
    "RequestLimitExceeded": 503,
    "RequestTimeTooSkewed": 403,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
    "SlowDown": 503,
    "TooManyRequestsException": 429,
    "UnauthorizedOperation": 403,
    "Unavailable": 503,
}


class AwsError(Exception):
    """A refusal in AWS's words; the edge writes it in the protocol of the call."""

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status or STATUS.get(code, 400)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: status, headers in order, body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def write(error: AwsError, protocol: str) -> Answer:
    """The error as `protocol` (botocore's name for it) has it."""
    request_id = str(uuid4())
    code, message = escape(error.code), escape(error.message)
    if protocol == "ec2":
        body = (
            f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error>"
            f"</Errors><RequestID>{request_id}</RequestID></Response>"
        )
        return _xml(error.status, body, request_id)
    if protocol == "query":
        body = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}"
            f"</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        return _xml(error.status, body, request_id)
    if protocol == "rest-xml":
        body = (
            f"<Error><Code>{code}</Code><Message>{message}</Message>"
            f"<RequestId>{request_id}</RequestId></Error>"
        )
        return _xml(error.status, body, request_id)
    text = json.dumps({"__type": error.code, "message": error.message})
    headers = (
        ("Content-Type", "application/x-amz-json-1.0"),
        ("x-amzn-ErrorType", error.code),
        ("x-amzn-RequestId", request_id),
    )
    return Answer(error.status, headers, text.encode())


def _xml(status: int, body: str, request_id: str) -> Answer:
    text = '<?xml version="1.0" encoding="UTF-8"?>\n' + body
    headers = (("Content-Type", "text/xml"), ("x-amz-request-id", request_id))
    return Answer(status, headers, text.encode())
