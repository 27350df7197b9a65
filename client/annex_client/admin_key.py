"""The annex's admin key: with it `condor_off -annex NAME` works for the annex's owner.

The key goes to the annex's machines with their configuration; the token made with it lies in the
user's token folder, where HTCondor's tools present it only to hosts that know the key. It gives no
right over anything else.
"""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annex_client import tokens
from annex_client.errors import ClientError, PoolTrouble

if TYPE_CHECKING:
    from pathlib import Path

    from annex_client.context import Context

# Text, so that no version of HTCondor stops reading at a zero byte; 288 random bits.
_RANDOM_BYTES = 36
_CREATE_SECONDS = 30
_KEY_SECONDS = 365 * 86400  # since the last token was made with it; no lease is that long


@dataclass(frozen=True)
class AdminKey:
    """A key on disk; `made` says whether this run made it."""

    name: str
    identity: str
    path: Path
    made: bool

    def wire(self) -> dict[str, str]:
        """As `StartRequest.admin` has it: the file's bytes in base64."""
        key = base64.b64encode(self.path.read_bytes()).decode("ascii")
        return {"key_name": self.name, "identity": self.identity, "key": key}


def key_of(context: Context, annex_name: str, *, make: bool) -> AdminKey | None:
    """The annex's key: the one there is, else a new one if `make`.

    One that is there is kept, since live machines may know it.

    Raises:
        ClientError: it cannot be written.
    """
    name = f"annex-{annex_name}-admin"
    path = _keys(context) / name
    identity = f"admin@{annex_name}.annex"
    if path.exists():
        return AdminKey(name, identity, path, made=False)
    if not make:
        return None
    text = base64.b64encode(context.random_bytes(_RANDOM_BYTES))
    _write_private(path, text)
    return AdminKey(name, identity, path, made=True)


def write_token(context: Context, key: AdminKey, *, lifetime_seconds: int) -> None:
    """Make the admin token and put it where HTCondor's tools look (0600; others are ignored).

    Raises:
        PoolTrouble: HTCondor's own tool for it failed.
    """
    done = context.run(
        [
            *("condor_token_create", "-identity", key.identity, "-key", key.name),
            *("-lifetime", str(lifetime_seconds)),
        ],
        extra_environ={"_CONDOR_SEC_PASSWORD_DIRECTORY": str(key.path.parent)},
        timeout=_CREATE_SECONDS,
    )
    found = [line for line in done.stdout.split() if line.count(".") == 2]  # noqa: PLR2004 - JWT
    if done.status != 0 or not found:
        said = " ".join(done.stderr.split())[:300] or "no reason given"
        raise PoolTrouble(f"condor_token_create could not make the annex's admin token: {said}.")
    _write_private(_token_path(context, key.name), found[-1].encode() + b"\n")
    used = context.clock.now().timestamp()
    with suppress(OSError):
        os.utime(key.path, (used, used))


def forget(context: Context, annex_name: str) -> None:
    """Remove key and token: the annex is over, or was never started."""
    name = f"annex-{annex_name}-admin"
    _token_path(context, name).unlink(missing_ok=True)
    (_keys(context) / name).unlink(missing_ok=True)


def forget_expired(context: Context) -> None:
    """Remove admin tokens that have run out, and keys unused for a year; trouble is none here.

    A key stays longer than its token: the annex may have been renewed from another host, and lives
    on with this very key.
    """
    now = context.clock.now()
    try:
        kept = [path.name for path in _keys(context).iterdir()]
    except OSError:
        return
    for name in kept:
        try:
            if now.timestamp() - (_keys(context) / name).stat().st_mtime > _KEY_SECONDS:
                forget(context, name[len("annex-") : -len("-admin")])
                continue
            path = _token_path(context, name)
            token = tokens.read(path.read_text(encoding="utf-8").strip())
            if token.expires_at is not None and token.expires_at < now:
                path.unlink()
        except (OSError, UnicodeDecodeError, ClientError):
            continue


def forget_all(context: Context) -> None:
    """Remove every annex's key and token: the deployment is gone."""
    try:
        kept = [path.name for path in _keys(context).iterdir()]
    except OSError:
        return
    for name in kept:
        forget(context, name[len("annex-") : -len("-admin")])


def _keys(context: Context) -> Path:
    return context.condor_dir / "annex" / "keys"


def _token_path(context: Context, name: str) -> Path:
    configured = context.param("SEC_TOKEN_DIRECTORY")
    folder = context.condor_dir / "tokens.d"
    if configured and "$" not in configured:
        folder = folder.__class__(configured)
    return folder / name


def _write_private(path: Path, data: bytes) -> None:
    """Write whole or not at all, and never readable by others."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ClientError(f"{path} cannot be written: {error.strerror}.") from None
