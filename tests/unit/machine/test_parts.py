"""The small parts: files, reports, the fence, reach, packages, eyes, commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

import json
import os
import socket
import sys

import pytest
from machine_builders import INSTANCE, Bucket, Clock, Commands, reports

from chalicelib.machine.fence import Unfenced, fence
from chalicelib.machine.files import File, write
from chalicelib.machine.install import NotInstalled, install, installed
from chalicelib.machine.observe import Condor, Eyes
from chalicelib.machine.paths import EVENTS
from chalicelib.machine.reach import connect, unreachable
from chalicelib.machine.report import KEPT, Reporter
from chalicelib.machine.shell import NOT_FOUND, TIMED_OUT, Ran, run


def test_a_file_is_written_with_its_mode_and_only_when_it_changes(tmp_path: Path) -> None:
    secret = File("/etc/condor/tokens.d/annex", b"old", 0o600)
    assert write(secret, str(tmp_path))
    target = tmp_path / "etc/condor/tokens.d/annex"
    assert target.stat().st_mode & 0o777 == 0o600
    assert target.parent.stat().st_mode & 0o777 == 0o700
    assert not write(secret, str(tmp_path))
    target.chmod(0o644)
    assert write(secret, str(tmp_path))
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_file_is_replaced_as_a_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write(File("/a/b", b"old"), str(tmp_path))
    with (tmp_path / "a/b").open("rb") as reader:
        write(File("/a/b", b"new"), str(tmp_path))
        assert reader.read() == b"old"
    assert (tmp_path / "a/b").read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_a_file_that_cannot_be_put_in_place_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        write(File("/a/b", b"new"), str(tmp_path))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


class TestReporter:
    def reporter(self, bucket: Bucket, root: Path, clock: Clock | None = None) -> Reporter:
        put = lambda body: bucket.put(f"reports/AROATEST:{INSTANCE}", body)  # noqa: E731
        return Reporter(INSTANCE, put, clock or Clock(), str(root))

    def test_the_report_has_the_state_and_how_it_came_about(self, tmp_path: Path) -> None:
        bucket = Bucket()
        reporter = self.reporter(bucket, tmp_path)
        reporter.say("booting")
        reporter.say("ending", "The annex was stopped.")
        assert json.loads(bucket.objects[f"reports/AROATEST:{INSTANCE}"]) == {
            "instance_id": INSTANCE,
            "phase": "ending",
            "reason": "The annex was stopped.",
            "at": "2027-01-15T08:00:00Z",
            "events": [
                {"at": "2027-01-15T08:00:00Z", "phase": "booting", "reason": ""},
                {
                    "at": "2027-01-15T08:00:00Z",
                    "phase": "ending",
                    "reason": "The annex was stopped.",
                },
            ],
        }

    def test_the_same_again_is_neither_an_event_nor_a_call(self, tmp_path: Path) -> None:
        bucket = Bucket()
        reporter = self.reporter(bucket, tmp_path)
        reporter.say("joined")
        bucket.objects.clear()
        reporter.say("joined")
        assert not bucket.objects

    def test_what_could_not_be_written_is_written_later(self, tmp_path: Path) -> None:
        bucket = Bucket()
        reporter = self.reporter(bucket, tmp_path)
        bucket.broken = "S3 is away."
        reporter.say("booting")
        assert not reporter.flush()
        bucket.broken = ""
        reporter.say("booting")
        assert reports(bucket) == [("booting", "")]

    def test_a_restarted_program_goes_on_with_its_events(self, tmp_path: Path) -> None:
        bucket = Bucket()
        self.reporter(bucket, tmp_path).say("joined")
        again = self.reporter(bucket, tmp_path)
        assert again.phase == "joined"
        again.say("ending", "x")
        assert reports(bucket) == [("joined", ""), ("ending", "x")]

    def test_an_image_of_another_machine_brings_none_of_its_events(self, tmp_path: Path) -> None:
        bucket = Bucket()
        Reporter("i-1", lambda body: bucket.put("x", body), Clock(), str(tmp_path)).say("ending")
        assert self.reporter(bucket, tmp_path).phase == ""

    @pytest.mark.parametrize("kept", ["", "{}", "[", "3"])
    def test_a_damaged_past_is_no_past(self, tmp_path: Path, kept: str) -> None:
        path = tmp_path / EVENTS.format(INSTANCE).lstrip("/")
        path.parent.mkdir(parents=True)
        path.write_text(kept)
        assert self.reporter(Bucket(), tmp_path).phase == ""

    def test_a_flapping_machine_does_not_fill_its_report(self, tmp_path: Path) -> None:
        bucket = Bucket()
        reporter = self.reporter(bucket, tmp_path)
        for number in range(3 * KEPT):
            reporter.say("configured", str(number))
        assert len(reports(bucket)) == KEPT
        assert reports(bucket)[-1] == ("configured", str(3 * KEPT - 1))


def test_the_fence_names_both_addresses_and_spares_root_only() -> None:
    commands = Commands()
    assert fence(commands) == "nft"
    rules = commands.seen[0][-1]
    assert "ip daddr 169.254.169.254 meta skuid != 0 reject" in rules
    assert "ip6 daddr fd00:ec2::254 meta skuid != 0 reject" in rules
    assert "ip daddr 169.254.169.254 drop" in rules


def test_an_image_without_nft_is_fenced_by_routing_rules() -> None:
    commands = Commands(sh=Ran(127, "nft: not found"))
    assert fence(commands) == "ip rule"
    added = [line for line in commands.lines() if "rule add " in line]
    assert len(added) == 2
    assert all("uidrange 1-4294967294 prohibit" in line for line in added)


def test_an_image_that_cannot_be_fenced_is_given_up_with_what_was_tried() -> None:
    with pytest.raises(Unfenced, match=r"nft: no such table; ip rule: not found"):
        fence(Commands(sh=Ran(1, "no such table"), ip=Ran(127, "not found")))


def test_addresses_that_cannot_be_reached_are_named_each_with_its_reason() -> None:
    def refuse(host: str, port: int, seconds: float) -> None:
        if host == "ap.pool.example":
            raise ConnectionRefusedError(111, "Connection refused")
        if host == "cm.pool.example":
            raise socket.gaierror(-2, "Name or service not known")

    assert unreachable(["cm.pool.example", "x:9999", "ap.pool.example:9620"], refuse) == (
        "cm.pool.example:9618 cannot be reached from this machine (name or service not known); "
        "ap.pool.example:9620 cannot be reached from this machine (connection refused)"
    )
    assert unreachable(["x"], refuse) == ""


def test_a_real_port_is_reached_and_a_closed_one_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect("127.0.0.1", port, 60)
    with socket.socket() as kept:  # bound and deaf: nobody else gets the port meanwhile
        kept.bind(("127.0.0.1", 0))
        port = kept.getsockname()[1]
        assert "(connection refused)" in unreachable([f"127.0.0.1:{port}"])


class Image:
    """Which programs an image has; installing the package adds HTCondor's."""

    def __init__(self, *programs: str, package: str = "condor", fails: int = 0) -> None:
        self.programs = set(programs)
        self.package = package
        self.fails = fails
        self.seen = []

    def which(self, name: str) -> str | None:
        return "/usr/bin/" + name if name in self.programs else None

    def __call__(
        self, args: Sequence[str], seconds: float, environment: dict[str, str] | None = None
    ) -> Ran:
        self.seen.append(" ".join(args))
        if "install" in args:
            if self.fails:
                self.fails -= 1
                return Ran(100, "Reading...\nE: Unable to locate package condor\ntrailer")
            if args[-1] == self.package:
                self.programs.add("condor_master")
                return Ran(0)
            return Ran(100, f"E: Unable to locate package {args[-1]}")
        return Ran(0)


def test_an_image_with_htcondor_needs_no_installation() -> None:
    assert installed(Image("condor_master").which)
    assert not installed(Image().which)


@pytest.mark.parametrize("package", ["condor", "htcondor"])
@pytest.mark.parametrize("manager", ["apt-get", "dnf"])
def test_htcondor_is_installed_without_being_started(manager: str, package: str) -> None:
    image = Image(manager, package=package)
    install(image, image.which, lambda _: None)
    assert image.seen[0] == "systemctl mask --runtime condor.service"
    assert image.seen[-1] == "systemctl unmask --runtime condor.service"
    assert "condor_master" in image.programs


def test_a_mirror_that_is_away_is_tried_again() -> None:
    image, slept = Image("apt-get", fails=4), []
    install(image, image.which, slept.append)
    assert slept == [15, 30]


def test_what_the_package_manager_said_is_the_reason_and_the_service_is_not_left_masked() -> None:
    image = Image("apt-get", fails=99)
    with pytest.raises(NotInstalled, match=r"apt-get: E: Unable to locate package condor\."):
        install(image, image.which, lambda _: None)
    assert image.seen[-1] == "systemctl unmask --runtime condor.service"
    with pytest.raises(NotInstalled, match="neither HTCondor nor apt-get or dnf"):
        install(Image(), Image().which, lambda _: None)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (Ran(0, "ActiveState=active\nResult=success\n"), Condor.UP),
        (Ran(0, "ActiveState=activating\nResult=exit-code\n"), Condor.CHANGING),
        (Ran(0, "ActiveState=deactivating\nResult=success\n"), Condor.CHANGING),
        (Ran(0, "ActiveState=reloading\nResult=success\n"), Condor.CHANGING),
        (Ran(0, "ActiveState=inactive\nResult=success\n"), Condor.ENDED),
        (Ran(0, "ActiveState=inactive\nResult=exit-code\n"), Condor.FAILED),
        (Ran(0, "ActiveState=failed\nResult=start-limit-hit\n"), Condor.FAILED),
        (Ran(1, "Failed to connect to bus"), Condor.CHANGING),
        (Ran(TIMED_OUT, ""), Condor.CHANGING),
    ],
)
def test_htcondors_service_is_seen_as_systemd_has_it(answer: Ran, state: Condor) -> None:
    assert Eyes(Commands(systemctl=answer), INSTANCE).condor() is state


def test_jobs_are_counted_by_their_starters(tmp_path: Path) -> None:
    for pid, name in ((1, "systemd"), (7, "condor_starter"), (8, "condor_startd")):
        (tmp_path / f"proc/{pid}").mkdir(parents=True)
        (tmp_path / f"proc/{pid}/comm").write_text(name + "\n")
    (tmp_path / "proc/9").mkdir()
    assert Eyes(Commands(), INSTANCE, root=str(tmp_path)).jobs() == 1


def test_the_last_job_left_its_trace_in_a_slots_log(tmp_path: Path) -> None:
    logs = tmp_path / "var/log/condor"
    logs.mkdir(parents=True)
    eyes = Eyes(
        Commands(condor_config_val=Ran(0, "/var/log/condor\n")), INSTANCE, root=str(tmp_path)
    )
    assert eyes.last_job_trace() == 0
    assert eyes.startd_address() == ""
    for name, when in (("StarterLog.slot1_1", 100), ("StarterLog.slot1_2", 300), ("StartLog", 900)):
        (logs / name).touch()
        os.utime(logs / name, (when, when))
    (logs / ".startd_address").write_text("<10.0.0.1:9618>\n$CondorVersion$\n")
    assert eyes.last_job_trace() == 300
    assert eyes.startd_address() == "<10.0.0.1:9618>"


@pytest.mark.parametrize(
    ("answer", "joined"),
    [
        (Ran(0, "slot1@ip-10-0-0-1@i-0.alice.annex\n"), True),
        (Ran(0, ""), False),
        (
            Ran(
                1,
                "Error: communication error\n"
                "AUTHENTICATE:1003:Failed to authenticate with any method\n"
                "AUTHENTICATE:1004:Failed to authenticate using IDTOKENS\n",
            ),
            False,
        ),
        (
            Ran(1, 'SECMAN:2010:Received "DENIED" from server for user unauthenticated@unmapped'),
            False,
        ),
        # Behind condor_shared_port a collector that is down closes the connection, or says nothing.
        (
            Ran(
                1,
                "Error: communication error\nSECMAN:2007:Failed to received post-auth ClassAd\n",
            ),
            None,
        ),
        (Ran(1, "CEDAR:6001:Failed to connect to <10.0.0.9:9618>"), None),
        (Ran(TIMED_OUT, "condor_status did not end within 20 s"), None),
        (Ran(NOT_FOUND, "condor_status: No such file or directory"), None),
    ],
)
def test_being_in_the_pool_is_what_the_collector_says(answer: Ran, joined: bool | None) -> None:
    commands = Commands(condor_status=answer)
    assert Eyes(commands, INSTANCE).joined() is joined
    assert f'EC2InstanceID =?= "{INSTANCE}"' in commands.seen[0]


def test_commands_end_in_time_and_never_raise() -> None:
    assert run(["sh", "-c", "echo out; echo err >&2; exit 3"], 10) == Ran(3, "out\nerr\n")
    assert run(["sh", "-c", "echo $A"], 10, {"A": "b"}) == Ran(0, "b\n")
    assert run(["/nonexistent/program"], 10).code == NOT_FOUND
    assert run([sys.executable, "-c", "import time; time.sleep(60)"], 0.2).code == TIMED_OUT
    assert Ran(1, "first\n  last  \n\n").last_line == "last"
    assert Ran(4).last_line == "exit status 4"
