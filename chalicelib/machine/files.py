"""Files written whole or not at all, and only when they change."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class File:
    """One file to be on the machine; secrets are 0600."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644


def write(file: File, root: str = "/") -> bool:
    """Put `file` in place by renaming; False where it was there already, mode and all.

    Readers see the old content or the new one, and a secret is never readable by others, not even
    while it is written. Raises OSError.
    """
    target = Path(root) / file.path.lstrip("/")
    try:
        if target.read_bytes() == file.content and target.stat().st_mode & 0o777 == file.mode:
            return False
    except OSError:
        pass
    secret = not file.mode & 0o077
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if secret else 0o755)
    # The name begins with a dot: HTCondor reads no such file in config.d and tokens.d.
    handle, name = tempfile.mkstemp(dir=str(target.parent), prefix=".annex-")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(file.content)
            os.fchmod(out.fileno(), file.mode)
        Path(name).replace(target)
    except OSError:
        Path(name).unlink()
        raise
    return True
