"""Requests without an answer: their ids are kept, so that a repeated command is the same request.

One small file per annex under `~/.condor/annex/requests`, with no secret in it: written before a
request is sent, removed when it is answered. Only starts need it: a renewal counts from now, and a
stop is the same each time.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from annex_client.errors import ClientError
from annex_client.views import parse_time

if TYPE_CHECKING:
    from pathlib import Path

    from annex_client.context import Context

# A command repeated later than this is a new wish. The control plane itself gives up earlier.
_KEPT = timedelta(hours=1)
# Made anew at each run, so they do not make a request another one.
_FRESH = ("request_id", "token", "admin")


class PendingRequest:
    """The id of one annex's request."""

    def __init__(self, path: Path, request_id: str, *, repeated: bool) -> None:
        self._path = path
        self.request_id = request_id
        self.repeated = repeated  # an earlier run sent it and saw no answer

    def answered(self) -> None:
        """The control plane has said what became of it."""
        self._path.unlink(missing_ok=True)


def new_id(context: Context) -> str:
    """A request id that nobody had before."""
    return str(uuid.UUID(bytes=context.random_bytes(16), version=4))


def open_request(context: Context, verb: str, name: str, body: dict[str, Any]) -> PendingRequest:
    """Keep an id for this request on disk: the earlier one if it is the same request.

    Raises:
        ClientError: it cannot be kept; then nothing must be sent.
    """
    path, digest = _path(context, verb, name), _digest(body)
    earlier = _earlier(context, path, digest)
    if earlier is not None:
        return PendingRequest(path, earlier, repeated=True)
    made = new_id(context)
    now = context.clock.now().isoformat()
    _write(path, {"request_id": made, "digest": digest, "at": now})
    return PendingRequest(path, made, repeated=False)


def unanswered(context: Context, verb: str, name: str, body: dict[str, Any]) -> bool:
    """Whether an earlier run sent this very request and saw no answer."""
    return _earlier(context, _path(context, verb, name), _digest(body)) is not None


def _path(context: Context, verb: str, name: str) -> Path:
    return context.condor_dir / "annex" / "requests" / f"{verb}-{name}.json"


def _digest(body: dict[str, Any]) -> str:
    meaning = {key: value for key, value in body.items() if key not in _FRESH}
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def _earlier(context: Context, path: Path, digest: str) -> str | None:
    """The id of the request that is kept there, if it is this one and not too old."""
    kept = _read(path)
    if kept is None or kept[1] != digest or context.clock.now() - kept[2] >= _KEPT:
        return None
    return kept[0]


def _read(path: Path) -> tuple[str, str, datetime] | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return str(uuid.UUID(kept["request_id"])), str(kept["digest"]), parse_time(kept["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, value: dict[str, str]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.write_text(json.dumps(value), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise ClientError(
            f"{path} cannot be written ({error.strerror}), so nothing was sent: a lost answer"
            " could not be asked for again."
        ) from None
