"""The annex token: fetched from the pool by its ordinary user, looked at, and never stored."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from annex_client.errors import PoolTrouble, Refused

if TYPE_CHECKING:
    from annex_client.context import Context

# What a machine needs in order to join, and nothing that submits or controls.
AUTHORISATIONS = ("READ", "ADVERTISE_STARTD", "ADVERTISE_MASTER")
# Asked for beyond the lease: launching, a slow answer to the question, the dead man's 5 minutes.
MARGIN_SECONDS = 3600
# What must at least be left of that when the request is sent.
LEAST_MARGIN_SECONDS = 600
_FETCH_SECONDS = 60
_IDENTITY = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Token:
    """A pool's token; its text is a secret and is never shown."""

    text: str = field(repr=False)
    key: str  # which of the pool's keys signed it
    trust_domain: str
    identity: str
    expires_at: datetime | None
    authorisations: frozenset[str]


def fetch(context: Context, *, key: str, lifetime_seconds: int) -> Token:
    """Ask the schedd for a token in the user's own name, by HTCondor's own tool.

    Raises:
        Refused: the pool does not sign such tokens, or not for this user.
        PoolTrouble: the schedd cannot be reached, or HTCondor's tools are not there.
    """
    argv = ["condor_token_fetch", "-key", key, "-lifetime", str(lifetime_seconds)]
    for authorisation in AUTHORISATIONS:
        argv += ["-authz", authorisation]
    done = context.run(argv, timeout=_FETCH_SECONDS)
    if done.status in (126, 127):
        raise PoolTrouble(f"HTCondor's tools are not on this host ({done.stderr.strip()}).")
    if done.status == 124:  # noqa: PLR2004 - timeout(1)'s
        raise PoolTrouble(f"The schedd gave no token: {done.stderr.strip()}.")
    lines = [line for line in done.stdout.split() if line.count(".") == 2]  # noqa: PLR2004 - JWT
    if done.status != 0 or not lines:
        raise _no_token(done.stderr, key)
    return read(lines[-1])


def read(text: str) -> Token:
    """Look into a token; its signature is the pool's business.

    Raises:
        PoolTrouble: it is no token.
    """
    try:
        header, payload = (json.loads(_decoded(part)) for part in text.split(".")[:2])
        expiry = payload.get("exp")
        return Token(
            text=text,
            key=str(header.get("kid", "POOL")),
            trust_domain=str(payload["iss"]),
            identity=str(payload["sub"]),
            expires_at=None if expiry is None else datetime.fromtimestamp(expiry, timezone.utc),
            authorisations=frozenset(
                scope.rsplit("/", 1)[-1]
                for scope in str(payload.get("scope", "")).split()
                if scope.startswith("condor:/")
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PoolTrouble("The pool answered with something that is no token.") from None


def check(token: Token, *, key: str, good_until: datetime) -> None:
    """See that a token is what was asked for: no more, and no less.

    Raises:
        Refused: it is signed with another key, may do more than join, or ends too early.
    """
    if token.key != key:
        raise Refused(
            f"The pool signed the annex's token with its key {token.key!r} instead of {key!r}, so"
            " it was not used.  Ask the pool's administrator to apply 'annex-client setup --pool'."
        )
    if not _IDENTITY.fullmatch(token.identity):
        raise Refused(f"The pool's token is for {token.identity!r}, which is no user@domain.")
    if token.authorisations != frozenset(AUTHORISATIONS):
        got = ", ".join(sorted(token.authorisations)) or "everything"
        raise Refused(
            f"The pool's token allows {got} instead of {', '.join(AUTHORISATIONS)}; it was not"
            " used.  Ask the pool's administrator to apply 'annex-client setup --pool'."
        )
    if token.expires_at is not None and token.expires_at < good_until:
        raise Refused(
            f"The pool's token ends at {token.expires_at:%Y-%m-%d %H:%M:%S} UTC, before the lease"
            f" and its margin do ({good_until:%Y-%m-%d %H:%M:%S} UTC).  Give a shorter --duration,"
            " or ask the pool's administrator to raise SEC_ISSUED_TOKEN_EXPIRATION.",
            code="TokenTooShort",
        )


def fetch_for_lease(context: Context, *, key: str, lease_end: datetime) -> Token:
    """A token that outlives a lease.

    Raises:
        Refused: the pool gives none that does.
        PoolTrouble: the pool cannot be asked.
    """
    left = (lease_end - context.clock.now()).total_seconds()
    token = fetch(context, key=key, lifetime_seconds=round(left) + MARGIN_SECONDS)
    check(token, key=key, good_until=lease_end + timedelta(seconds=LEAST_MARGIN_SECONDS))
    return token


def _no_token(stderr: str, key: str) -> Refused | PoolTrouble:
    """Why there is none, told apart by HTCondor's own words."""
    said = " ".join(stderr.split())[:300]
    unreachable = ("communication", "connect", "locate", "Can't find", "resolve", "timed out")
    if any(word.lower() in said.lower() for word in unreachable) and "AUTHENTICATE" not in said:
        return PoolTrouble(
            f"The schedd gave no token, since it cannot be reached ({said}).  Run annex-client on"
            " an access point, and check with 'condor_q' that its schedd answers."
        )
    return Refused(
        f"The pool gave no token signed with its key {key!r} ({said or 'no reason given'}).  Ask"
        " the pool's administrator to apply 'annex-client setup --pool' and to add you to the"
        " annex users there.",
        code="TokenRefused",
    )


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
