"""Files put onto a disk that is an overlay, before or while a host runs on it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class File:
    """A file put onto a host's disk before it boots; owned by root."""

    content: bytes
    mode: int = 0o644


def put_file(root: Path, layers: Sequence[Path], path: str, file: File) -> None:
    """Write a file below `root`, the top of an overlay over `layers`, in one step.

    Folders that must be made get the owner and mode that they have in the layers: in an overlay,
    the uppermost folder's count.
    """
    target = root / path.lstrip("/")
    for folder in reversed(target.relative_to(root).parents[:-1]):
        made = root / folder
        if not made.exists():
            made.mkdir()
            known = next((layer / folder for layer in layers if (layer / folder).is_dir()), None)
            if known is None:
                made.chmod(0o755 if file.mode & 0o007 else 0o700)  # a secret's folder is one, too
            else:
                shutil.copystat(known, made)
                os.chown(made, known.stat().st_uid, known.stat().st_gid)
    draft = target.with_name(f".{target.name}.new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode), "wb") as stream:  # noqa: PTH123 - never readable by others, not even for a moment
        stream.write(file.content)
        os.fchmod(stream.fileno(), file.mode)
    draft.replace(target)
