"""Knocking on ports, on loopback."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from chalicelib.tcp_reach import TcpReach

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def door() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_open_port_is_no_note(door: socket.socket) -> None:
    port = door.getsockname()[1]
    assert list(TcpReach().check([f"127.0.0.1:{port}"]).result()) == []


@pytest.fixture
def closed() -> Iterator[int]:
    """A port on which nobody listens, and which nobody else gets meanwhile."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


def test_closed_port_is_named_with_what_to_do(closed: int) -> None:
    (note,) = TcpReach().check([f"127.0.0.1:{closed}"] * 2).result()
    assert f"127.0.0.1 port {closed} cannot be reached" in note
    assert "(it refuses the connection)" in note
    assert f"open TCP {closed}" in note


def test_a_note_is_words_for_people() -> None:
    """No error number, and no resolver's own text."""
    (note,) = TcpReach().check(["cm.pool.invalid:9618"]).result()
    assert "(its name is not known there)" in note or "(its name is not found in time)" in note
    assert "rrno" not in note


def test_nonsense_is_a_note_and_no_error() -> None:
    (note,) = TcpReach().check(["127.0.0.1:99999"]).result()
    assert "cannot be reached" in note
