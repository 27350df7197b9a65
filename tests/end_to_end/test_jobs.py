"""Whose jobs run on an annex, what they see there, and what becomes of them when it ends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from stage import AT_ONCE, BAKED, WAITING, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stage import Stage

pytestmark = pytest.mark.pool

TUTORIAL_ANNEX = "MyFirstAnnexalice"
_JOB = """\
executable = {executable}
transfer_executable = {transfer}
arguments = {arguments}
output = {name}.out
log = {name}.log
should_transfer_files = yes
request_cpus = 1
request_memory = 64
request_disk = 10M
requirements = TARGET.AnnexName =?= "{annex}"{where}
{more}
queue {count}
"""
# What a job could reach of the machine: the metadata service, the token, the configuration.
_PROBE = """\
#!/bin/sh
hostname
id -un
curl -s -m 3 -o /dev/null -w 'metadata %{http_code}\\n' http://169.254.169.254/latest/meta-data/
curl -s -m 3 -o /dev/null -w 'session %{http_code}\\n' -X PUT \\
    -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token
for folder in tokens.d passwords.d; do ls /etc/condor/$folder >/dev/null 2>&1 && echo open; done
ls /usr/local/lib/htcondor-annex /var/lib/htcondor-annex >/dev/null 2>&1 && echo open
echo complete
"""


def submit(
    stage: Stage,
    annex: str,
    name: str,
    executable: str = "/bin/sleep",
    arguments: str = "600",
    more: str = "+MayUseAWS = True",
    user: str = "alice",
    where: str = "",
    count: int = 1,
) -> str:
    """Submit a job for one annex, or several; its cluster's id."""
    transfer = "false" if executable.startswith("/") else "true"
    text = _JOB.format(
        executable=executable,
        transfer=transfer,
        arguments=arguments,
        name=name,
        annex=annex,
        more=more,
        where=where,
        count=count,
    )
    done = stage.run("condor_submit", "-terse", user=user, stdin=text)
    assert done.status == 0, done.err
    found = re.match(r"(\d+)\.0", done.out)
    assert found, done.out
    return found[1]


def status(stage: Stage, job: str, user: str = "alice") -> str:
    """HTCondor's JobStatus: 1 idle, 2 running; empty when it has left the queue."""
    return stage.run("condor_q", job, "-af", "JobStatus", user=user).out.strip()


def master_joined(stage: Stage, annex: str) -> None:
    """Wait for the ad that condor_off looks for: it comes some seconds after the slots'."""
    ask = ("condor_status", "-master", "-annex", annex, "-af", "Name")
    wait_for(lambda: stage.run(*ask).out, f"a master of {annex}")


def starts(stage: Stage, job: str, user: str = "alice") -> str:
    done = stage.run("condor_q", job, "-af", "JobStatus", "NumJobStarts", user=user)
    return done.out.strip()


@pytest.fixture
def queue(stage: Stage) -> Iterator[None]:
    """Nobody's jobs are left over."""
    yield
    for user in ("alice", "bob"):
        stage.run("condor_rm", user, user=user)


def test_an_annex_starts_works_for_its_owner_and_leaves_in_good_order(
    stage: Stage, queue: None
) -> None:
    start = stage.annex(
        *("start", "Short", "--count", "1", "--duration", "0.5", "--idle", "0.25"),
        *("--ami-id", BAKED, "--yes", *WAITING, "--json"),
    )
    assert start.status == 0, start.err
    assert start.json()["joined"] == 1
    job = submit(stage, "Short", "long")
    wait_for(lambda: status(stage, job) == "2", "the job running")

    view = wait_for(
        lambda: (seen := stage.view("Short"))["instances"][0]["claimed"] == 1 and seen,
        "the claim in the collector",
    )
    assert {key: view[key] for key in ("name", "owner", "state", "requested", "idle_seconds")} == {
        "name": "Short",
        "owner": "alice@pool.example",
        "state": "active",
        "requested": 1,
        "idle_seconds": 900,
    }
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", view["lease_expires_at"])
    assert view["reason"] == ""
    (machine,) = view["instances"]
    assert machine["instance_type"] == "m7i.large"
    assert machine["zone"].startswith("us-east-1")
    assert (machine["lifecycle"], machine["state"]) == ("on-demand", "running")
    assert machine["joined"] is True
    assert machine["slots"] >= 1
    everything = stage.annex("status", "--json").json()["annexes"]
    (summary,) = [one for one in everything if one["annex_id"] == view["annex_id"]]
    assert "instances" not in summary
    assert summary["counts"] == {"running": 1}

    stop = stage.annex("stop", "Short", "--yes", "--wait")
    assert stop.status == 0, stop.err
    assert "Short has ended." in stop.out
    wait_for(lambda: not stage.slots("Short"), "the slots' end", AT_ONCE)
    wait_for(lambda: status(stage, job) == "1", "the job idle again", AT_ONCE)
    assert not stage.machines("Short", ("pending", "running", "shutting-down", "stopping"))
    assert stage.view("Short")["reason"] == "stopped by its owner"


def test_only_flagged_jobs_of_the_owner_run_and_they_see_no_secrets(
    stage: Stage, queue: None
) -> None:
    stage.joined(TUTORIAL_ANNEX)  # the image without HTCondor: installed while it booted
    unflagged = submit(stage, TUTORIAL_ANNEX, "unflagged", more="")
    foreign = submit(stage, TUTORIAL_ANNEX, "foreign", user="bob")
    stage.run("sh", "-c", "cat >probe.sh && chmod +x probe.sh", stdin=_PROBE)
    # Twice, one after the other: the second proves a round of matching after all were there.
    for name in ("probe1", "probe2"):
        submit(stage, TUTORIAL_ANNEX, name, executable="probe.sh", arguments="")
        printed = wait_for(
            lambda name=name: (
                "complete" in (text := stage.run("grep", "-s", "", f"{name}.out").out) and text
            ),
            f"{name}'s output",
        )
        assert "ec2.internal" in printed
        assert "metadata 000" in printed
        assert "session 000" in printed
        assert "open" not in printed
        assert "root" not in printed
    assert starts(stage, unflagged).startswith("1 ")
    assert starts(stage, foreign, "bob").startswith("1 ")
    assert starts(stage, unflagged).split()[1] in ("0", "undefined")
    assert starts(stage, foreign, "bob").split()[1] in ("0", "undefined")


def test_the_tutorial_s_image_is_answered_with_a_sentence_and_the_default_one(stage: Stage) -> None:
    done = stage.noted("tutorial")
    assert done.status == 0, done.err
    assert "ami-cd5f95b0 is the tutorial's image of 2017" in done.err
    assert "Is that OK?" in done.out
    assert "Annex started." in done.out


def test_the_tutorial_s_setup_lines_work_again_and_again(stage: Stage) -> None:
    done = stage.admin("connect_annex", "-setup")
    assert done.status == 0, done.err
    assert "Setup successful." in done.out
    done = stage.run("connect_annex", "-check-setup")
    assert done.status == 0, done.err
    assert done.out.splitlines() == [
        "Checking for configuration bucket... OK.",
        "Checking for Lambda functions... OK.",
        "Checking for instance profile... OK.",
        "Checking for security group... OK.",
        "Your setup looks OK.",
    ]


def test_another_user_can_neither_switch_it_off_nor_end_nor_renew_it(stage: Stage) -> None:
    stage.joined("Renewed")
    master_joined(stage, "Renewed")
    done = stage.run("condor_off", "-annex", "Renewed", user="bob")
    assert "Can't send Kill-Daemon" in done.err, done.err
    assert "Sent" not in done.out
    for words in (("stop", "Renewed", "--yes"), ("renew", "Renewed", "--duration", "3")):
        stage.annex(*words, user="bob").refused(3, "belongs to another AWS identity")
    done = stage.annex("start", "Renewed", "--ami-id", BAKED, "--yes", "--grow", user="bob")
    done.refused(5, "taken")
    (machine,) = stage.view("Renewed")["instances"]
    assert (machine["state"], machine["joined"]) == ("running", True)
    lease = stage.run("condor_status", "-annex", "Renewed", "-af", "AnnexOwner").out.split()
    assert set(lease) == {"alice@pool.example"}


def test_its_owner_switches_it_off_as_in_the_tutorial(stage: Stage, queue: None) -> None:
    stage.joined(TUTORIAL_ANNEX)
    job = submit(stage, TUTORIAL_ANNEX, "switched-off")
    wait_for(lambda: status(stage, job) == "2", "the job running")
    master_joined(stage, TUTORIAL_ANNEX)
    done = stage.run("condor_off", "-annex", TUTORIAL_ANNEX)
    assert 'Sent "Kill-Daemon" command for "master"' in done.out, done.err
    wait_for(lambda: not stage.slots(TUTORIAL_ANNEX), "the slots' end", AT_ONCE)
    wait_for(lambda: status(stage, job) == "1", "the job idle again", AT_ONCE)
    wait_for(lambda: stage.view(TUTORIAL_ANNEX)["state"] == "terminated", "the annex's end")
    assert "HTCondor was shut down" in stage.view(TUTORIAL_ANNEX)["reason"]
