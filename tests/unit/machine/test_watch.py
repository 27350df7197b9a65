"""The watcher's loop, with eyes, a bucket and a clock of the test's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any, NoReturn

import pytest
from machine_builders import (
    BOOT,
    HOUR,
    Bucket,
    Clock,
    Commands,
    Looks,
    machine,
    metadata_service,
    reports,
)

from chalicelib.machine.machine import Orders
from chalicelib.machine.metadata import Metadata
from chalicelib.machine.observe import Condor
from chalicelib.machine.paths import JOINED
from chalicelib.machine.shell import Ran
from chalicelib.machine.watch import Watcher


class World:
    """A configured machine; `at` says what happens when the clock has passed a second."""

    def __init__(self, root: Path, metadata: Metadata | None = None, **changes: Any) -> None:
        self.root = root
        self.bucket = Bucket()
        self.bucket.configure(**changes)
        self.clock = Clock(BOOT + 10)
        self.machine = machine(root, self.bucket, self.clock, metadata)
        self.orders = Orders(self.machine)
        self.orders.poll()
        self.commands = Commands()
        self.eyes = Looks()
        self.events = []

    def at(self, seconds: float, event: Callable[[], object]) -> None:
        self.events.append((BOOT + seconds, event))

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        for due in [event for event in self.events if event[0] <= self.clock.now]:
            self.events.remove(due)
            due[1]()

    def watch(self) -> str:
        watcher = Watcher(
            self.machine, self.orders, self.commands, self.eyes, now=self.clock, sleep=self.sleep
        )
        return watcher.watch(self.orders.current)[1].reason

    @property
    def age(self) -> float:
        return self.clock.now - BOOT


def test_an_idle_machine_leaves_after_its_idle_time(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert "no job" in world.watch()
    assert 900 <= world.age <= 920
    assert reports(world.bucket) == [("joined", "")]
    assert (tmp_path / JOINED.lstrip("/")).exists()


def test_a_busy_machine_stays_for_its_lease_and_is_gone_by_its_end(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.eyes.running = 1
    assert "lease ends" in world.watch()
    assert HOUR - 65 <= world.age <= HOUR - 55
    assert [phase for phase, _ in reports(world.bucket)] == ["joined", "retiring"]


def test_short_jobs_between_looks_keep_a_machine(tmp_path: Path) -> None:
    world = World(tmp_path)

    def job() -> None:
        world.eyes.trace = world.clock.now
        world.at(world.age + 600, job)

    job()
    assert "lease ends" in world.watch()


def test_a_stop_is_heard_within_a_minute(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.eyes.running = 1
    world.at(300, lambda: world.bucket.configure(generation=2, ending=True))
    assert "stopped" in world.watch()
    assert world.age <= 366


def test_a_renewal_moves_timer_token_and_end(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.eyes.running = 1
    world.at(
        600,
        lambda: world.bucket.configure(
            generation=2, token="NEW", lease_expires_at="2027-01-15T10:00:00Z"
        ),
    )
    assert "lease ends" in world.watch()
    assert 2 * HOUR - 65 <= world.age <= 2 * HOUR - 55
    assert (tmp_path / "etc/condor/tokens.d/annex").read_text() == "NEW\n"
    lines = world.commands.lines()
    assert "condor_reconfig" in lines
    armed = [int(line.split()[-1]) - BOOT for line in lines if "dead-man lease" in line]
    assert armed == [HOUR + 300, 2 * HOUR + 300]


def test_a_renewal_in_the_last_minute_still_counts(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.eyes.running = 1
    renewed = {"generation": 2, "lease_expires_at": "2027-01-15T10:00:00Z"}
    world.at(HOUR - 65, lambda: world.bucket.configure(**renewed))
    assert "10:00:00" in world.watch()


def test_a_new_configuration_that_cannot_be_written_still_moves_the_lease(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.eyes.running = 1
    world.at(
        600,
        lambda: world.bucket.configure(
            generation=2,
            config_files={"../x": ""},
            lease_expires_at="2027-01-15T08:30:00Z",
        ),
    )
    assert "08:30:00" in world.watch()


def test_htcondor_shut_down_by_its_owner_ends_the_machine_within_seconds(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.at(300, lambda: setattr(world.eyes, "state", Condor.ENDED))
    assert "shut down" in world.watch()
    assert world.age <= 310


def test_htcondor_restarted_by_an_administrator_does_not(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.eyes.running = 1
    world.at(300, lambda: setattr(world.eyes, "state", Condor.ENDED))
    world.at(301, lambda: setattr(world.eyes, "state", Condor.CHANGING))
    world.at(311, lambda: setattr(world.eyes, "state", Condor.UP))
    assert "lease ends" in world.watch()


def test_htcondor_that_failed_for_good_ends_the_machine(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.at(300, lambda: setattr(world.eyes, "state", Condor.FAILED))
    assert "failed" in world.watch()


def test_a_machine_that_the_collector_refuses_leaves_and_says_so(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.eyes.in_pool = False
    assert "refused: cm.pool.example:9618" in world.watch()
    assert 600 <= world.age <= 625
    assert reports(world.bucket) == [("configured", "")]
    assert not (tmp_path / JOINED.lstrip("/")).exists()


def test_the_collectors_absence_ends_nothing_but_the_lease_does(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.at(60, lambda: setattr(world.eyes, "reachable", False))
    assert "lease ends" in world.watch()
    assert world.age >= HOUR - 65


def test_a_collector_that_does_not_answer_behind_an_open_port_ends_nothing_either(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    world.at(60, lambda: setattr(world.eyes, "in_pool", None))
    assert "lease ends" in world.watch()
    assert world.age >= HOUR - 65
    assert (tmp_path / JOINED.lstrip("/")).exists()


def test_the_collector_is_asked_rarely_once_joined(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.eyes.running = 1
    world.watch()
    assert len(world.eyes.asked) <= HOUR / 60 + 1


def test_a_restarted_watcher_goes_on_counting(tmp_path: Path) -> None:
    world = World(tmp_path)

    class Killed(Exception):
        pass

    def kill() -> NoReturn:
        raise Killed

    world.at(800, kill)
    try:
        world.watch()
    except Killed:
        world.clock.sleep(10)
    assert "no job" in world.watch()
    assert 900 <= world.age <= 930


def test_a_full_disk_does_not_blind_the_watcher(tmp_path: Path) -> None:
    world = World(tmp_path)
    (tmp_path / "run").touch()  # nothing can be written below it
    assert "no job" in world.watch()


def test_a_timer_that_cannot_be_moved_is_no_reason_to_stop(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.commands = Commands(**{"dead-man": Ran(1, "no systemd")})
    assert "no job" in world.watch()


def test_a_timer_that_could_not_be_moved_is_moved_at_the_next_look(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.commands.answers["dead-man"] = Ran(1, "no systemd")
    world.at(17, world.commands.answers.clear)
    world.watch()
    armed = [line for line in world.commands.lines() if "dead-man lease" in line]
    assert len(armed) == 3  # at 10 and 15 s in vain, at 20 s for good


class Spot(World):
    """A busy spot machine; `tree` is what its metadata service has."""

    def __init__(self, root: Path, tree: dict[str, str], metadata: Metadata, mode: str) -> None:
        super().__init__(root, metadata, on_rebalance=mode)
        self.tree = tree
        self.eyes.running = 1

    def reclaim(self) -> None:
        action = {"action": "terminate", "time": "2027-01-15T08:07:00Z"}
        self.tree["meta-data/spot/instance-action"] = json.dumps(action)

    def warn(self) -> None:
        warning = {"noticeTime": "2027-01-15T08:05:00Z"}
        self.tree["meta-data/events/recommendations/rebalance"] = json.dumps(warning)

    @property
    def start(self) -> str:
        """START, as HTCondor would read it last."""
        lease = self.root / "etc/condor/config.d/90-annex-lease.config"
        return lease.read_text() if lease.exists() else ""


@pytest.fixture
def spot(tmp_path: Path) -> Iterator[Callable[..., Spot]]:
    tree = {}
    with metadata_service(tree) as (_, url):
        yield lambda mode="record": Spot(tmp_path, tree, Metadata(url), mode)


def test_a_notice_is_obeyed_at_the_next_look(spot: Callable[..., Spot]) -> None:
    world = spot()
    world.at(300, world.reclaim)
    assert world.watch() == "reclaimed by EC2 at 2027-01-15T08:07:00Z"
    assert 300 <= world.age <= 305


def test_a_renewal_does_not_keep_a_reclaimed_machine(spot: Callable[..., Spot]) -> None:
    world = spot()
    renewed = {"generation": 2, "lease_expires_at": "2027-01-15T10:00:00Z"}
    world.at(300, lambda: (world.reclaim(), world.bucket.configure(**renewed)))
    assert "reclaimed" in world.watch()


def test_a_warning_is_told_and_changes_nothing(spot: Callable[..., Spot]) -> None:
    world = spot()
    world.at(300, world.warn)
    assert "lease ends" in world.watch()
    warned = ("joined", "EC2 may take it back soon (its warning of 2027-01-15T08:05:00Z)")
    assert reports(world.bucket)[:2] == [("joined", ""), warned]
    assert "condor_reconfig" not in world.commands.lines()


def test_a_warning_ends_new_jobs_where_that_was_asked_for(spot: Callable[..., Spot]) -> None:
    world = spot("retire")
    world.at(300, world.warn)
    assert "lease ends" in world.watch()
    assert "START = False" in world.start
    assert world.commands.lines().count("condor_reconfig") == 1
    assert reports(world.bucket)[1][0] == "retiring"


def test_a_renewal_brings_a_retired_machine_no_jobs(spot: Callable[..., Spot]) -> None:
    world = spot("retire")
    world.at(300, world.warn)
    renewed = {"generation": 2, "on_rebalance": "retire"}
    renewed["lease_expires_at"] = "2027-01-15T10:00:00Z"
    world.at(600, lambda: world.bucket.configure(**renewed))
    assert "10:00:00" in world.watch()
    assert "START = False" in world.start


def test_new_jobs_are_kept_away_again_where_it_did_not_work(spot: Callable[..., Spot]) -> None:
    world = spot("retire")
    world.commands.answers["condor_reconfig"] = Ran(1, "Can't find address")
    world.at(300, world.warn)
    world.at(312, world.commands.answers.clear)
    world.watch()
    assert world.commands.lines().count("condor_reconfig") == 4


def test_a_retired_machine_leaves_with_its_last_job(spot: Callable[..., Spot]) -> None:
    world = spot("retire")
    world.at(300, world.warn)
    world.at(600, lambda: setattr(world.eyes, "running", 0))
    assert "no job left" in world.watch()
    assert world.age <= 610
