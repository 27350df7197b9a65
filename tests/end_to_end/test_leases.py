"""A renewal reaches the running machine, and secrets reach nothing but it."""

from __future__ import annotations

import base64
import calendar
import gzip
import json
import re
import time
from typing import TYPE_CHECKING

import pytest
from stage import wait_for

if TYPE_CHECKING:
    from stage import Stage

pytestmark = pytest.mark.pool


def seconds(iso: str) -> int:
    return calendar.timegm(time.strptime(iso, "%Y-%m-%dT%H:%M:%SZ"))


def test_a_renewed_lease_reaches_the_machine(stage: Stage, renewed: str) -> None:
    """The machine looks for news at least once a minute; its slot shows the new end then."""
    ends = seconds(stage.view("Renewed")["lease_expires_at"])
    assert ends > seconds(renewed) + 1800
    wait_for(
        lambda: {*stage.slots("Renewed", "AnnexLeaseExpiration")} == {str(ends)},
        "the new lease in the slot's ad",
    )
    (machine,) = stage.machines("Renewed")
    tags = stage.client("ec2").describe_tags(
        Filters=[
            {"Name": "resource-id", "Values": [machine]},
            {"Name": "key", "Values": ["htcondor:LeaseExpiration"]},
        ]
    )["Tags"]
    assert [seconds(tag["Value"]) for tag in tags] == [ends]
    # The new timer comes before the old one goes.
    wait_for(lambda: lease_timers(stage, machine) == {ends + 60}, "the new timer, and it alone")


def lease_timers(stage: Stage, machine: str) -> set[int]:
    """When the dead man's timers on the machine go off; Unix times."""
    timers = stage.on(machine, "systemctl", "list-timers", "--all").out
    return {int(at) for at in re.findall(r"htcondor-annex-lease-(\d+)", timers)}


def test_no_secret_is_in_user_data_tags_logs_or_consoles(stage: Stage) -> None:
    stage.joined("Renewed")
    (machine,) = stage.machines("Renewed")
    tokens = stage.on(machine, "sh", "-c", "cat /etc/condor/tokens.d/*").out.split()
    assert tokens
    tokens += stage.run("sh", "-c", "cat ~/.condor/tokens.d/*").out.split()
    secrets = {part for token in tokens for part in token.split(".")[1:]}
    secrets |= {*stage.run("cat", "/etc/condor/passwords.d/annex", user="root").out.split()}
    keys = "find /etc/condor/passwords.d -name 'annex-*' -exec cat {} +"
    secrets |= {*stage.on(machine, "sh", "-c", keys).out.split()}
    shown = stage.press("GET", f"metadata/{machine}")
    data = gzip.decompress(base64.b64decode(shown["user-data"])).decode(errors="replace")
    places = {"user data": data, "metadata": json.dumps(shown["meta-data"])}
    for log in (*stage.state.glob("logs/**/*.log"), *stage.state.glob("hosts/*/console.log")):
        places[str(log)] = log.read_text(errors="replace")
    assert any("functions" in place for place in places)
    assert len(secrets) >= 4
    found = [place for place, text in places.items() if any(secret in text for secret in secrets)]
    assert found == []
