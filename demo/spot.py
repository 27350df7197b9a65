"""The tutorial's spot half: a Spot Fleet of the user's own JSON, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3

from demo.account import ROOT
from demo.terminal import StepFailedError, expect, say

if TYPE_CHECKING:
    from demo.account import Account

ANNEX = "SpotAnnexalice"  # SpotAnnex$USER, for alice
SLOTS = 5


def spot_fleet(account: Account) -> None:
    """Request a Spot Fleet in the tutorial's words, see its slots, and stop it."""
    say("Spot Fleet")
    user = account.user
    fleet = (ROOT / "examples" / "fleet.json").read_text()
    user.type("cat > ~/.condor/fleet.json", answer=fleet, shown="cp fleet.json ~/.condor/")
    text = user.type(
        f"connect_annex -annex-name SpotAnnex$USER -slots {SLOTS}"
        " -aws-spot-fleet-config-file ~/.condor/fleet.json",
        answer="yes\n",
    )
    expect(text, rf"Will request {SLOTS} spot slots for 0\.83 hours\.  Each instance will")
    expect(text, r"Is that OK\?  \(Type 'yes' or 'no'\): ")
    expect(text, r"Annex started\. It will take about six minutes for the new machines to join")
    user.wait(f"{SLOTS} slots of {ANNEX} in condor_status", lambda: _all_there(account), 600)
    expect(user.type("condor_status -annex SpotAnnex$USER"), r"ec2\.internal")
    expect(user.type(f"annex-client status {ANNEX}"), r"large +us-east-1\w +spot +running")
    expect(user.type(f"annex-client stop {ANNEX} --yes --wait"), f"{ANNEX} has ended")
    nothing_left(account)


def nothing_left(account: Account) -> None:
    """What was made for the fleet is gone with the annex; raises StepFailedError if it is not."""
    ec2 = boto3.client("ec2", **account.session())
    left = ec2.describe_launch_templates()["LaunchTemplates"]
    requests = ec2.describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
    names = [one["LaunchTemplateName"] for one in left]
    names += [
        one["SpotFleetRequestId"]
        for one in requests
        if not one["SpotFleetRequestState"].startswith("cancelled")
    ]
    if names:
        raise StepFailedError(f"{', '.join(names)} should be gone with the annex.")
    print("No launch template is left, and no Spot Fleet request that could start anything.")


def _all_there(account: Account) -> str:
    """Whether the machines have so many CPUs: each has one slot that jobs take their share of."""
    cpus = account.user.quiet(f"condor_status -annex {ANNEX} -af TotalSlotCpus").split()
    return "there" if sum(map(int, cpus)) >= SLOTS else ""
