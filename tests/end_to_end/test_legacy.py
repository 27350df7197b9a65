"""An image as condor_annex's own were: Debian's package, unmodified, finds its configuration.

It knows no lease: what ends its machines is the control plane, and nothing on them.
"""

from __future__ import annotations

import io
import tarfile
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest
from stage import AT_ONCE, wait_for
from test_jobs import queue, starts, status, submit
from test_leases import seconds

from local import image, state

if TYPE_CHECKING:
    from stage import Done, Stage

pytestmark = pytest.mark.pool
__all__ = ["queue"]
LEGACY = "ami-0deb1e9ac000a0d64"
TOKEN = "/etc/condor/config.d/tokens.d/annex"
BRIEF = "0.02"  # hours: a lease that somebody can wait for
SWEPT_SECONDS = 70  # within these the schedule runs, whenever it ran last


def test_legacy_images_are_refused_until_setup_allows_them(stage: Stage) -> None:
    start = ("start", "Old", "--ami-id", LEGACY, "--legacy", "--duration", "0.5", "--yes")
    stage.annex(*start).refused(7, "setup --legacy")
    assert stage.machines("Old") == []


@pytest.fixture(scope="module")
def started(stage: Stage) -> None:
    """Side by side: an annex to be renewed, one to end by its lease, one to be stopped."""
    # What the archive takes its time to give, no machine waits for.
    image.Images(image.cache_folder(state.folder())).layers("legacy")
    done = stage.admin("annex-client", "setup", "--legacy")
    assert "Creating what legacy images need" in done.out, done.err
    for name in ("OldRenewed", "OldLeased", "Old"):
        start = ("start", name, "--ami-id", LEGACY, "--legacy", "--duration", "0.5", "--yes")
        done = stage.annex(*start)
        assert done.status == 0, done.err


class Renewed(NamedTuple):
    """A renewal, and when the lease would have ended without it."""

    done: Done
    first_end: int


@pytest.fixture(scope="module")
def renewed(stage: Stage, started: None) -> Renewed:
    """A running machine's brief lease, renewed."""
    stage.joined("OldRenewed")
    first_end = shortened(stage, "OldRenewed")
    return Renewed(stage.annex("renew", "OldRenewed", "--duration", "0.5"), first_end)


def shortened(stage: Stage, name: str) -> int:
    """Let an annex's lease be a brief one; its end."""
    done = stage.annex("renew", name, "--duration", BRIEF, "--shorten", "--json")
    assert done.status == 0, done.err
    assert done.json()["notes"] == []
    return seconds(done.json()["lease_expires_at"])


def lease_tags(stage: Stage, machine: str) -> list[int]:
    tags = stage.client("ec2").describe_tags(
        Filters=[
            {"Name": "resource-id", "Values": [machine]},
            {"Name": "key", "Values": ["htcondor:LeaseExpiration"]},
        ]
    )["Tags"]
    return [seconds(tag["Value"]) for tag in tags]


def tarballs(stage: Stage) -> dict[str, str]:
    """The tokens in the bucket, by annex id."""
    account = stage.client("sts").get_caller_identity()["Account"]
    s3, bucket = stage.client("s3"), f"htcondor-annex-legacy-{account}-us-east-1"
    found = {}
    for one in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        body = s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            token = archive.extractfile("tokens.d/annex")
            assert token is not None
            found[one["Key"][len("config-") : -len(".tar.gz")]] = token.read().decode()
    return found


def test_renewal_moves_ledger_and_tags_and_says_that_the_token_stays(
    stage: Stage, renewed: Renewed
) -> None:
    assert renewed.done.status == 0, renewed.done.err
    told = "1 machine has an image of condor_annex's own, which takes no new token"
    assert told in renewed.done.out
    view = stage.view("OldRenewed")
    ends = seconds(view["lease_expires_at"])
    assert ends > renewed.first_end + 1000
    (machine,) = stage.machines("OldRenewed")
    assert lease_tags(stage, machine) == [ends]
    # One that boots from now on gets the new token; this one has the old.
    has = stage.on(machine, "cat", TOKEN).out
    assert has.count(".") == 2
    assert tarballs(stage)[view["annex_id"]] != has


def test_leases_end_ends_a_legacy_machine_that_works_and_its_slots_go(
    stage: Stage, started: None, queue: None
) -> None:
    """No process of the user's is there, and the machine itself has no reason to end."""
    stage.joined("OldLeased")
    job = submit(stage, "OldLeased", "legacy")
    wait_for(lambda: status(stage, job) == "2", "the job running")
    ends = shortened(stage, "OldLeased")
    (machine,) = stage.machines("OldLeased")
    assert lease_tags(stage, machine) == [ends]
    assert "annex-client" not in stage.run("ps", "-u", "alice", "-o", "args=").out
    wait_for(lambda: not stage.machines("OldLeased"), "the lease's end")
    assert time.time() >= ends
    wait_for(lambda: not stage.slots("OldLeased"), "the slots' end", AT_ONCE)
    wait_for(lambda: starts(stage, job) == "1 1", "the job waiting for another machine")
    wait_for(lambda: stage.view("OldLeased")["state"] == "terminated", "the annex's end")
    assert stage.view("OldLeased")["reason"] == "its lease ended"


def test_renewed_legacy_machine_outlives_its_first_lease(stage: Stage, renewed: Renewed) -> None:
    over = renewed.first_end + SWEPT_SECONDS
    wait_for(lambda: time.time() > over, "a sweep after the first lease's end")
    (machine,) = stage.view("OldRenewed")["instances"]
    assert (machine["joined"], machine["state"]) == (True, "running")
    assert len(stage.slots("OldRenewed")) == 1


def test_legacy_image_is_asked_for_what_it_needs_and_ends_with_its_annex(
    stage: Stage, started: None
) -> None:
    stage.joined("Old")
    (machine,) = stage.view("Old")["instances"]
    assert (machine["joined"], machine["state"]) == (True, "running")
    assert (
        stage.client("ec2").describe_instances(InstanceIds=[machine["instance_id"]])[
            "Reservations"
        ][0]["Instances"][0]["MetadataOptions"]["HttpTokens"]
        == "optional"
    )
    stage.end("Old", "OldRenewed")
    for name in ("Old", "OldRenewed"):
        wait_for(lambda n=name: stage.view(n)["state"] == "terminated", "the annex's end")
        wait_for(lambda n=name: not stage.slots(n), "the slots' end", AT_ONCE)
    assert tarballs(stage) == {}
