"""A machine that vanishes like a pulled plug: what it leaves in the pool, and who removes it."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from stage import AT_ONCE, BAKED, WAITING, wait_for
from test_jobs import queue, status, submit

from local.host import running_pid

if TYPE_CHECKING:
    from stage import Stage

pytestmark = pytest.mark.pool
__all__ = ["queue"]

START = ("start", "Vanished", "--duration", "0.5", "--ami-id", BAKED, "--yes", *WAITING)


def vanish(stage: Stage, instance_id: str) -> None:
    """Cut every wire, so that no connection is closed, and then the power."""
    pid = running_pid(stage.state / "hosts" / instance_id)
    assert pid is not None
    inside = ["nsenter", f"--target={pid}", "--net", "--"]
    drop = (
        "add table inet gone; add chain inet gone o { type filter hook output priority -300;"
        " policy drop; }; add chain inet gone i { type filter hook input priority -300;"
        " policy drop; }"
    )
    subprocess.run([*inside, "nft", "-f", "-"], input=drop, text=True, check=True, timeout=AT_ONCE)
    os.kill(pid, signal.SIGKILL)


def test_what_a_vanished_machine_left_is_shown_and_removed(stage: Stage, queue: None) -> None:
    started = stage.annex(*START, "--json")
    assert started.status == 0, started.err
    (instance_id,) = started.json()["instances"]
    jobs = [submit(stage, "Vanished", f"lost{number}") for number in range(2)]
    for job in jobs:
        wait_for(lambda job=job: status(stage, job) == "2", "the job running")

    vanish(stage, instance_id)
    (machine,) = wait_for(
        lambda: (seen := stage.view("Vanished")["instances"])[0]["state"] == "terminated" and seen,
        "EC2's word that it is gone",
    )
    assert "'annex-client forget Vanished' removes them" in machine["reason"]
    assert not machine["joined"]
    assert machine["slots"] >= 1
    assert [status(stage, job) for job in jobs] == ["2", "2"]

    asked = stage.annex("forget", "Vanished", stdin="no\n")
    assert "Nothing was changed." in asked.out
    assert stage.slots("Vanished")

    kept, dropped = (f"{job}.0" for job in jobs)
    assert stage.run("condor_rm", dropped).status == 0
    done = stage.annex("forget", "Vanished", "--yes", "--json")
    assert done.status == 6, done.err
    assert f"job {kept} seems to run there until its job lease ends" in done.err
    (told,) = done.json()["machines"]
    assert told["instance_id"] == instance_id
    assert (told["jobs_let_go"], told["jobs_left"]) == ([dropped], [kept])
    assert told["slots_removed"]
    assert not stage.slots("Vanished")
    masters = stage.run("condor_status", "-master", "-annex", "Vanished", "-af", "Name")
    assert masters.out == ""
    assert [status(stage, job) for job in jobs] == ["2", ""]
    (machine,) = stage.view("Vanished")["instances"]
    assert "forget" not in machine["reason"]

    assert stage.run("condor_rm", kept).status == 0
    again = stage.annex("forget", "Vanished", "--yes")
    assert (again.status, f"job {kept}, which had been removed, is gone" in again.out) == (0, True)
    last = stage.annex("forget", "Vanished", "--yes")
    assert (last.status, "has left slots or jobs" in last.out) == (0, True), last.err
