"""Whoever looks at annexes hears when the sweep, which ends their machines, has stopped."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.errors import AwsUnavailable
from tests.fakes.world import World, told


@pytest.fixture
def world() -> World:
    made = World()
    made.sweep()
    made.start()
    return made


def warnings(world: World) -> set[str]:
    """What `status`, of one annex and of all, is told; and check-setup."""
    looks: list[Any] = [told(world.show()), told(world.call("GET", "/annexes", {}))]
    report = told(world.call("GET", "/setup", {}))["components"]
    (schedule,) = (one["detail"] for one in report if one["name"] == "schedule")
    return {schedule, *(look["warning"] for look in looks)}


def test_nothing_is_said_while_the_sweep_runs(world: World) -> None:
    for _ in range(10):
        world.sweep()
        assert warnings(world) == {""}


def test_after_some_minutes_without_a_sweep_everybody_is_told(world: World) -> None:
    world.clock.tick(180)
    assert warnings(world) == {""}
    world.clock.tick(1)
    (warning,) = warnings(world)
    assert warning.startswith("The sweep last finished at 2026-11-24T12:01:00Z: leases are kept")
    world.sweep()
    assert warnings(world) == {""}


def test_a_sweep_that_begins_and_never_finishes_counts_as_none(world: World) -> None:
    for _ in range(5):
        world.faults.watch = _out_of_time
        with pytest.raises(_OutOfTimeError):
            world.sweep()
        world.faults.disarm()
    (warning,) = warnings(world)
    assert "last finished at 2026-11-24T12:01:00Z" in warning


def test_a_sweep_that_cannot_see_the_machines_counts_as_none(world: World) -> None:
    def watch(point: str) -> None:
        if point == "before compute.instances":
            raise AwsUnavailable("AWS could not list machines.")

    for _ in range(5):
        world.faults.watch = watch
        world.sweep()
        world.faults.disarm()
    (warning,) = warnings(world)
    assert "last finished at 2026-11-24T12:01:00Z" in warning


def test_before_the_first_sweep_it_is_said_that_there_was_none() -> None:
    world = World()
    world.start()
    (warning,) = warnings(world)
    assert "has not run yet" in warning


def test_annexes_are_shown_though_the_sweep_s_word_cannot_be_read(world: World) -> None:
    def watch(point: str) -> None:
        if point == "before ledger.sweep_state":
            raise AwsUnavailable("AWS could not read the ledger.")

    world.faults.watch = watch
    assert told(world.show())["warning"] == ""
    assert len(told(world.call("GET", "/annexes", {}))["annexes"]) == 1


class _OutOfTimeError(BaseException):
    """The function's own time has run out."""


def _out_of_time(point: str) -> None:
    if point == "before ledger.save_sweep_state":
        raise _OutOfTimeError
