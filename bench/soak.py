"""Simulated days of many owners and an AWS that fails: what ran too long, or ended early.

    python -m bench.soak [--seed N] [--days D]

The control plane's real code runs over the tests' fakes, under a clock of its own: requests every
half minute (start, grow, renew, shorten, stop, show), the sweep each minute, EC2's events. Any call
through any port may be refused or may lose its answer, and any may be a function's last. EC2 shows
machines late, has no capacity at times, and machines die. Clients repeat what got no answer.

The machines' own layers (watcher, dead man's timer) are left out: nothing but the sweep ends a
machine at its lease's end here. Counted is

- *past lease*: seconds of machines that run on although a sweep has begun after the lease's end and
  met no failure. One that meets one may leave the machine to the next, a minute later. (So the
  allowance is one sweep's interval and its calls' time, and one more for each broken sweep.)
- *ended early*: machines that a client was told of, ended before the lease that the ledger has, and
  without their owner's stop.
- *duplicates*: machines beyond what their request asked for, whatever was repeated.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from chalicelib.errors import AnnexError, AwsUnavailable
from chalicelib.model import InstanceState
from tests.fakes.faults import Crash
from tests.fakes.world import ALICE, BOB, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chalicelib.ids import AnnexId, InstanceId

_T = TypeVar("_T")
NAMES = ("foo", "foobar", "foo_bar", "foo.bar", "f", "x" * 64)
OWNERS = (ALICE, BOB, "AIDACAROL", "AROAROLE:dave")
REFUSED, LOST, KILLED = 0.01, 0.01, 0.005  # of all calls
FORGOTTEN_AFTER = timedelta(hours=2)  # by EC2 and, to be quick, by the ledger
ACTS = ("start", "start", "start", "grow", "grow", "renew", "renew", "shorten", "stop", "show")


@dataclass
class Sum:
    """What happened; the last three are the promises, and should be nought."""

    operations: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    machines: int = 0
    instance_seconds: float = 0
    latest_end: float = 0  # in seconds after the lease, over all that a sweep ended
    past_lease: float = 0
    ended_early: int = 0
    duplicates: int = 0


class Soak:
    """One world and the time in it."""

    def __init__(self, seed: int, change: Callable[[World], None] | None = None) -> None:
        self.random = random.Random(seed)  # noqa: S311  it must be replayed, not be secret
        self.world = World()
        self.world.set(max_instances_per_owner=60)
        if change is not None:
            change(self.world)
        self.sum = Sum()
        self._breaking = 0.0
        self._told: set[InstanceId] = set()
        self._stopped: set[AnnexId] = set()
        self._counted: set[InstanceId] = set()
        self._running: dict[InstanceId, Any] = {}
        self._again: list[tuple[Callable[[], Any], str]] = []
        self.world.faults.watch = self._point

    def run(self, days: float) -> Sum:
        """Live so long, then an hour and a half in which nobody asks and nothing fails."""
        with self._ids():
            return self._run(days)

    @contextmanager
    def _ids(self) -> Iterator[None]:
        """Let annexes' ids come of the seed, too: the sweep goes by their order."""
        genuine = secrets.token_hex
        secrets.token_hex = lambda size=32: self.random.randbytes(size).hex()  # type: ignore[assignment, misc]
        try:
            yield
        finally:
            secrets.token_hex = genuine

    def _run(self, days: float) -> Sum:
        world = self.world
        for minute in range(round(days * 1440) + 90):
            quiet = minute >= days * 1440
            self._weather(quiet=quiet)
            for second in sorted(self.random.sample(range(60), 0 if quiet else 2)):
                self._to(minute, second)
                self._operation()
            for again in [self._again.pop() for _ in self._again]:
                self._ask(*again)
            self._to(minute, 59.9)
            self._sweep()
            self.sum.instance_seconds += 60 * len(world.compute.ours())
            self._look()
        return self.sum

    def _to(self, minute: int, second: float) -> None:
        self.world.clock.time = BEGIN + timedelta(minutes=minute, seconds=second)

    def _weather(self, *, quiet: bool) -> None:
        """Fair hours and foul ones; capacity comes and goes; machines die."""
        draw, compute = self.random.random, self.world.compute
        if quiet:
            self._breaking, compute.free, compute.visible_after = 0, {}, timedelta(0)
            return
        if draw() < 1 / 20:
            self._breaking = self.random.choice([0, 1, 1, 5])
            compute.visible_after = timedelta(seconds=self.random.choice([0, 0, 30, 100]))
            compute.free = {
                ("m7i.large", zone): self.random.choice([0, 1, 3, 50])
                for zone in ("us-east-1a", "us-east-1b")
            }
        running = compute.ours()
        if running and draw() < 1 / 15:
            one = self.random.choice(running)
            compute.become(one.instance_id, InstanceState.SHUTTING_DOWN)
            self._guarded(
                lambda: self.world.services.interruption.state_changed(
                    one.instance_id, "shutting-down"
                )
            )

    # What is done

    def _operation(self) -> None:
        act, name = self.random.choice(ACTS), self.random.choice(NAMES)
        owner = self.random.choice(OWNERS)
        count, seconds = self.random.randint(1, 4), self.random.choice([600, 1800, 7200])
        world = self.world
        terms = {"duration_seconds": seconds, "idle_seconds": 300, "count": count}
        if act == "grow":
            longer = self.random.random() < 1 / 2
            terms |= {"grow": True, "idle_seconds": None}
            terms |= {} if longer else {"duration_seconds": None}
        name = f"{name}-{OWNERS.index(owner)}"[-64:] if self.random.random() < 1 / 2 else name
        body = world.body(name, **terms)
        patch = {"request_id": world.new_request_id(), "duration_seconds": seconds}
        if act == "shorten":
            patch |= {"shorten": True, "duration_seconds": 120}
        if act == "stop":
            self._stopped |= {
                one.annex_id
                for one in world.ledger.records.values()
                if (one.name, one.caller) == (name, owner)
            }
        asked: dict[str, Callable[[], Any]] = {
            "start": lambda: world.post(body, owner),
            "grow": lambda: world.post(body, owner),
            "renew": lambda: world.call("PATCH", "/annexes/{name}", patch, owner, name),
            "shorten": lambda: world.call("PATCH", "/annexes/{name}", patch, owner, name),
            "stop": lambda: world.stop(name, owner),
            "show": lambda: world.show(name, owner),
        }
        self._ask(asked[act], act)

    def _ask(self, call: Callable[[], Any], act: str) -> None:
        self.sum.operations[act] += 1
        answer = self._guarded(call)
        if answer is None or answer.status >= 500:  # noqa: PLR2004  the client repeats these
            if act != "stop" and self.random.random() < 2 / 3:
                self._again.append((call, act))
        elif answer.status in (201, 202):
            view = json.loads(answer.body)["annex"]
            self._told |= {one["instance_id"] for one in view["instances"]}

    def _sweep(self) -> None:
        self.sum.operations["sweep"] += 1
        failures, begun = self.sum.failures, self.world.clock.now()
        done = self._guarded(self.world.services.sweep.run)
        if done is None or self.sum.failures != failures:
            return
        for one in self.world.compute.ours():
            annex = self.world.ledger.records.get(one.annex_id) if one.annex_id else None
            orphan = annex is None and one.launched_at < begun - timedelta(minutes=10)
            if orphan or (annex is not None and annex.lease_expires_at <= begun):
                self.sum.past_lease += 60

    def _guarded(self, call: Callable[[], _T]) -> _T | None:
        with suppress(Crash, AnnexError):
            return call()
        return None

    # What is watched

    def _point(self, point: str) -> None:
        when, call = point.split(" ")
        if call == "compute.terminate":
            self._terminating(when)
        self.world.faults.points.clear()
        draw = self.random.random() / self._breaking if self._breaking else 1
        broken = LOST if when == "after" else REFUSED
        if draw < broken + KILLED:
            self.sum.failures += 1
            raise AwsUnavailable("no answer") if draw < broken else Crash("killed")

    def _terminating(self, when: str) -> None:
        world, now = self.world, self.world.clock.now()
        running = {one.instance_id: one for one in world.compute.ours()}
        if when == "before":
            self._running = running
            return
        for instance_id, one in self._running.items():
            annex = world.ledger.records.get(one.annex_id) if one.annex_id else None
            if instance_id in running or annex is None:
                continue
            self.sum.latest_end = max(
                self.sum.latest_end, (now - annex.lease_expires_at).total_seconds()
            )
            early = not annex.is_over(now) and annex.annex_id not in self._stopped
            self.sum.ended_early += early and instance_id in self._told

    def _look(self) -> None:
        """New machines are counted, old ones forgotten."""
        world, now = self.world, self.world.clock.now()
        asked = {
            attempt.client_token: (annex.annex_id, launch)
            for annex in world.ledger.records.values()
            for launch in annex.launches
            for attempt in launch.attempts
        }
        launched: Counter[tuple[AnnexId, int]] = Counter()
        for instance_id, machine in list(world.compute.machines.items()):
            found = asked.get(machine.instance.client_token)
            if found is not None:
                launched[found[0], found[1].number] += 1
            if instance_id not in self._counted:
                self._counted.add(instance_id)
                self.sum.machines += 1
                over = found is None or launched[found[0], found[1].number] > found[1].asked
                self.sum.duplicates += over
        for annex_id, annex in list(world.ledger.records.items()):
            if now > (annex.terminated_at or now) + FORGOTTEN_AFTER:
                self._forget(annex_id)
        if len(world.journal.lines) > 1000:  # noqa: PLR2004  nobody reads them here
            world.journal.lines.clear()

    def _forget(self, annex_id: AnnexId) -> None:
        ledger, compute = self.world.ledger, self.world.compute
        annex = ledger.records.pop(annex_id)
        if ledger.names.get(annex.name) == annex_id:
            del ledger.names[annex.name]
        running = {one.instance_id for one in compute.ours()}
        for instance_id in annex.started:
            if instance_id not in running:
                compute.machines.pop(instance_id, None)


BEGIN = World().clock.now()


def told(found: Sum, seconds: float) -> str:
    """The figures, in lines."""
    return "\n".join(
        (
            (
                f"{sum(found.operations.values()):,} operations ({dict(found.operations)}), "
                f"{found.failures:,} failures, in {seconds:.0f} s"
            ),
            (
                f"{found.machines:,} machines, {found.instance_seconds / 3600:,.0f} instance-hours"
                f"; the latest end {found.latest_end:.0f} s after its lease"
            ),
            (
                f"{found.past_lease:.0f} instance-seconds past lease, {found.ended_early} machines "
                f"ended early, {found.duplicates} duplicates"
            ),
        )
    )


def main(arguments: list[str]) -> int:
    """Soak and tell; returns 1 unless the three are nought."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))  # noqa: S311
    parser.add_argument("--days", type=float, default=7)
    options = parser.parse_args(arguments)
    print(f"python -m bench.soak --seed {options.seed} --days {options.days:g}", flush=True)
    began = time.monotonic()
    found = Soak(options.seed).run(options.days)
    print(told(found, time.monotonic() - began))
    return bool(found.past_lease or found.ended_early or found.duplicates)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
