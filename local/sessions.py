"""Role sessions that AWS itself opens: for functions and for instances."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.sts.models import sts_backends

from local.callers import ACCOUNT

_lock = threading.Lock()


def open_session(role_arn: str, name: str, seconds: int, region: str = "us-east-1") -> Any:
    """A new session of a role, as moto's STS keeps it; sessions that have run out are dropped."""
    backend = sts_backends[ACCOUNT]["aws"]
    with _lock:
        now = datetime.now(UTC)
        # An hour of grace: callers with an old key are to hear that it has expired.
        backend.assumed_roles = [
            each
            for each in backend.assumed_roles
            if each.expiration.replace(tzinfo=UTC) > now - timedelta(hours=1)
        ]
        return backend.assume_role(
            region_name=region,
            role_session_name=name,
            role_arn=role_arn,
            policy=None,
            duration=seconds,
            external_id=None,
        )


def variables(role_arn: str, name: str) -> dict[str, str]:
    """A role's credentials as a function's environment has them; good for twelve hours."""
    session = open_session(role_arn, name, 12 * 3600)
    return {
        "AWS_ACCESS_KEY_ID": session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
        "AWS_SESSION_TOKEN": session.session_token,
    }
