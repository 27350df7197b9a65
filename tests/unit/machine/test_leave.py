"""The proper end of a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

import threading

import pytest
from machine_builders import INSTANCE, Clock, Commands, Looks

from chalicelib.machine.decide import Decision
from chalicelib.machine.leave import leave
from chalicelib.machine.report import Reporter
from chalicelib.machine.shell import Ran

WHY = Decision("ending", "Its time has come.")
OFF = "/usr/local/lib/htcondor-annex/dead-man now"


class Written:
    """A reporter's object."""

    def __init__(self) -> None:
        self.bodies = []

    def __call__(self, body: bytes) -> Ran:
        self.bodies.append(body)


def end(
    run: Commands,
    eyes: Looks,
    put: Callable[[bytes], None] | None = None,
    tmp_path: Path | None = None,
    vacate: int = 30,
    why: Decision = WHY,
) -> Clock:
    clock = Clock()
    reporter = Reporter(INSTANCE, put, clock, str(tmp_path)) if put else None
    leave(why, vacate, run, reporter, eyes, now=clock, sleep=clock.sleep)
    return clock


def test_the_order_is_report_drain_stop_power_off(tmp_path: Path) -> None:
    run, eyes, put = Commands(), Looks(), Written()
    eyes.running = 1
    clock = end(run, eyes, put, tmp_path)
    assert run.lines() == [
        "condor_drain -quick -reason Its time has come. <172.31.0.4:9618?sock=startd>",
        "systemctl stop condor.service",
        OFF,
    ]
    assert run.environments[0] == {"_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "FS"}
    assert b'"phase": "ending", "reason": "Its time has come."' in put.bodies[0]
    assert 30 <= clock.now - 1_800_000_000 < 31  # a job that does not go is not waited for longer


def test_a_reclaimed_machine_tells_jobs_and_status_each_in_their_words(tmp_path: Path) -> None:
    run, eyes, put = Commands(), Looks(), Written()
    eyes.running = 1
    why = Decision("ending", "reclaimed by EC2 at 2027-01-15T08:02:00Z", 1_800_000_120)
    end(run, eyes, put, tmp_path, why=why)
    assert "-reason EC2 takes this machine back at 2027-01-15T08:02:00Z. <" in run.lines()[0]
    assert b'"ending", "reason": "reclaimed by EC2 at 2027-01-15T08:02:00Z"' in put.bodies[0]


def test_a_slow_report_takes_its_time_from_the_jobs_and_not_from_the_end(tmp_path: Path) -> None:
    run, eyes, clock = Commands(), Looks(), Clock()
    eyes.running = 1
    slow = Reporter(INSTANCE, lambda _: clock.sleep(7), clock, str(tmp_path))
    leave(WHY, 30, run, slow, eyes, now=clock, sleep=clock.sleep)
    assert 30 <= clock.now - 1_800_000_000 < 31


def test_jobs_that_go_are_not_waited_for() -> None:
    class Going(Looks):
        def jobs(self) -> int:
            self.running = max(0, self.running - 1)
            return self.running

    eyes = Going()
    eyes.running = 4
    assert end(Commands(), eyes).now - 1_800_000_000 < 1


def test_a_machine_without_jobs_is_not_drained() -> None:
    run = Commands()
    end(run, Looks())
    assert run.lines() == ["systemctl stop condor.service", OFF]


def test_a_machine_without_time_left_is_not_drained() -> None:
    run, eyes = Commands(), Looks()
    eyes.running = 1
    end(run, eyes, vacate=0)
    assert run.lines() == ["systemctl stop condor.service", OFF]


def test_a_drain_that_is_refused_is_not_waited_for() -> None:
    run, eyes = Commands(condor_drain=Ran(1, "PERMISSION DENIED")), Looks()
    eyes.running = 1
    assert end(run, eyes).now == 1_800_000_000
    assert run.lines()[-1] == OFF


class Bad(Commands):
    """Commands that raise, all but the one that powers off."""

    def __call__(
        self, args: Sequence[str], seconds: float, environment: dict[str, str] | None = None
    ) -> Ran:
        done = super().__call__(args, seconds, environment)
        if not args[0].endswith("dead-man"):
            raise RuntimeError(args[0])
        return done


class Blind(Looks):
    """Eyes that fail."""

    def jobs(self) -> int:
        raise OSError("no /proc")


def _refuse(body: bytes) -> None:
    raise RuntimeError("report")


@pytest.mark.parametrize("put", [None, _refuse])
@pytest.mark.parametrize("eyes", [Looks(), Blind()])
def test_no_failure_keeps_the_machine_from_powering_off(
    put: Callable[[bytes], None] | None, eyes: Looks, tmp_path: Path
) -> None:
    run = Bad()
    end(run, eyes, put, tmp_path)
    assert run.lines()[-1] == OFF


def test_a_report_that_hangs_keeps_nothing_waiting_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("threading.Thread.join", lambda *_, **__: None)
    hanging = threading.Event()
    run = Commands()
    end(run, Looks(), lambda body: hanging.wait(), tmp_path)
    assert OFF in run.lines()
    hanging.set()


@pytest.mark.parametrize(
    ("broken", "last"),
    [
        ({"dead-man": Ran(127)}, "systemctl --no-block poweroff"),
        ({"dead-man": Ran(127), "systemctl": Ran(1)}, "shutdown -P now"),
        ({"dead-man": Ran(1), "systemctl": Ran(124), "shutdown": Ran(1)}, "poweroff -f"),
    ],
)
def test_every_means_of_powering_off_is_tried_in_turn(broken: dict[str, Ran], last: str) -> None:
    run = Commands(**broken)
    end(run, Looks())
    assert run.lines()[-1] == last


def test_powering_off_is_tried_until_it_works() -> None:
    class Late(Commands):
        def __call__(
            self, args: Sequence[str], seconds: float, environment: dict[str, str] | None = None
        ) -> Ran:
            super().__call__(args, seconds, environment)
            return Ran(0 if len(self.seen) > 20 else 1)

    run = Late()
    end(run, Looks())
    assert len(run.seen) == 21
