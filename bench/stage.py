"""The demo's account as the benchmarks' stage; what is typed on it goes into a log."""

from __future__ import annotations

import contextlib
import json
import shlex
import statistics
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from demo import tutorial
from demo.account import Account
from demo.lease import GONE, state_of
from demo.terminal import StepFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from demo.terminal import Terminal

PATIENCE = 300  # seconds, for slots to come and for machines to go


@contextlib.contextmanager
def account() -> Iterator[Account]:
    """An account that is deployed, set up and joined to its pool; it is down again afterwards."""
    stage = Account()
    try:
        with hushed(stage):
            stage.up()
            tutorial.deploy_and_set_up(stage)
            tutorial.configure_pool(stage)
        yield stage
    finally:
        with hushed(stage):
            stage.down()


@contextlib.contextmanager
def hushed(stage: Account) -> Iterator[None]:
    """Print into the account's `logs/bench.log`."""
    folder = stage.state / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "bench.log").open("a") as log, contextlib.redirect_stdout(log):
        yield


@dataclass(frozen=True)
class Span:
    """When something began and ended, in Unix time: hosts and account have one clock."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


def stopwatch(terminal: Terminal, command: str) -> Span:
    """Run a command on a host, timed there, so that the way into the host costs nothing.

    Raises StepFailedError, with what the command printed, if it fails.
    """
    script = (
        "began=$(date +%s.%N); "
        f"said=$({command} 2>&1) && echo $began $(date +%s.%N) || echo failed: $said"
    )
    heard = terminal.quiet(f"bash -c {shlex.quote(script)}").split()
    if len(heard) != 2:  # noqa: PLR2004 - two times
        raise StepFailedError(f"`{command}` {' '.join(heard) or 'printed nothing'}")
    return Span(float(heard[0]), float(heard[1]))


def slots_came(stage: Account, constraint: str, count: int = 1) -> float:
    """Wait on the access point for slots in the collector; returns the Unix time they were there.

    Raises StepFailedError if they do not come.
    """
    ask = f"condor_status -constraint {shlex.quote(constraint)} -af Name"
    script = f"until [ $({ask} | wc -l) -ge {count} ]; do sleep 0.1; done"
    return stopwatch(stage.user, f"timeout {PATIENCE} bash -c {shlex.quote(script)}").ended


def start(stage: Account, annex: str, *, count: int = 1, more: str = "") -> Span:
    """`annex-client start`, timed."""
    return stopwatch(stage.user, f"annex-client start {annex} --count {count} --yes {more}")


def stop(stage: Account, annex: str) -> None:
    """`annex-client stop`, and wait until nothing of it is left to disturb what is timed next."""
    stage.user.quiet(f"annex-client stop {annex} --yes")
    ended(stage, [i["instance_id"] for i in tutorial.view(stage.user, annex)["instances"]])


def ended(stage: Account, instance_ids: Sequence[str]) -> None:
    """Wait for the end of these machines; raises StepFailedError."""
    ec2 = boto3.client("ec2", **stage.session())
    deadline = time.monotonic() + PATIENCE
    while any(state_of(ec2, instance_id)[0] != GONE[-1] for instance_id in instance_ids):
        if time.monotonic() > deadline:
            raise StepFailedError(f"Not all of {', '.join(instance_ids)} have ended.")
        time.sleep(0.2)


def calls(stage: Account) -> list[dict[str, Any]]:
    """The AWS calls since `forget_calls`: service, action, caller, status, time."""
    answer: list[dict[str, Any]] = json.loads(press(stage, "calls", "GET"))
    return answer


def forget_calls(stage: Account) -> None:
    """Count anew."""
    press(stage, "calls", "DELETE")


def press(stage: Account, button: str, method: str) -> bytes:
    """Press a button of the account's (docs/local-account.md); returns what it answered."""
    url = f"{(stage.admin.env or {})['AWS_ENDPOINT_URL_EXECUTE_API']}/_account/{button}"
    request = urllib.request.Request(url, method=method)  # noqa: S310 - the account's own address
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return bytes(answer.read())


def spread(values: Sequence[float]) -> str:
    """Median and range, as every benchmark prints them."""
    return f"{statistics.median(values):.2f} s ({min(values):.2f}-{max(values):.2f})"
