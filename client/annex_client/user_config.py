"""`~/.condor/user_config`: the macros that `setup` writes and `teardown` removes."""

from __future__ import annotations

import os
import re
import tempfile
from typing import TYPE_CHECKING

from annex_client.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_ASSIGNMENT = re.compile(r"\s*([A-Za-z0-9_.]+)\s*=\s*(.*?)\s*$")


def read(path: Path) -> dict[str, str]:
    """The plain assignments in the file, the last one of a name winning, as in HTCondor."""
    found: dict[str, str] = {}
    for line in _lines(path):
        match = _ASSIGNMENT.match(line)
        if match:
            found[match[1].upper()] = match[2]
    return found


def write(path: Path, macros: Mapping[str, str]) -> None:
    """Set `macros`, each in one line, in its old place if it had one; the rest stays."""
    left = dict(macros)
    lines = []
    for line in _lines(path):
        name = _name(line)
        if name not in macros:
            lines.append(line)
        elif name in left:
            lines.append(f"{name} = {left.pop(name)}")
    lines += [f"{name} = {value}" for name, value in left.items()]
    _replace(path, lines)


def remove(path: Path, names: Iterable[str]) -> None:
    """Take the macros out; the file goes when nothing is left in it."""
    gone = set(names)
    old = _lines(path)
    lines = [line for line in old if _name(line) not in gone]
    if lines == old:
        return
    if any(line.strip() for line in lines):
        _replace(path, lines)
    else:
        path.unlink()


def _name(line: str) -> str:
    match = _ASSIGNMENT.match(line)
    return match[1].upper() if match else ""


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not text (UTF-8); HTCondor configuration is.") from None


def _replace(path: Path, lines: list[str]) -> None:
    """Write all or nothing: HTCondor's tools read this file at every start."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
            os.chmod(temporary, mode)  # noqa: PTH101 - a name, not a Path
            os.replace(temporary, path)  # noqa: PTH105 - the same
        except BaseException:
            os.unlink(temporary)  # noqa: PTH108 - the same
            raise
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}.") from None
