"""A lease ends three times over: by the watcher, by the sweep, by the dead man's timer."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from demo.terminal import StepFailedError, say
from demo.tutorial import view, wait_for_slot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo.account import Account

SWEEP_RULE = "htcondor-annex-dev-sweep-event"
WATCHER = "htcondor-annex"  # the watcher's unit on the machines
GONE = ("shutting-down", "terminated")
PATIENCE = 900  # seconds: far beyond any lease of this demo and all its layers


@dataclass
class Ending:
    """When a machine ended, against its lease, and which layer was left to do it."""

    annex: str
    layer: str
    lease_end: float
    instance_id: str
    after_lease: float | None = None  # seconds; negative is before the lease's end
    reason: str = ""


def three_times_over(account: Account) -> None:
    """Start short leases, take the layers away one by one, and print when each machine ended."""
    endings = three_endings(account)
    say("When each layer acted")
    for ending in endings:
        print(described(ending))


def three_endings(account: Account) -> list[Ending]:
    """Start short leases, take the layers away one by one, and see when each machine ends."""
    say("A lease ends by itself, three times over")
    first = start(account, "LeaseWatcher", "the watcher", hours=0.04)
    second = start(account, "LeaseSweep", "the sweep", hours=0.04)
    third = start(account, "LeaseTimer", "the dead man's timer", hours=0.075)
    say("Two of the watchers are killed, on the machines' consoles")
    for ending in (second, third):
        account.on(ending.instance_id).type(
            f"systemctl kill -s KILL {WATCHER}; systemctl stop {WATCHER}; "
            f"systemctl is-active {WATCHER} || true"
        )
    say("Nothing of the client runs on the access point")
    account.user.type("pgrep -u alice -a || echo nothing")
    watch(account, [first, second])
    say("The schedule is switched off too: only the dead man's timer is left")
    account.admin.type(f"python -m demo.aws disable-rule {SWEEP_RULE}")
    watch(account, [third])
    account.admin.type(f"python -m demo.aws enable-rule {SWEEP_RULE}")
    return [first, second, third]


def described(ending: Ending) -> str:
    """One line on an ending; raises TypeError while there is none."""
    return (
        f"{ending.annex:<14}{ending.layer:<22}{ending.after_lease:+7.1f} s from the lease's end"
        f"   {ending.reason}"
    )


def start(account: Account, annex: str, layer: str, hours: float) -> Ending:
    """Start an annex of one machine and wait for its slot."""
    account.user.type(f"annex-client start {annex} --duration {hours} --idle {hours} --yes")
    wait_for_slot(account.user, annex)
    seen = view(account.user, annex)
    lease_end = dt.datetime.fromisoformat(seen["lease_expires_at"])
    return Ending(annex, layer, lease_end.timestamp(), seen["instances"][0]["instance_id"])


def watch(account: Account, endings: Sequence[Ending]) -> None:
    """Watch EC2 until the machines of these annexes have ended; raises StepFailedError."""
    ec2 = boto3.client("ec2", **account.session())
    print("... waiting for the end of", " and ".join(e.annex for e in endings), flush=True)
    deadline = time.time() + PATIENCE
    while any(ending.after_lease is None for ending in endings):
        if time.time() > deadline:
            raise StepFailedError("A machine outlived its lease, and every layer.")
        for ending in endings:
            if ending.after_lease is None and state(ec2, ending.instance_id) in GONE:
                ending.after_lease = time.time() - ending.lease_end
                ending.reason = view(account.user, ending.annex).get("reason", "")
                print(f"... {ending.annex}: {ending.after_lease:+.1f} s", flush=True)
        time.sleep(1)


def state(ec2: Any, instance_id: str) -> str:  # noqa: ANN401  # boto3 makes its classes at run time
    """Return EC2's word for a machine; one that EC2 has forgotten is terminated."""
    answer = ec2.describe_instances(Filters=[{"Name": "instance-id", "Values": [instance_id]}])
    states = [
        instance["State"]["Name"]
        for reservation in answer["Reservations"]
        for instance in reservation["Instances"]
    ]
    return str(states[0]) if states else "terminated"
