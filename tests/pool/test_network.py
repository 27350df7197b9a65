"""The account's network by itself, without hosts."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from local.network import Network

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.pool


def test_hosts_that_come_and_go_cut_nobody_off(tmp_path: Path) -> None:
    """A host that knows the router's hardware address goes on reaching it by that."""
    network = Network(tmp_path)
    network.up()

    def router() -> str:
        command = [*network.command_prefix(), "ip", "-brief", "link", "show", "vpc"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[2]

    try:
        before = router()
        wires = []
        for number in range(10, 18):
            wires.append(network.attach("vpc", f"172.31.0.{number}"))
            assert router() == before
        for wire in wires:
            network.detach(wire)
            assert router() == before
    finally:
        network.close()
