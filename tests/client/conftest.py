"""Fixtures: a home, a control plane over real HTTP, a pool, and AWS in this process."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from plane import FakePlane, PlaneServer
from world import CREDENTIALS, World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_aws_of_the_developers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """AWS's SDK reads the process's own environment, so that must be a clean one."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "BOTO", "_CONDOR_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def plane() -> FakePlane:
    return FakePlane()


@pytest.fixture
def world(plane: FakePlane, tmp_path: Path) -> Iterator[World]:
    server = PlaneServer(plane)
    home = tmp_path / "home"
    home.mkdir()
    try:
        yield World(home, plane, server.url)
    finally:
        server.close()
    assert plane.problems == []
