"""Who signed a request: SigV4 checked against the keys that IAM and STS have given out."""

from __future__ import annotations

import json
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, cast

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.iam.models import Policy, iam_backends
from moto.sts.models import sts_backends

from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCOUNT = "123456789012"
# AWS refuses what was signed more than five minutes ago (API Gateway, EC2) or fifteen (S3).
SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class Caller:
    """A signed identity: `unique_id` is AIDA... for a user, AROA...:SESSION for an assumed role."""

    access_key: str
    arn: str
    unique_id: str
    policies: tuple[Mapping[str, Any], ...]
    # A permissions boundary or a session policy: each must allow, too.
    limits: tuple[tuple[Mapping[str, Any], ...], ...] = ()
    user_name: str | None = None
    role_arn: str | None = None
    tags: tuple[tuple[str, str], ...] = ()

    def context(self) -> dict[str, str]:
        """The condition keys that every request of this caller has."""
        keys = {
            "aws:userid": self.unique_id,
            "aws:PrincipalArn": self.role_arn or self.arn,
            "aws:PrincipalAccount": ACCOUNT,
            "aws:PrincipalType": "AssumedRole" if self.role_arn else "User",
            "aws:CurrentTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "aws:SecureTransport": "false",
        }
        if self.user_name:
            keys["aws:username"] = self.user_name
        keys.update({f"aws:PrincipalTag/{key}": value for key, value in self.tags})
        return keys


# Who is calling, for what a service checks or makes on the caller's behalf; set at the edge.
acting: ContextVar[Caller | None] = ContextVar("acting", default=None)


@dataclass(frozen=True)
class _Key:
    secret: str
    token: str | None
    caller: Caller


def verify(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Caller:
    """The caller of a signed request.

    Raises:
        AwsError: MissingAuthenticationToken, UnrecognizedClient, ExpiredToken, RequestExpired or
            InvalidSignature; `worded` turns these into the words of a service.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    fields = _fields(lower.get("authorization", ""))
    access_key, _, region, service, _ = fields["Credential"].split("/")
    date = lower.get("x-amz-date", "")
    _check_date(date)
    key = _find(access_key)
    if key is None or key.token != lower.get("x-amz-security-token"):
        raise AwsError(
            "UnrecognizedClient", "The security token included in the request is invalid."
        )
    digest = lower.get("x-amz-content-sha256", "")
    whole = len(digest) == sha256().digest_size * 2 and sha256(body).hexdigest() == digest
    if service == "s3" and not (whole or digest.startswith(("STREAMING-", "UNSIGNED-"))):
        raise AwsError("InvalidSignature", "The body does not match its signed digest.")
    signed = set(fields["SignedHeaders"].split(";"))
    request = AWSRequest(
        method=method,
        url=f"http://{lower.get('host', '')}{target}",
        data=body,
        headers={name: value for name, value in headers.items() if name.lower() in signed},
    )
    request.context["timestamp"] = date
    # The token is among the signed headers already, so it is not handed to the signer.
    auth_class = S3SigV4Auth if service == "s3" else SigV4Auth
    auth = auth_class(Credentials(access_key, key.secret), service, region)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    if not compare_digest(auth.signature(text, request), fields["Signature"]):
        raise AwsError(
            "InvalidSignature",
            "The request signature we calculated does not match the signature you provided.",
        )
    return key.caller


# Each failure of `verify` in each family's words: "Error codes for the Amazon EC2 API", S3's "Error
# responses", and the "Common Errors" of the query and JSON services.
_WORDS = {
    "ec2": ("AuthFailure", "AuthFailure", "RequestExpired", "RequestExpired", "AuthFailure"),
    "rest-xml": (
        "AccessDenied",
        "InvalidAccessKeyId",
        "ExpiredToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    ),
    "query": (
        "MissingAuthenticationToken",
        "InvalidClientTokenId",
        "ExpiredToken",
        "SignatureDoesNotMatch",
        "SignatureDoesNotMatch",
    ),
    "json": (
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
        "ExpiredTokenException",
        "InvalidSignatureException",
        "InvalidSignatureException",
    ),
}
_KINDS = (
    "MissingAuthenticationToken",
    "UnrecognizedClient",
    "ExpiredToken",
    "RequestExpired",
    "InvalidSignature",
)


def worded(error: AwsError, protocol: str) -> AwsError:
    """`error` of `verify` in the words of the services that speak `protocol`."""
    words = _WORDS.get(protocol, _WORDS["json"])
    code = words[_KINDS.index(error.code)]
    return AwsError(code, error.message, 401 if protocol == "ec2" else 403)


def role_caller(role: Any, session: str, access_key: str, session_policy: str | None) -> Caller:
    """The caller that a session of moto's `role` is."""
    backend = iam_backends[ACCOUNT]["aws"]
    inline = [
        backend.get_role_policy(role.name, name)[1]
        for name in backend.list_role_policies(role.name)
    ]
    managed, _ = backend.list_attached_role_policies(role.name)
    limits = [_boundary(role.permissions_boundary_arn)] if role.permissions_boundary_arn else []
    if session_policy:
        limits.append((json.loads(session_policy),))
    return Caller(
        access_key=access_key,
        arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/{role.name}/{session}",
        unique_id=f"{role.id}:{session}",
        policies=tuple(_document(policy) for policy in [*inline, *managed]),
        limits=tuple(limits),
        role_arn=role.arn,
        tags=tuple((tag["Key"], tag["Value"]) for tag in role.tags or ()),
    )


def _fields(authorization: str) -> dict[str, str]:
    algorithm, _, rest = authorization.partition(" ")
    pairs = (part.strip().partition("=") for part in rest.split(","))
    fields = {name: value for name, _, value in pairs}
    complete = {"Credential", "SignedHeaders", "Signature"} <= fields.keys()
    if algorithm != "AWS4-HMAC-SHA256" or not complete or fields["Credential"].count("/") != 4:  # noqa: PLR2004 (SigV4's scope)
        raise AwsError("MissingAuthenticationToken", "Missing Authentication Token")
    return fields


def _check_date(date: str) -> None:
    try:
        signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise AwsError("InvalidSignature", "Date in Amazon's format is missing.") from None
    if abs(datetime.now(UTC) - signed_at) > SKEW:
        raise AwsError("RequestExpired", f"Signature expired or not yet current: {date}")


def _find(access_key: str) -> _Key | None:
    backend = iam_backends[ACCOUNT]["aws"]
    for session in reversed(sts_backends[ACCOUNT]["aws"].assumed_roles):
        if session.access_key_id == access_key:
            return _session_key(session)
    for user in list(backend.users.values()):
        for key in user.access_keys:
            if key.access_key_id == access_key and key.status == "Active":
                return _Key(key.secret_access_key, None, _user_caller(user, access_key))
    return None


def _session_key(session: Any) -> _Key | None:
    if session.expiration.replace(tzinfo=UTC) < datetime.now(UTC):
        raise AwsError("ExpiredToken", "The security token included in the request is expired")
    name = session.role_arn.rsplit("/", 1)[-1]
    role = next(
        (r for r in list(iam_backends[ACCOUNT]["aws"].roles.values()) if r.name == name), None
    )
    if role is None:
        return None
    caller = role_caller(role, session.session_name, session.access_key_id, session.policy)
    return _Key(session.secret_access_key, session.session_token, caller)


def _user_caller(user: Any, access_key: str) -> Caller:
    backend = iam_backends[ACCOUNT]["aws"]
    policies = [
        backend.get_user_policy(user.name, name) for name in backend.list_user_policies(user.name)
    ]
    policies += backend.list_attached_user_policies(user.name)[0]
    for group in backend.get_groups_for_user(user.name):
        policies += [
            backend.get_group_policy(group.name, name)
            for name in backend.list_group_policies(group.name)
        ]
        policies += backend.list_attached_group_policies(group.name)[0]
    boundary = getattr(user, "permissions_boundary_arn", None)
    return Caller(
        access_key=access_key,
        arn=user.arn,
        unique_id=user.id,
        policies=tuple(_document(policy) for policy in policies),
        limits=(_boundary(boundary),) if boundary else (),
        user_name=user.name,
    )


def _boundary(arn: str) -> tuple[Mapping[str, Any], ...]:
    return (_document(iam_backends[ACCOUNT]["aws"].get_policy(arn)),)


def _document(policy: Any) -> Mapping[str, Any]:
    if isinstance(policy, Policy):
        text = next(version.document for version in policy.versions if version.is_default)
    else:
        if not isinstance(policy, str) and "Statement" in policy:
            return cast("Mapping[str, Any]", policy)  # as CloudFormation put it
        text = policy if isinstance(policy, str) else policy["policy_document"]
    document: Mapping[str, Any] = json.loads(text)
    return document
