"""Machines that fail, idle, outlive a token, or lose the collector: side by side, in four minutes.

One play for the whole file, whose tests look at it in turn: machines start at once, the collector
is stopped while the host it is on goes on, and comes back after the first token's end.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.credentials import Credentials
from stage import AT_ONCE, BAKED, Done, wait_for
from test_jobs import status, submit
from test_leases import seconds

from tests.account.support import LocalAccount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stage import Stage

pytestmark = pytest.mark.pool

GONE = ("shutting-down", "terminated")
TOKEN = "/etc/condor/tokens.d/annex"
# Boothooks run before the annex's own part. The first leaves apt nothing to install from; the other
# puts a folder where that part has to write a file, so that it breaks off.
NO_PACKAGES = "#cloud-boothook\n#!/bin/sh\n: >/etc/apt/sources.list\n"
HALF_WAY = "#cloud-boothook\n#!/bin/sh\nmkdir -p /usr/local/lib/htcondor-annex/fetch.pyz.new\n"
# Seconds. Machines join with the first token, and have looked for a new one (at most a minute
# later) when it ends; the collector stays away until then, and for longer than the idle time and
# the limit for machines that are not in the pool (75 s).
FIRST_TOKEN, IDLE, BOOT_LIMIT = 150, 80, 75
# A machine that leaves at its lease's end begins to so long before.
LEAVING = 31
IDLE_WORDS = ("--idle", str(IDLE / 3600))
KILL = "systemctl kill --kill-whom=main -s KILL condor.service"
CLOSE_TO_ITS_END = ("0.04", "0.042")  # hours: the last minutes of a lease, and a renewal in them


def token_of(stage: Stage, lifetime: int) -> str:
    """A token such as the client asks for, with an end of our own."""
    scopes = ("READ", "ADVERTISE_STARTD", "ADVERTISE_MASTER")
    words = [word for scope in scopes for word in ("-authz", scope)]
    done = stage.run("condor_token_fetch", "-key", "annex", "-lifetime", str(lifetime), *words)
    assert done.status == 0, done.err
    return done.out.strip()


def expiry(token: str) -> int:
    part = token.split(".")[1]
    return int(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["exp"])


def start_with_short_token(stage: Stage, name: str) -> str:
    """Two machines by the API itself, since the client asks for no token that ends so soon."""
    token = token_of(stage, FIRST_TOKEN)
    body = {
        "request_id": str(uuid.uuid4()),
        "name": name,
        "count": 2,
        "duration_seconds": 1800,
        "idle_seconds": 1800,
        "ami_id": BAKED,
        "identity": "alice@pool.example",
        "owners": ["alice@pool.example"],
        "pool": {"collector_host": "cm.pool.example:9618", "trust_domain": "pool.example"},
        "token": token,
    }
    keys = json.loads((stage.state / "annex-user.json").read_text())
    alice = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"])
    (api,) = stage.client("apigateway").get_rest_apis()["items"]
    aws = LocalAccount(stage.state, stage.account.admin.env or {})
    path = f"/{api['id']}/api/annexes"
    answer = aws.call_api("POST", path, alice, json.dumps(body).encode())
    assert answer[0] in (201, 202), answer[:2]
    return token


class Play:
    """What is going on; the tests read it in the order of the file."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.jobs: dict[str, str] = {}
        start = ("--duration", "0.5", "--yes")
        with stage.settings(boot_limit_seconds=BOOT_LIMIT):
            self._user_data("half-way", HALF_WAY)
            self.annex("start", "HalfWay", *start, "--user-data-file", "half-way")
        self._user_data("no-packages", NO_PACKAGES)
        self.annex("start", "Unpacked", *start, "--user-data-file", "no-packages")
        baked = ("--ami-id", BAKED)
        for name, more in (("Masterless", ()), ("Brief", ()), ("Paused", IDLE_WORDS)):
            self.annex("start", name, *start, *baked, *more)
        self.first_token = start_with_short_token(stage, "Tokens")
        self._begin()

    def _begin(self) -> None:
        """Jobs, renewals, a dead master; then the collector goes.

        Nothing here has to be quick: no clock runs before the jobs do, and no lease is short.
        """
        stage = self.stage
        stage.joined("Paused")
        self.jobs["Paused"] = submit(stage, "Paused", "paused")
        for name in ("Tokens", "Brief", "Masterless"):
            stage.joined(name)
        wait_for(lambda: len({*stage.slots("Tokens", "EC2InstanceID")}) == 2, "both")
        self.fresh, self.stale = sorted(stage.machines("Tokens"))
        mine = f' && TARGET.EC2InstanceID =?= "{self.fresh}"'
        self.jobs["Tokens"] = submit(stage, "Tokens", "tokens", where=mine)
        for name in ("Brief", "Lasting"):
            self.jobs[name] = submit(stage, name, name.lower())
        (broken,) = stage.machines("Masterless")
        stage.on(broken, "sh", "-c", f"mv /usr/sbin/condor_master /root && {KILL}")
        for job in self.jobs.values():
            wait_for(lambda job=job: status(stage, job) == "2", "the job running")
        short, renewed = CLOSE_TO_ITS_END
        self.annex("renew", "Brief", "--duration", short, "--shorten")
        self.brief = self.annex("renew", "Brief", "--duration", renewed, status=6)
        self.annex("renew", "Tokens", "--duration", "0.7")
        self.collector("off")
        # From here on it is idle, and the watcher may take a minute to miss the collector. The job
        # dies on the machine: condor_rm would need the collector, to be called back (CCB).
        (paused,) = stage.machines("Paused")
        stage.on(paused, "pkill", "-KILL", "-x", "sleep")
        self.without_collector_since = time.time()

    def bring_the_collector_back(self) -> None:
        """Start it, and what takes its time from here on.

        A machine that was there before is called for a new job a minute later only: it has to
        register for that again (CCB). So the one for short jobs is new. And a lease is moved so
        that its last tenth, without new jobs, is half a minute longer than what leaving takes.
        """
        self.collector_on()
        self.short_jobs = submit(self.stage, "Busy", "busy", arguments="2", count=1000)
        start = ("--duration", "0.5", "--ami-id", BAKED, "--yes")
        self.annex("start", "Busy", *start, *IDLE_WORDS)
        (machine,) = self.stage.view("Lasting")["instances"]
        age = time.time() - seconds(machine["launched_at"])
        left = max(170, 10 * (LEAVING + 30) - age)
        self.annex("renew", "Lasting", "--duration", str(left / 3600), "--shorten")

    def _user_data(self, name: str, text: str) -> None:
        assert self.stage.run("sh", "-c", f"cat >{name}", stdin=text).status == 0

    def annex(self, *words: str, status: int = 0) -> Done:
        done = self.stage.annex(*words)
        assert done.status == status, done.out + done.err
        return done

    def collector(self, how: str) -> None:
        """Stop or start the collector alone: its port, of condor_shared_port, stays open."""
        env = {"_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "FS"}
        words = (f"condor_{how}", "-daemon", "collector")
        done = self.stage.run(*words, user="root@cm", env=env)
        assert done.status == 0, done.out + done.err

    def collector_on(self) -> None:
        """Bring it back, and wait until it knows the schedd, which clients ask it for."""
        self.collector("on")
        ask = ("condor_status", "-schedd", "-af", "Name")
        wait_for(lambda: self.stage.run(*ask).out, "the schedd in the collector")

    def gone(self, name: str) -> str:
        """Wait for an annex's end; its reason."""

        def over() -> Any:
            view = self.stage.view(name)
            return view if view["state"] == "terminated" else None

        return str(wait_for(over, f"the end of {name}")["reason"])


@pytest.fixture(scope="module")
def play(stage: Stage) -> Iterator[Play]:
    stage.joined("Lasting")
    play = Play(stage)
    yield play
    play.collector_on()
    stage.run("condor_rm", "alice")
    for name in ("HalfWay", "Unpacked", "Masterless", "Paused", "Busy", "Brief", "Tokens"):
        stage.annex("stop", name, "--yes")


def test_a_renewal_in_the_last_minutes_names_the_machine_it_may_not_have_reached(
    play: Play,
) -> None:
    said = " ".join(play.brief.out.split())
    assert "1 machine did not hear of it and may end as planned before: i-" in said


def test_a_lease_ends_without_the_collector_and_its_job_is_idle_at_once(play: Play) -> None:
    stage = play.stage
    view = stage.view("Brief")
    ends, (machine,) = seconds(view["lease_expires_at"]), view["instances"]
    wait_for(lambda: not stage.machines("Brief"), "the machine's end")
    # It leaves half a minute early, in a few seconds: that is a minute for a machine that is slow.
    assert time.time() < ends + LEAVING, "the lease was exceeded"
    assert seconds(stage.events(machine["instance_id"])["ending"]) < ends
    wait_for(lambda: status(stage, play.jobs["Brief"]) == "1", "the job idle again", AT_ONCE)
    assert "The lease ends" in play.gone("Brief")


def test_a_master_that_cannot_come_back_ends_the_machine(play: Play) -> None:
    assert "HTCondor failed and could not be restarted" in play.gone("Masterless")


def test_packages_that_cannot_be_had_end_the_machine_and_are_named(play: Play) -> None:
    reason = play.gone("Unpacked")
    assert "HTCondor could not be installed by apt-get: E: Unable to locate package" in reason


def test_user_data_that_breaks_off_is_ended_by_the_dead_man_s_timer(play: Play) -> None:
    reason = play.gone("HalfWay")
    assert "it left no report: its user data broke off" in reason


def test_while_the_collector_is_away_no_machine_ends_of_it(play: Play) -> None:
    """Idle and join clocks pause: both would have run out meanwhile."""
    stage = play.stage
    try:
        wait_for(lambda: not status(stage, play.jobs["Paused"]), "the end of the job there")
        fresh_token(play)
        stage.on(play.stale, "sh", "-c", f"printf '%s\\n' '{play.first_token}' >{TOKEN}")
        until = max(expiry(play.first_token), play.without_collector_since + IDLE + 5)
        wait_for(lambda: time.time() > until, "the first token's end")
        for name, machines in (("Paused", 1), ("Tokens", 2), ("Renewed", 1)):
            assert len(stage.machines(name)) == machines
        assert status(stage, play.jobs["Tokens"]) == "2"
    finally:
        play.bring_the_collector_back()  # for the others, whatever was seen here


def fresh_token(play: Play) -> None:
    """Wait for the renewal's token on both machines, long before the first one's end."""
    for machine in (play.fresh, play.stale):
        now = wait_for(
            lambda machine=machine: (
                (text := play.stage.on(machine, "cat", TOKEN).out.strip()) != play.first_token
                and text
            ),
            "the renewal's token",
        )
        assert expiry(now) > expiry(play.first_token) + 1800


def test_a_job_outlives_its_machine_s_first_token_and_the_collector(play: Play) -> None:
    """Its machine is let in again by the renewal's token; one with the first token is not."""
    stage = play.stage
    back = wait_for(
        lambda: (there := {*stage.slots("Tokens", "EC2InstanceID")}) and there, "the slots"
    )
    assert back == {play.fresh}
    job = stage.run("condor_q", play.jobs["Tokens"], "-af", "JobStatus", "NumShadowStarts")
    assert job.out.split() == ["2", "1"]
    wait_for(lambda: play.stale not in stage.machines("Tokens"), "the stale one's end")
    assert {*stage.slots("Tokens", "EC2InstanceID")} == {play.fresh}
    reasons = {one["instance_id"]: one["reason"] for one in stage.view("Tokens")["instances"]}
    assert "It was refused: cm.pool.example" in reasons[play.stale]


def test_ec2_s_own_terminate_frees_job_and_slots_at_once(play: Play) -> None:
    stage = play.stage
    stage.client("ec2").terminate_instances(InstanceIds=[play.fresh])
    wait_for(lambda: not stage.slots("Tokens"), "the slots' end", AT_ONCE)
    wait_for(lambda: status(stage, play.jobs["Tokens"]) == "1", "the job idle again", AT_ONCE)


def test_a_machine_of_many_short_jobs_is_never_idle(play: Play) -> None:
    """Each job is shorter than the watcher's look, and all of them longer than the idle time."""
    stage = play.stage
    stage.joined("Busy")
    (machine,) = stage.machines("Busy")
    joined = wait_for(lambda: stage.events(machine).get("joined"), "its own word of it")
    wait_for(lambda: time.time() > seconds(joined) + IDLE + 10, "more than the idle time")
    assert stage.machines("Busy") == [machine]
    assert status(stage, play.short_jobs), "no jobs were left"
    stage.run("condor_rm", play.short_jobs)


def test_in_the_last_minutes_no_job_begins_and_the_end_frees_all(play: Play) -> None:
    stage, job = play.stage, play.jobs["Lasting"]
    (machine,) = stage.machines("Lasting")
    wait_for(lambda: "retiring" in stage.events(machine), "the last minutes")
    late = submit(stage, "Lasting", "late")
    wait_for(lambda: not stage.machines("Lasting"), "the machine's end")
    wait_for(lambda: not stage.slots("Lasting"), "the slots' end", AT_ONCE)
    wait_for(lambda: status(stage, job) == "1", "the job idle again", AT_ONCE)
    idle_since = stage.run("condor_q", job, "-af", "EnteredCurrentStatus").out
    assert int(idle_since) >= seconds(stage.events(machine)["ending"]), "it was disturbed before"
    starts = stage.run("condor_q", late, "-af", "NumJobStarts").out.strip()
    assert starts in ("0", "undefined")


def test_an_idle_end_frees_the_slots(play: Play) -> None:
    """Of a machine that just vanishes they stay for a quarter of an hour."""
    for name in ("Paused", "Busy"):
        assert "It had no job for" in play.gone(name)
        wait_for(lambda name=name: not play.stage.slots(name), "the slots' end", AT_ONCE)
