"""The AMIs of the account; the hypervisor knows which root file system stands for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Image:
    """An AMI as DescribeImages shows it; `root` is the name of its root file system."""

    ami_id: str
    name: str
    architecture: str  # EC2's word: x86_64 or arm64
    root: Literal["htcondor", "plain", "legacy"]  # no HTCondor, baked, as condor_annex's were
    parameter: str = ""  # the public SSM parameter that points to it


# What the distribution publishes: no HTCondor on it.
DEBIAN_AMD64 = Image(
    "ami-0deb13000000a0d64",
    "debian-13-amd64",
    "x86_64",
    "plain",
    "/aws/service/debian/release/13/latest/amd64",
)
DEBIAN_ARM64 = Image(
    "ami-0deb13000000a0a64",
    "debian-13-arm64",
    "arm64",
    "plain",
    "/aws/service/debian/release/13/latest/arm64",
)
# The same with HTCondor on it: what a site bakes for itself to start faster.
BAKED_AMD64 = Image("ami-0deb13c0d000a0d64", "debian-13-htcondor-amd64", "x86_64", "htcondor")

# As condor_annex had its images made: HTCondor that fetches its configuration from a bucket.
LEGACY_AMD64 = Image("ami-0deb1e9ac000a0d64", "debian-13-condor-annex-amd64", "x86_64", "legacy")

IMAGES = (DEBIAN_AMD64, DEBIAN_ARM64, BAKED_AMD64, LEGACY_AMD64)
BY_ID = {image.ami_id: image for image in IMAGES}
