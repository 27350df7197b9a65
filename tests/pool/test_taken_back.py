"""EC2 takes a spot machine back: its real jobs, and how it leaves a real pool."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cloud import wait_for

from chalicelib import program, userdata

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloud import Cloud, Instance

    from local.pool import Pool

pytestmark = pytest.mark.pool

KEPT = "/var/lib/htcondor-annex/configuration.json"
# It notes what it has done so far, and once more when it is asked to go.
_SAVING = """\
#!/bin/sh
trap 'echo asked to go >>progress; exit 1' TERM
echo begun >progress
while :; do sleep 0.2; done
"""
_STUBBORN = """\
#!/bin/sh
trap '' TERM
while :; do sleep 0.2; done
"""
_JOB = """\
executable = {name}.sh
log = {name}.log
should_transfer_files = yes
{more}
request_cpus = 1
request_memory = 64
request_disk = 10M
requirements = TARGET.AnnexName =?= "{annex}"
+MayUseAWS = True
queue
"""


def iso(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class SpotMachine:
    """A machine with the whole machine program; only S3 is missing."""

    annex: str
    instance: Instance
    cloud: Cloud
    pool: Pool
    pace: float  # seconds from its launch to its slot: how fast this computer is

    def told(self, path: str, field: str, when: float) -> None:
        """EC2 says something in the metadata service."""
        told = json.dumps({"action": "terminate", field: iso(when)})
        first, *rest = path.split("/")
        for name in reversed(rest):
            told = {name: told}  # type: ignore[assignment]
        self.cloud.ec2.more[self.instance.name][first] = told

    def submit(self, name: str, script: str, more: str = "") -> str:
        """Submit a job for this annex, and return its id."""
        write = ["sh", "-c", f"cat >{name}.sh && chmod +x {name}.sh"]
        assert self.pool.run("ap", write, user="alice", stdin=script).returncode == 0
        job = _JOB.format(name=name, annex=self.annex, more=more)
        done = self.pool.run("ap", ["condor_submit", "-terse"], user="alice", stdin=job)
        assert done.returncode == 0, done.stderr
        return done.stdout.split(".")[0]

    def status(self, job: str) -> str:
        """HTCondor's JobStatus: 1 idle, 2 running."""
        return self.pool.run("ap", ["condor_q", job, "-af", "JobStatus"]).stdout.strip()

    def runs(self, *jobs: str) -> None:
        """Wait until the jobs run."""
        for job in jobs:
            wait_for(lambda job=job: self.status(job) == "2", f"job {job} running")

    def slots(self, attribute: str = "Name") -> list[str]:
        """Its slots in the collector, an attribute each."""
        ask = ["condor_status", "-annex", self.annex, "-af", attribute]
        return self.pool.run("ap", ask).stdout.splitlines()

    def events(self) -> list[tuple[str, str]]:
        """What it has said of itself."""
        kept = f"/var/lib/htcondor-annex/events-{self.instance.name}.json"
        text = self.instance.run("cat", kept).stdout
        return [(one["phase"], one["reason"]) for one in json.loads(text or "[]")]


@pytest.fixture
def spot(cloud: Cloud, pool: Pool) -> Callable[..., SpotMachine]:
    """Boot a spot machine of an annex of alice's that has joined the pool."""

    def boot(annex: str, **changes: Any) -> SpotMachine:
        end = datetime.now(UTC) + timedelta(hours=1)
        given = userdata.MachineParameters(
            annex_name=annex,
            annex_id=f"annex-{annex}",
            bucket="none",
            key="config/none.json",
            region="us-east-1",
            role_id="AROATEST",
            lease_expires_at=end,
            dead_man_margin_seconds=60,
            boot_limit_seconds=300,
        )
        began = time.monotonic()
        instance = cloud.boot(
            userdata.compose(given, None), more={"instance-life-cycle": "spot", **_role()}
        )
        instance.booted()
        whole = {**_configuration(annex, token(pool), end), **changes}
        place(instance, KEPT, json.dumps(whole).encode())
        # What fetches the program waits for it, and cares not where it comes from.
        where = f"/usr/local/lib/htcondor-annex/annex-{annex}.pyz"
        place(instance, where, base64.b64decode(program.whole()))
        machine = SpotMachine(annex, instance, cloud, pool, 0)
        wait_for(machine.slots, f"a slot of {annex}")
        machine.pace = time.monotonic() - began
        return machine

    return boot


def place(instance: Instance, path: str, content: bytes) -> None:
    """Put a file on a machine, whole or not at all."""
    script = 'mkdir -p "${0%/*}" && base64 -d >"$0.new" && mv "$0.new" "$0"'
    text = base64.b64encode(content).decode()
    wait_for(lambda: instance.run("sh", "-c", script, path, stdin=text).returncode == 0, path)


def token(pool: Pool) -> str:
    """A token of alice's for annex machines."""
    scopes = ("READ", "ADVERTISE_STARTD", "ADVERTISE_MASTER")
    authz = [word for scope in scopes for word in ("-authz", scope)]
    fetch = ["condor_token_fetch", "-key", "annex", "-lifetime", "3600", *authz]
    fetched = pool.run("ap", fetch, user="alice")
    assert fetched.returncode == 0, fetched.stderr
    return fetched.stdout.strip()


def _role() -> dict[str, Any]:
    keys = {"Code": "Success", "AccessKeyId": "A", "SecretAccessKey": "S", "Token": "T"}
    keys["Expiration"] = iso(time.time() + 3600)
    return {"iam": {"security-credentials": {"role": json.dumps(keys)}}}


def _configuration(annex: str, token: str, end: datetime) -> dict[str, Any]:
    """docs/architecture.md, The configuration object."""
    return {
        "format": 1,
        "annex_name": annex,
        "annex_id": f"annex-{annex}",
        "generation": 1,
        "lease_expires_at": iso(end.timestamp()),
        "idle_seconds": 900,
        "retire_seconds": 300,
        "vacate_seconds": 30,
        "dead_man_margin_seconds": 60,
        "unjoined_limit_seconds": 300,
        "ending": False,
        "identity": "alice@pool.example",
        "owners": ["alice@pool.example"],
        "any_owner": False,
        "pool": {"collector_host": "cm.pool.example:9618", "trust_domain": "pool.example"},
        "token": token,
        "config_files": {},
    }


def test_a_reclaimed_machine_frees_its_jobs_and_is_gone_before_its_time(
    spot: Callable[..., SpotMachine],
) -> None:
    # Jobs may take their time, so that it is the machine that ends the one that will not go.
    machine = spot("Reclaimed", vacate_seconds=600)
    keeps = "when_to_transfer_output = ON_EXIT_OR_EVICT\ntransfer_output_files = progress"
    saving = machine.submit("saving", _SAVING, keeps)
    stubborn = machine.submit("stubborn", _STUBBORN)
    machine.runs(saving, stubborn)

    # Half a minute before it the stubborn job is ended, too: the rest has to be seen until then.
    deadline = time.time() + 55 + 3 * machine.pace
    machine.told("spot/instance-action", "time", deadline)
    taken = f"EC2 takes this machine back at {iso(deadline)}."
    wait_for(lambda: taken in machine.slots("DrainReason"), "the drain's reason")
    assert machine.events()[-1] == ("ending", f"reclaimed by EC2 at {iso(deadline)}")
    wait_for(lambda: machine.status(saving) == "1", "the job that goes when asked idle again")
    assert machine.status(stubborn) == "2"
    pool = machine.pool
    spool = pool.run("ap", ["condor_config_val", "SPOOL"]).stdout.strip()
    kept = ["find", spool, "-name", "progress", "-exec", "cat", "{}", ";"]
    assert pool.run("ap", kept).stdout == "begun\nasked to go\n"

    assert machine.instance.off.wait(deadline - time.time()), machine.instance.console_end()
    wait_for(lambda: machine.status(stubborn) == "1", "the stubborn job idle again")
    wait_for(lambda: not machine.slots(), "the slots' end")
    pool.run("ap", ["condor_rm", "alice"], user="alice")


def test_a_machine_that_retires_at_ec2_s_warning_ends_with_the_job_it_has(
    spot: Callable[..., SpotMachine],
) -> None:
    machine = spot("Warned", on_rebalance="retire")
    running = machine.submit("running", _SAVING)
    machine.runs(running)
    machine.told("events/recommendations/rebalance", "noticeTime", time.time())
    wait_for(lambda: set(machine.slots("Start")) == {"false"}, "the slots closed")
    wait_for(lambda: machine.events()[-1][0] == "retiring", "its word")
    assert "EC2 may take it back soon" in machine.events()[-1][1]
    assert machine.status(running) == "2"

    waiting = machine.submit("waiting", _SAVING)
    machine.pool.run("ap", ["condor_rm", running], user="alice")
    machine.instance.ended()
    # The access point may try the old claim; the machine takes no job for it.
    wait_for(lambda: machine.status(waiting) == "1", "the other job idle")
    log = machine.pool.run("ap", ["cat", "waiting.log"], user="alice").stdout
    assert "executing" not in log, log
    machine.pool.run("ap", ["condor_rm", "alice"], user="alice")
