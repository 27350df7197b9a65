"""A lease ends three times over: by the watcher, by the sweep, by the dead man's timer."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from demo.terminal import StepFailedError, expect, say
from demo.tutorial import view, wait_for_slot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo.account import Account

SWEEP_RULE = "htcondor-annex-dev-sweep-event"
WATCHER = "htcondor-annex"  # the watcher's unit on the machines, and the dead man's timer there
TIMER = "'htcondor-annex-lease-*.timer'"
GONE = ("shutting-down", "terminated")
PATIENCE = 900  # seconds: far beyond any lease of this demo and all its layers
DEAD_MAN_MARGIN = 60  # seconds, as the demo's setup has it
BY_ITSELF, BY_CALL = "Client.InstanceInitiatedShutdown", "Client.UserInitiatedShutdown"


@dataclass
class Ending:
    """When a machine ended, against its lease, and which layer was left to do it."""

    annex: str
    layer: str
    lease_end: float
    instance_id: str
    after_lease: float | None = None  # seconds; negative is before the lease's end
    by: str = ""  # EC2's code for who ended it
    reason: str = ""


def three_times_over(account: Account) -> None:
    """Start short leases, take the layers away one by one, and print when each machine ended."""
    endings = three_endings(account)
    say("When each layer acted")
    for ending in endings:
        print(described(ending))


def three_endings(account: Account) -> list[Ending]:
    """Start short leases, take the layers away one by one, and see when each machine ends.

    Returns them in the order in which the layers act: watcher, sweep, timer.
    """
    say("A lease ends by itself, three times over; here nothing on the machine is left to end it")
    second = start(account, "LeaseSweep", "the sweep", hours=0.05)
    # At once: the machine's lease runs while others boot, and its watcher would act before its end.
    kill(account, second, WATCHER, TIMER)
    say("Here the watcher is killed alone")
    third = start(account, "LeaseTimer", "the dead man's timer", hours=0.08)
    kill(account, third, WATCHER)
    say("And here all is as it should be")
    first = start(account, "LeaseWatcher", "the watcher", hours=0.05)
    say("Nothing of the client runs on the access point")
    expect(account.user.type("pgrep -u alice -a -f '[a]nnex' || echo nothing"), "nothing")
    watch(account, [first, second])
    say("The schedule is switched off too: only the dead man's timer is left")
    account.admin.type(f"python -m demo.aws disable-rule {SWEEP_RULE}")
    watch(account, [third])
    account.admin.type(f"python -m demo.aws enable-rule {SWEEP_RULE}")
    check(first, BY_ITSELF, -PATIENCE, 0)
    check(second, BY_CALL, 0, PATIENCE)
    check(third, BY_ITSELF, DEAD_MAN_MARGIN - 1, PATIENCE)
    return [first, second, third]


def kill(account: Account, ending: Ending, *units: str) -> None:
    """Take layers away, on the machine's console; raises StepFailedError if one stays."""
    names = " ".join(units)
    text = account.on(ending.instance_id).type(
        f"systemctl kill -s KILL {WATCHER}; systemctl stop {names}; "
        f"systemctl is-active {names} || echo dead"
    )
    expect(text, "dead")


def check(ending: Ending, by: str, earliest: float, latest: float) -> None:
    """Raise StepFailedError unless the layer that was left is the one that acted.

    By who ended the machine, and on which side of its lease: how many seconds a layer took is for
    the benchmarks to say.
    """
    after = ending.after_lease
    if ending.by != by or after is None or not earliest <= after <= latest:
        raise StepFailedError(
            f"{ending.annex} was ended by {ending.by}, {after} s from its lease's end: that was not"
            f" {ending.layer}."
        )


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
            state, by = state_of(ec2, ending.instance_id)
            if ending.after_lease is None and state in GONE:
                ending.after_lease, ending.by = time.time() - ending.lease_end, by
                ending.reason = view(account.user, ending.annex).get("reason", "")
                print(f"... {ending.annex}: {ending.after_lease:+.1f} s", flush=True)
        time.sleep(1)


def state_of(ec2: Any, instance_id: str) -> tuple[str, str]:  # noqa: ANN401  # made at run time
    """Return EC2's word for a machine, and its code for why it is so."""
    answer = ec2.describe_instances(InstanceIds=[instance_id])
    instance = answer["Reservations"][0]["Instances"][0]
    return instance["State"]["Name"], instance.get("StateReason", {}).get("Code", "")
