"""EC2 takes a spot annex's machines back: the job goes on elsewhere, and status knows why."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from stage import AT_ONCE, BAKED, PATIENCE, WAITING, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stage import Stage

pytestmark = pytest.mark.pool

ANNEX = "TakenBack"
# Seconds in which a job that is asked to go has to send what it keeps. Most take a moment of it.
VACATE = 30
# It begins, and goes on where it was when it was interrupted.
_SCRIPT = """\
#!/bin/sh
[ -s progress ] && echo "went on after $(cat progress)" && exit 0
trap 'exit 1' TERM
hostname -f >progress
while :; do sleep 0.2; done
"""
_JOB = f"""\
executable = restarts.sh
output = restarts.out
log = restarts.log
should_transfer_files = yes
when_to_transfer_output = ON_EXIT_OR_EVICT
transfer_output_files = progress
request_cpus = 1
request_memory = 64
request_disk = 10M
requirements = TARGET.AnnexName =?= "{ANNEX}"
+MayUseAWS = True
queue
"""


@pytest.fixture(scope="module")
def spot_annex(stage: Stage) -> Iterator[str]:
    """Two spot machines in the pool."""
    iam = stage.client("iam")
    with suppress(iam.exceptions.InvalidInputException):  # there already
        iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")
    words = ("--spot", "--count", "2", "--duration", "0.5", "--ami-id", BAKED, "--yes")
    with stage.settings(vacate_seconds=VACATE):
        done = stage.annex("start", ANNEX, *words, *WAITING)
    assert done.status == 0, done.err
    yield ANNEX
    stage.annex("stop", ANNEX, "--yes")


def interrupt(instance: str, *words: str) -> None:
    """EC2 gives notice."""
    way = [sys.executable, "-m", "local", "interrupt", instance, *words]
    subprocess.run(way, check=True, capture_output=True, timeout=PATIENCE)


def queued(stage: Stage, job: str, attribute: str) -> str:
    return stage.run("condor_q", job, "-af", attribute).out.strip()


def shown(stage: Stage, instance: str) -> Any:
    """The machine as status has it."""
    machines = stage.view(ANNEX)["instances"]
    return next(one for one in machines if one["instance_id"] == instance)


def test_a_reclaimed_machine_s_job_goes_on_elsewhere_and_completes(
    stage: Stage, spot_annex: str
) -> None:
    stage.run("sh", "-c", "cat >restarts.sh && chmod +x restarts.sh", stdin=_SCRIPT)
    job = stage.run("condor_submit", "-terse", stdin=_JOB).out.split(".")[0]
    host = wait_for(lambda: queued(stage, job, "RemoteHost").partition("@")[2], "the job")
    wait_for(lambda: "executing" in stage.run("cat", "restarts.log").out, "its start")
    node, _, name = host.partition("@")
    instance = name.split(".")[0]
    assert shown(stage, instance)["lifecycle"] == "spot"

    interrupt(instance, "--rebalance")
    wait_for(lambda: shown(stage, instance)["rebalance_at"], "the warning in status")
    assert "EC2 may take it back soon" in stage.annex("status", spot_annex).out
    interrupt(instance)
    wait_for(lambda: not queued(stage, job, "JobStatus"), "the job's end")
    assert stage.run("cat", "restarts.out").out == f"went on after {node}\n"
    ran = stage.run("condor_history", job, "-limit", "1", "-af", "NumJobStarts", "LastRemoteHost")
    starts, last = ran.out.split()
    assert starts == "2"
    assert instance not in last

    wait_for(lambda: shown(stage, instance)["state"] == "terminated", "the machine's end")
    told = shown(stage, instance)
    assert told["reason"].startswith("reclaimed by EC2 at ")
    assert told["reclaim_at"] in told["reason"]
    assert told["reason"] in " ".join(stage.annex("status", spot_annex).out.split())
    assert stage.view(spot_annex)["state"] == "active"
    assert len(stage.machines(spot_annex)) == 1


def test_an_annex_whose_last_machine_was_reclaimed_says_so(stage: Stage, spot_annex: str) -> None:
    (last,) = stage.machines(spot_annex)
    interrupt(last)
    wait_for(lambda: stage.view(spot_annex)["state"] == "terminated", "the annex's end")
    assert "its last machine has ended: reclaimed by EC2 at " in stage.view(spot_annex)["reason"]
    wait_for(lambda: not stage.slots(spot_annex), "the slots' end", AT_ONCE)
