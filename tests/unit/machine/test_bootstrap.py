"""From the parameters to a running HTCondor, below a folder and with recorded commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, NoReturn

    from chalicelib.machine.configuration import Configuration

from dataclasses import replace

import pytest
from machine_builders import (
    BOOT,
    HOUR,
    INSTANCE,
    PARAMETERS,
    Bucket,
    Clock,
    Commands,
    document,
    machine,
    metadata_service,
    reports,
    role_credentials,
)

from chalicelib.machine.bootstrap import Bootstrap, GiveUp
from chalicelib.machine.fetch import connect, fetched, program
from chalicelib.machine.machine import LEASE_TAG, Orders, meet
from chalicelib.machine.metadata import Metadata
from chalicelib.machine.paths import CONFIGURED
from chalicelib.machine.shell import Ran


class World:
    """A machine, its bucket and its clock."""

    def __init__(self, root: Path, **changes: Any) -> None:
        self.root = root
        (root / "etc/condor/config.d").mkdir(parents=True, exist_ok=True)
        self.bucket = Bucket()
        self.bucket.configure(**changes)
        self.clock = Clock(BOOT + 10)
        self.machine = machine(root, self.bucket, self.clock)
        self.orders = Orders(self.machine)
        self.commands = Commands()
        self.programs = {"condor_master"}
        self.closed = set()
        self.tried = []
        self.wall_clock_set = 0.0

    def connect(self, host: str, port: int, seconds: float) -> None:
        self.tried.append(f"{host}:{port}")
        if host in self.closed:
            raise TimeoutError("timed out")

    def bootstrap(self) -> Configuration:
        return Bootstrap(
            self.machine,
            self.orders,
            self.commands,
            connect=self.connect,
            which=lambda name: name if name in self.programs else None,
            now=self.clock,
            monotonic=lambda: self.clock() - self.wall_clock_set,
            sleep=self.clock.sleep,
        ).run()


def test_a_machine_is_fenced_checked_configured_and_only_then_started(tmp_path: Path) -> None:
    world = World(tmp_path)
    (tmp_path / "etc/condor/config.d/00-htcondor-9.0.config").write_text("use security:host_based")
    assert world.bootstrap() == world.orders.current
    lines = world.commands.lines()
    order = [
        next(number for number, line in enumerate(lines) if words in line)
        for words in ("dead-man lease", "nft", "systemd-sysusers", "disable", "restart condor")
    ]
    assert order == sorted(order)
    assert lines[0].endswith(f"dead-man lease {BOOT + HOUR + 300}")
    assert world.tried == ["cm.pool.example:9618", "ap.pool.example:9618"]
    assert (tmp_path / "etc/condor/config.d/50-annex.config").exists()
    assert not (tmp_path / "etc/condor/config.d/00-htcondor-9.0.config").exists()
    assert (tmp_path / CONFIGURED.lstrip("/")).exists()
    assert reports(world.bucket) == [("booting", ""), ("configured", "")]


def test_what_another_annex_left_in_the_image_goes(tmp_path: Path) -> None:
    """Its owner's key would be root's on this machine."""
    world = World(tmp_path)
    left = [
        tmp_path / "etc/condor/passwords.d/annex-older-admin",
        tmp_path / "etc/condor/config.d/60-annex-user-older.config",
    ]
    for file in left:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("another annex's")
    world.bootstrap()
    assert not any(file.exists() for file in left)
    assert list((tmp_path / "etc/condor/passwords.d").glob("annex-*-admin"))


def test_an_image_without_htcondor_says_that_it_is_installing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.programs = set()
    with pytest.raises(GiveUp, match="neither HTCondor nor"):
        world.bootstrap()
    assert reports(world.bucket)[-1][0] == "installing"


def test_an_address_out_of_reach_is_named_at_once_and_given_up_in_the_end(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.closed = {"ap.pool.example"}
    with pytest.raises(GiveUp, match=r"ap\.pool\.example:9618 cannot be reached .*timed out"):
        world.bootstrap()
    assert 600 <= world.clock.now - BOOT - 10 <= 610
    assert reports(world.bucket)[1][1].startswith("ap.pool.example:9618 cannot be reached")
    assert not any("restart condor" in line for line in world.commands.lines())


def test_a_wall_clock_set_ahead_takes_nothing_of_the_wait_for_the_pool(tmp_path: Path) -> None:
    world = World(tmp_path)

    def closed_at_first(host: str, port: int, seconds: float) -> None:
        if not world.wall_clock_set:
            world.wall_clock_set = 1200.0
            world.clock.now += 1200
            raise TimeoutError("timed out")

    world.connect = closed_at_first
    world.bootstrap()
    assert reports(world.bucket)[-1] == ("configured", "")


def test_a_rebooted_machine_does_not_wait_for_a_pool_that_is_away(tmp_path: Path) -> None:
    World(tmp_path).bootstrap()
    rebooted = World(tmp_path)
    rebooted.closed = {"cm.pool.example"}
    rebooted.bootstrap()
    assert rebooted.clock.now == BOOT + 10
    assert ("booting", "cm.pool.example:9618 cannot be reached from this machine (timed out).") in (
        reports(rebooted.bucket)
    )
    assert rebooted.commands.lines()[-1] == "systemctl restart condor.service"


def test_a_machine_that_was_never_set_up_keeps_its_limit_over_a_crash(tmp_path: Path) -> None:
    World(tmp_path).orders.poll()
    again = World(tmp_path)
    again.closed = {"ap.pool.example"}
    with pytest.raises(GiveUp, match="cannot be reached"):
        again.bootstrap()


def test_a_stop_is_heard_while_waiting_for_the_pool(tmp_path: Path) -> None:
    world = World(tmp_path)

    def connect_and_stop(host: str, port: int, seconds: float) -> NoReturn:
        world.bucket.configure(generation=2, ending=True)
        raise TimeoutError("timed out")

    world.connect = connect_and_stop
    with pytest.raises(GiveUp, match="stopped"):
        world.bootstrap()
    assert world.clock.now == BOOT + 10


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ending": True}, "stopped"),
        ({"lease_expires_at": "2027-01-15T08:00:15Z"}, "lease ended"),
        ({"config_files": {"../x": ""}}, "configuration file named"),
        ({"trust_domain": None, "pool": {"collector_host": "a b", "trust_domain": "x"}}, "plain"),
    ],
)
def test_what_makes_no_sense_is_not_started(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    world = World(tmp_path, **changes)
    with pytest.raises(GiveUp, match=words):
        world.bootstrap()
    assert not any("restart condor" in line for line in world.commands.lines())


def test_without_its_configuration_a_machine_gives_up_before_the_boot_timer(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.bucket.objects.clear()
    with pytest.raises(GiveUp, match=r"configuration: S3 refused to read .* \(403 AccessDenied\)"):
        world.bootstrap()
    assert BOOT + 1740 <= world.clock.now < BOOT + 1800


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"systemd-sysusers": Ran(1, "no space")}, "accounts could not be made: no space"),
        ({"systemctl": Ran(1, "masked")}, "could not be started: masked"),
        ({"sh": Ran(1, "x"), "ip": Ran(1, "y")}, "metadata service"),
    ],
)
def test_what_fails_on_the_machine_is_the_reason(
    tmp_path: Path, broken: dict[str, Ran], words: str
) -> None:
    world = World(tmp_path)
    world.commands = Commands(**broken)
    with pytest.raises(GiveUp, match=words):
        world.bootstrap()


def test_the_program_comes_with_the_configuration(tmp_path: Path) -> None:
    bucket, clock = Bucket(), Clock()
    bucket.configure(program="UEsFBg==")
    reporter = machine(tmp_path, bucket, clock).reporter
    assert fetched(PARAMETERS, bucket, reporter, str(tmp_path))
    assert program(PARAMETERS, str(tmp_path)).read_bytes() == b"PK\x05\x06"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "S3 refused to read"),
        (b"{}", "holds no program"),
        (b"[]", "holds no program"),
        (b"", "holds no program"),
        (b'{"program": "?"}', "holds no program"),
        (b'{"program": null}', "holds no program"),
    ],
)
def test_a_program_that_cannot_be_had_is_reported(
    tmp_path: Path, body: bytes | None, words: str
) -> None:
    bucket = Bucket()
    if body is not None:
        bucket.objects[PARAMETERS.key] = body
    reporter = machine(tmp_path, bucket, Clock()).reporter
    assert not fetched(PARAMETERS, bucket, reporter, str(tmp_path))
    assert reports(bucket)[0][0] == "booting"
    assert words in reports(bucket)[0][1]


def test_the_higher_generation_wins(tmp_path: Path) -> None:
    bucket = Bucket()
    bucket.configure(generation=3)
    orders = Orders(machine(tmp_path, bucket, Clock()))
    assert orders.poll()
    assert not orders.poll()
    bucket.configure(generation=2, ending=True)
    assert not orders.poll()
    assert not orders.current.ending
    bucket.configure(generation=4, ending=True)
    assert orders.poll()
    assert orders.current.ending


def test_a_known_generation_with_another_token_is_news_and_the_same_again_is_not(
    tmp_path: Path,
) -> None:
    bucket = Bucket()
    bucket.configure(generation=2)
    orders = Orders(machine(tmp_path, bucket, Clock()))
    orders.poll()
    bucket.configure(generation=2, token="fresh")
    assert orders.poll()
    assert orders.current.token == "fresh"
    bucket.configure(generation=2, token="fresh", of_a_newer_control_plane=1)
    assert not orders.poll()
    bucket.configure(generation=1, token="old")
    assert not orders.poll()
    assert orders.current.token == "fresh"


def test_another_annexs_configuration_is_none(tmp_path: Path) -> None:
    bucket = Bucket()
    bucket.configure(annex_id="annex-2")
    orders = Orders(machine(tmp_path, bucket, Clock()))
    assert not orders.poll()
    assert "another annex" in orders.problem


def test_the_last_configuration_outlives_the_program_and_s3(tmp_path: Path) -> None:
    bucket = Bucket()
    bucket.configure(generation=3)
    Orders(machine(tmp_path, bucket, Clock())).poll()
    bucket.broken = "S3 is away."
    again = Orders(machine(tmp_path, bucket, Clock()))
    assert again.current.generation == 3
    kept = tmp_path / "var/lib/htcondor-annex/configuration.json"
    assert kept.stat().st_mode & 0o777 == 0o600


def test_an_image_of_another_annexs_machine_brings_none_of_its_configuration(
    tmp_path: Path,
) -> None:
    bucket = Bucket()
    bucket.configure(annex_id="annex-0", generation=7)
    kept = tmp_path / "var/lib/htcondor-annex/configuration.json"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(bucket.objects[PARAMETERS.key])
    bucket.configure(generation=1)
    orders = Orders(machine(tmp_path, bucket, Clock()))
    assert orders.current is None
    assert orders.poll()
    assert orders.current.annex_id == PARAMETERS.annex_id


def test_an_image_of_another_annexs_machine_brings_no_program(tmp_path: Path) -> None:
    bucket, clock = Bucket(), Clock()
    bucket.configure(program="UEsFBg==")
    reporter = machine(tmp_path, bucket, clock).reporter
    theirs = replace(PARAMETERS, annex_id="annex-0")
    assert fetched(theirs, bucket, reporter, str(tmp_path))
    assert program(theirs, str(tmp_path)).exists()
    assert not program(PARAMETERS, str(tmp_path)).exists()


def test_while_s3_is_away_a_renewal_shows_in_the_tag(tmp_path: Path) -> None:
    tag = {LEASE_TAG: "2027-01-15T12:00:00Z"}
    with metadata_service(tag) as (service, endpoint):
        bucket = Bucket()
        bucket.configure()
        orders = Orders(machine(tmp_path, bucket, Clock(), Metadata(endpoint)))
        orders.poll()
        assert orders.lease_end == BOOT + HOUR
        bucket.broken = "S3 is away."
        orders.poll()
        assert orders.lease_end == BOOT + 4 * HOUR
        service.tree[LEASE_TAG] = "2027-01-15T08:30:00Z"
        orders.poll()
        assert orders.lease_end == BOOT + HOUR  # a tag left behind ends nobody early
        service.tree[LEASE_TAG] = "nonsense"
        orders.poll()
        assert orders.lease_end == BOOT + HOUR
        bucket.broken = ""
        bucket.configure(generation=2, lease_expires_at="2027-01-15T08:10:00Z")
        orders.poll()
        assert orders.lease_end == BOOT + 600


def test_a_machine_learns_from_the_metadata_service_who_it_is(tmp_path: Path) -> None:
    tree = {
        **role_credentials(),
        "meta-data/instance-id": INSTANCE,
        "meta-data/instance-type": "t3.small",
        "meta-data/placement/availability-zone": "us-east-1b",
        "meta-data/instance-life-cycle": "spot",
    }
    (tmp_path / "proc/1").mkdir(parents=True)
    (tmp_path / "proc/1/stat").write_text("1 (sys) temd) S " + "0 " * 18 + "0 0 0\n")
    with metadata_service(tree) as (_, endpoint):
        met = meet(PARAMETERS, Metadata(endpoint), str(tmp_path))
        s3, _ = connect(PARAMETERS, Metadata(endpoint), str(tmp_path))
    assert (met.facts.instance_id, met.facts.instance_type) == (INSTANCE, "t3.small")
    assert (met.facts.zone, met.facts.lifecycle) == ("us-east-1b", "spot")
    assert met.facts.cpus >= 1
    assert s3._region == "us-east-1"


def test_documents_of_the_tests_are_complete() -> None:
    assert set(document()) >= {"pool", "token", "admin", "config_files", "generation"}
