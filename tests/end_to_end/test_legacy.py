"""An image as condor_annex's own were: Debian's package, unmodified, finds its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from stage import AT_ONCE, wait_for

from local import image, state

if TYPE_CHECKING:
    from stage import Stage

pytestmark = pytest.mark.pool
LEGACY = "ami-0deb1e9ac000a0d64"


def test_legacy_images_are_refused_until_setup_allows_them(stage: Stage) -> None:
    start = ("start", "Old", "--ami-id", LEGACY, "--legacy", "--duration", "0.5", "--yes")
    stage.annex(*start).refused(7, "setup --legacy")
    assert stage.machines("Old") == []


def test_legacy_image_joins_runs_a_job_and_ends_with_its_annex(stage: Stage) -> None:
    # What the archive takes its time to give, no machine waits for.
    image.Images(image.cache_folder(state.folder())).layers("legacy")
    done = stage.admin("annex-client", "setup", "--legacy")
    assert "Creating what legacy images need" in done.out, done.err
    start = ("start", "Old", "--ami-id", LEGACY, "--legacy", "--duration", "0.5", "--yes")
    done = stage.annex(*start)
    assert done.status == 0, done.err
    stage.joined("Old")
    (machine,) = stage.view("Old")["instances"]
    assert (machine["joined"], machine["state"]) == (True, "running")
    assert (
        stage.client("ec2").describe_instances(InstanceIds=[machine["instance_id"]])[
            "Reservations"
        ][0]["Instances"][0]["MetadataOptions"]["HttpTokens"]
        == "optional"
    )
    stage.end("Old")
    wait_for(lambda: stage.view("Old")["state"] == "terminated", "the annex's end")
    wait_for(lambda: not stage.slots("Old"), "the slots' end", AT_ONCE)
    account = stage.client("sts").get_caller_identity()["Account"]
    bucket = f"htcondor-annex-legacy-{account}-us-east-1"
    assert "Contents" not in stage.client("s3").list_objects_v2(Bucket=bucket)
