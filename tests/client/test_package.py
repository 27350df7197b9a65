"""The package: quick to start, whole, and readable by the Python that submit hosts have."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import annex_client
import pytest

FOLDER = Path(annex_client.__file__).parent
HEAVY = {"boto3", "botocore", "htcondor2", "classad2", "rich", "http.client", "urllib3"}


@pytest.mark.parametrize(
    ("module", "argv"),
    [
        ("cli", ["--help"]),
        ("cli", ["start", "--help"]),
        ("connect_annex", ["-help"]),
        ("distribution", ["--help"]),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(module: str, argv: list[str]) -> None:
    code = (
        f"import sys, json; sys.argv[1:] = {argv!r}\n"
        f"from annex_client import {module}\n"
        f"try: {module}.main()\n"
        "except SystemExit: pass\n"
        "print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(FOLDER.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not HEAVY & set(json.loads(done.stdout.splitlines()[-1]))


def test_every_file_is_python_3_9() -> None:
    for path in FOLDER.rglob("*.py"):
        ast.parse(path.read_text(), filename=str(path), feature_version=(3, 9))


def test_every_subpackage_is_in_the_distribution() -> None:
    text = (FOLDER.parent / "pyproject.toml").read_text()
    for folder in (path.parent for path in FOLDER.rglob("__init__.py")):
        dotted = ".".join(folder.relative_to(FOLDER.parent).parts)
        assert f'"{dotted}"' in text


def test_only_one_module_writes_to_the_terminal() -> None:
    for path in FOLDER.rglob("*.py"):
        if path.name == "render.py":
            continue
        text = path.read_text()
        assert "print(" not in text, path
        assert ".stdout.write" not in text, path


def test_the_client_knows_nothing_of_the_control_plane_s_code() -> None:
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not any(name.startswith(("chalicelib", "local")) for name in names), path
