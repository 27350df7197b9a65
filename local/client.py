"""The access point's own software: the client, installed as its administrator would, with pip.

Two layers: the packages the client depends on, fetched once for the Python of the root file system,
and the client itself, copied anew whenever its sources change.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.keeper import AccountError

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCES = Path(__file__).resolve().parent.parent / "client"
_PYTHON = "3.13"  # trixie's
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_HOME = "opt/annex-client"
_KEPT_SECONDS = 7 * 86_400  # longer than anybody keeps an account up

_PROGRAM = """\
#!/usr/bin/python3
import sys

sys.path.insert(0, "/{home}")
from {module} import {function}

sys.exit({function}())
"""


def layers(cache: Path, say: Callable[[str], None]) -> tuple[Path, ...]:
    """The folders to lay above the pool's root file system, uppermost first.

    Raises:
        AccountError: pip could not fetch what the client depends on; it says what pip said.
    """
    project = tomllib.loads((SOURCES / "pyproject.toml").read_text())["project"]
    needs = sorted(project["dependencies"])
    packages = cache / f"client-packages-{_hash(_PYTHON, *_PLATFORMS, *needs)}"
    if not packages.exists():
        say("fetching what the client depends on, once")
        _build(packages, lambda result: _fetch(needs, result / _HOME))
    files = sorted(path for path in SOURCES.rglob("*") if _is_source(path))
    content = [f"{path.relative_to(SOURCES)}\0{path.read_text()}" for path in files]
    client = cache / f"client-{_hash(*content)}"
    if not client.exists():
        _forget_old(cache)
        _build(client, lambda result: _install(project, files, result))
    os.utime(client)
    return client, packages


def _forget_old(cache: Path) -> None:
    """Remove earlier sources' layers, but for those that another account may have in use."""
    for old in cache.glob("client-????????????"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
                shutil.rmtree(old, ignore_errors=True)


def _is_source(path: Path) -> bool:
    return path.suffix in (".py", ".json", ".yaml", ".toml", ".typed") and "build" not in path.parts


def _build(target: Path, build: Callable[[Path], None]) -> None:
    """Build under another name and rename: who finds it finds all of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=target.parent) as draft:
        result = Path(draft, "result")
        result.mkdir(mode=0o755)
        build(result)
        result.rename(target)


def _fetch(needs: list[str], target: Path) -> None:
    platforms = [f"--platform={platform}" for platform in _PLATFORMS]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check"),
            *("--target", str(target), "--python-version", _PYTHON, "--implementation", "cp"),
            *("--only-binary=:all:", "--no-compile", *platforms, *needs),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise AccountError(f"pip could not fetch {', '.join(needs)}: {done.stderr.strip()[-500:]}")


def _install(project: dict[str, Any], files: list[Path], result: Path) -> None:
    for path in files:
        copy = result / _HOME / path.relative_to(SOURCES)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    programs = result / "usr/local/bin"
    programs.mkdir(parents=True)
    for name, entry in project["scripts"].items():
        module, _, function = entry.partition(":")
        program = programs / name
        program.write_text(_PROGRAM.format(home=_HOME, module=module, function=function))
        program.chmod(0o755)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
