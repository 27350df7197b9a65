"""The tutorial's submit files, wherever an annex is."""

from __future__ import annotations

from pathlib import Path

import classad2
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", ["aws-exclusive.submit", "aws-and-osg.submit"])
@pytest.mark.parametrize(
    ("machine", "matches"),
    [
        # EC2 User Guide, 'EC2 instance hostnames and domains'.
        ("ip-172-31-0-4.ec2.internal", True),
        ("ip-172-31-0-4.eu-central-1.compute.internal", True),
        ("i-0123456789abcdef0.us-west-2.compute.internal", True),
        ("node7.cluster.example", False),
    ],
)
def test_jobs_for_aws_match_its_machines_in_every_region(
    name: str, machine: str, matches: bool
) -> None:
    lines = (EXAMPLES / name).read_text().splitlines()
    (wanted,) = [line for line in lines if line.startswith("Requirements = ")]
    ad = classad2.ClassAd({"Machine": machine, "OSGVO_OS_STRING": "", "Arch": "X86_64"})
    ad["Requirements"] = classad2.ExprTree(wanted.partition("= ")[2])
    assert ad.eval("Requirements") is matches
