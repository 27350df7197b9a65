"""The access point's own software: the client, installed as its administrator would, with pip.

Two layers: the packages the client depends on, fetched once for the Python of the root file system,
and the client itself, copied anew whenever its sources change.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.keeper import AccountError

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.image import Images

SOURCES = Path(__file__).resolve().parent.parent / "client"
_PYTHON = "3.13"  # trixie's
_PLATFORMS = tuple(
    f"{tag}_{platform.machine()}" for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
)
_HOME = "opt/annex-client"

_PROGRAM = """\
#!/usr/bin/python3
import sys

sys.path.insert(0, "/{home}")
from {module} import {function}

sys.exit({function}())
"""


def layers(images: Images, say: Callable[[str], None]) -> tuple[Path, ...]:
    """The folders to lay above the pool's root file system, uppermost first.

    Raises:
        AccountError: pip could not fetch what the client depends on; it says what pip said.
    """
    project = tomllib.loads((SOURCES / "pyproject.toml").read_text())["project"]
    needs = sorted(project["dependencies"])
    packages = images.layer(
        f"client-packages-{_hash('compiled', _PYTHON, *_PLATFORMS, *needs)}",
        lambda result: _fetch(images, needs, result, say),
    )
    files = sorted(path for path in SOURCES.rglob("*") if _is_source(path))
    content = [f"{path.relative_to(SOURCES)}\0{path.read_text()}" for path in files]
    client = images.layer(
        f"client-{_hash('compiled', *content)}",
        lambda result: _install(images, project, files, result),
    )
    return client, packages


def _is_source(path: Path) -> bool:
    return path.suffix in (".py", ".json", ".yaml", ".toml", ".typed") and "build" not in path.parts


def _fetch(images: Images, needs: list[str], result: Path, say: Callable[[str], None]) -> None:
    say("fetching what the client depends on, once")
    target = result / _HOME
    platforms = [f"--platform={tag}" for tag in _PLATFORMS]
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
    images.compile_python(result, f"/{_HOME}")


def _install(images: Images, project: dict[str, Any], files: list[Path], result: Path) -> None:
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
    images.compile_python(result, f"/{_HOME}")


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
