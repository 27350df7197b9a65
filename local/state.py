"""The account's one folder: what is up, its logs, the administrator's key.

`.local` beside the sources, or $ANNEX_LOCAL_STATE. Whoever holds the lock is the account.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

VARIABLE = "ANNEX_LOCAL_STATE"
# Whoever looks whether the lock is taken holds it for a moment; the account keeps it.
_TRIES = 50


def folder() -> Path:
    """Where the account's state is."""
    default = Path(__file__).resolve().parent.parent / ".local"
    return Path(os.environ.get(VARIABLE) or default).resolve()


@dataclass(frozen=True)
class Up:
    """An account that is up: what `env` and `run` need to know of it."""

    pid: int
    aws_url: str
    gateway_url: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    hosts: bool = False

    def exports(self) -> dict[str, str]:
        """The environment with which any AWS client, Chalice and annex-client use the account."""
        return {
            "AWS_ENDPOINT_URL": self.aws_url,
            "AWS_ENDPOINT_URL_EXECUTE_API": self.gateway_url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


class State:
    """The state folder, for its one writer and its many readers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    @property
    def log(self) -> Path:
        """The supervisor's log."""
        return self.path / "logs" / "account.log"

    def take(self) -> bool:
        """Become the account; False where another process is it already."""
        (self.path / "logs").mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o755)  # ordinary users of this machine may look at logs, not at keys
        lock = (self.path / "lock").open("a")
        tries = 1
        while not _locked(lock, fcntl.LOCK_EX):
            if tries == _TRIES:
                lock.close()
                return False
            tries += 1
            time.sleep(0.02)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock
        return True

    def taken(self) -> bool:
        """Whether some process is the account."""
        if not (self.path / "lock").exists():
            return False
        with (self.path / "lock").open("a") as lock:
            return not _locked(lock, fcntl.LOCK_SH)

    def write(self, up: Up) -> None:
        """Say that the account is up; only its owner may read the keys."""
        new = self.path / "account.json.new"
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(up), file)
        new.rename(self.path / "account.json")

    def read(self) -> Up | None:
        """The account that is up, or None; what a killed one has left behind does not count."""
        try:
            values = json.loads((self.path / "account.json").read_text())
        except (OSError, ValueError):
            return None
        return Up(**values) if self.taken() else None

    def clear(self) -> None:
        """Say that it is down."""
        (self.path / "account.json").unlink(missing_ok=True)


def _locked(lock: IO[str], kind: int) -> bool:
    """Take the lock, shared or alone, if it is free for that."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
