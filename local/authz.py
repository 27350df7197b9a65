"""Whether a caller may make a call: the caller's policies against the permissions it needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from moto.iam.models import iam_backends
from moto.s3.models import s3_backends

from local.callers import ACCOUNT, Caller
from local.errors import AwsError
from local.iam import needs_s3
from local.iam.needs import needs
from local.iam.patterns import as_tuple
from local.iam.policy import Need, allows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.call import Call

# How each family says no.
_CODES = {"ec2": "UnauthorizedOperation", "rest-xml": "AccessDenied", "query": "AccessDenied"}


def permits(caller: Caller, need: Need) -> bool:
    """Whether the caller's policies, and every limit on them, allow what is needed."""
    full = Need(need.action, need.resource, {**caller.context(), **need.context})
    return all(allows(documents, full) for documents in (caller.policies, *caller.limits))


def check(caller: Caller, call: Call) -> None:
    """Refuse a call that the caller may not make.

    Raises:
        AwsError: in the words of the call's service.
    """
    require(caller, needs(call), call.protocol)
    if call.service == "sts" and call.action == "AssumeRole" and not _trusted(caller, call):
        need = Need("sts:AssumeRole", str(call.params.get("RoleArn")))
        raise _denied(caller, need, call.protocol)
    if call.service == "s3":
        _check_s3(caller, call)


def require(caller: Caller, wanted: Iterable[Need], protocol: str = "ec2") -> None:
    """Refuse what the caller lacks a permission for, in the words of `protocol`.

    Raises:
        AwsError: UnauthorizedOperation, AccessDenied or AccessDeniedException.
    """
    for need in wanted:
        if not permits(caller, need):
            raise _denied(caller, need, protocol)


def _denied(caller: Caller, need: Need, protocol: str) -> AwsError:
    code = _CODES.get(protocol, "AccessDeniedException")
    message = f"User: {caller.arn} is not authorized to perform: {need.action}"
    if need.resource != "*":
        message += f" on resource: {need.resource}"
    message += " because no identity-based policy allows the action"
    if protocol == "ec2":
        message = f"You are not authorized to perform this operation. {message}"
    return AwsError(code, message, 400 if code == "AccessDeniedException" else 403)


def _trusted(caller: Caller, call: Call) -> bool:
    """Whether the role's trust policy names the caller (or the whole account)."""
    arn = call.params.get("RoleArn")
    roles = list(iam_backends[ACCOUNT]["aws"].roles.values())
    role = next((role for role in roles if role.arn == arn), None)
    if role is None:
        return False
    names = {caller.arn, caller.role_arn, ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", "*"}
    for statement in as_tuple(json.loads(role.assume_role_policy_document).get("Statement", ())):
        principal = statement.get("Principal", {})
        listed = ("*",) if principal == "*" else as_tuple(principal.get("AWS", ()))
        if statement.get("Effect") == "Allow" and names & set(listed):
            return True
    return False


def _check_s3(caller: Caller, call: Call) -> None:
    headers = {name.lower(): value for name, value in call.headers.items()}
    if headers.get("x-amz-expected-bucket-owner", ACCOUNT) != ACCOUNT:
        raise AwsError(
            "AccessDenied", "Access Denied", 403
        )  # S3 User Guide, "Verifying bucket ownership"
    listing = needs_s3.listing(call)
    if listing is None or permits(caller, listing):
        return
    bucket = s3_backends[ACCOUNT]["aws"].buckets.get(call.params["Bucket"])
    if bucket is not None and call.params["Key"] not in bucket.keys:
        raise AwsError("AccessDenied", "Access Denied", 403)
