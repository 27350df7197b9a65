"""The watcher: looks at HTCondor, pool and configuration until it is time to leave."""

from __future__ import annotations

import json
import random
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Callable

from .bootstrap import GiveUp, set_up
from .configuration import BadConfiguration, Configuration
from .configure import render
from .deadman import arm
from .decide import Clocks, Decision, advance, decide, takes_no_jobs
from .files import File, write
from .leave import AS_ROOT
from .notices import Ears
from .observe import Condor, Eyes, Seen
from .paths import CLOCKS, JOINED
from .shell import Run, log

if TYPE_CHECKING:
    from .machine import Machine, Orders

LOOK_SECONDS = 5.0
# While HTCondor is not up, its end is to be confirmed soon.
SOON_SECONDS = 1.0
# A thousand machines ask the collector: often until they have joined, rarely from then on.
JOINING_SECONDS = 5.0
JOINED_SECONDS = 60.0
POLL_SECONDS = (30.0, 60.0)  # a random time between, so that an annex's machines do not ask at once


class Watcher:
    """Keeps looking; `watch` ends with the reason to leave for."""

    def __init__(
        self,
        machine: Machine,
        orders: Orders,
        run: Run,
        eyes: Eyes,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._machine = machine
        self._orders = orders
        self._run = run
        self._eyes = eyes
        self._ears = Ears(machine.metadata, machine.facts)
        self._retired = False
        self._now = now
        self._sleep = sleep
        self._lease_armed = 0
        self._poll_at = now() + _some_time()
        self._ask_at = 0.0
        self._clocks = self._kept()

    def watch(self, configuration: Configuration) -> tuple[Configuration, Decision]:
        """The configuration in force at the end, and the decision to leave."""
        while True:
            if self._now() >= self._poll_at:
                configuration = self._poll(configuration)
            lease_end = self._orders.lease_end
            # What fails is tried again at the next look: the old timer may still be there.
            if lease_end != self._lease_armed and arm(self._run, configuration, lease_end).ok:
                self._lease_armed = lease_end
            seen = self._see(configuration)
            decision = self._judge(configuration, seen)
            if decision.leave and decision.reclaim_at is None:
                # A renewal may have come since the last poll: it holds until the very end. EC2 does
                # not wait for one, and S3 may be slow.
                configuration = self._poll(configuration)
                decision = self._judge(configuration, seen)
            if decision.leave:
                return configuration, decision
            if takes_no_jobs(configuration, seen.notices) and not self._retired:
                self._retired = self._configure(configuration, retired=True)
            self._machine.reporter.say(decision.phase, decision.reason)
            self._sleep(LOOK_SECONDS if seen.condor is Condor.UP else SOON_SECONDS)

    def _judge(self, configuration: Configuration, seen: Seen) -> Decision:
        self._clocks = advance(self._clocks, seen, self._now())
        try:
            if self._clocks.joined:
                write(File(JOINED, b""), self._machine.root)
            write(File(CLOCKS, json.dumps(asdict(self._clocks)).encode()), self._machine.root)
        except OSError as error:
            log(error)
        booted_at = self._machine.facts.booted_at
        return decide(configuration, self._orders.lease_end, booted_at, self._clocks, seen)

    def _see(self, configuration: Configuration) -> Seen:
        collector = joined = None
        if self._now() >= self._ask_at:
            # The port first: a query that fails says nothing while nobody listens.
            collector = self._eyes.collector(configuration.collector_host)
            if collector:
                joined = self._eyes.joined()
                # A port without an answer is no collector.
                collector = joined is not None
            self._ask_at = self._now() + (JOINED_SECONDS if joined else JOINING_SECONDS)
        return Seen(
            self._eyes.condor(),
            self._eyes.jobs(),
            self._eyes.last_job_trace(),
            collector,
            joined,
            self._ears.listen(self._now()),
        )

    def _poll(self, configuration: Configuration) -> Configuration:
        self._poll_at = self._now() + _some_time()
        if not self._orders.poll() or self._orders.current is None:
            return configuration
        news = self._orders.current
        log(f"The annex's configuration is now generation {news.generation}")
        # The lease and its end hold whether or not this works.
        self._configure(news, retired=self._retired)
        return news

    def _configure(self, configuration: Configuration, *, retired: bool) -> bool:
        """Write HTCondor's configuration and have it read; where that fails it goes on as it was.

        A reconfiguration authenticates anew: with the new token, while the old one still holds.
        """
        try:
            files = render(configuration, self._machine.facts, retired=retired)
            set_up(self._machine, files, self._run)
        except (BadConfiguration, GiveUp, OSError) as error:
            log(f"The new configuration could not be written: {error}")
            return False
        done = self._run(["condor_reconfig"], 30, AS_ROOT)
        if not done.ok:
            log("condor_reconfig: " + done.last_line)
        return done.ok

    def _kept(self) -> Clocks:
        """The clocks as they stood when this program was last alive in this boot."""
        try:
            return Clocks(**json.loads(Path(self._machine.root + CLOCKS).read_text()))
        except (OSError, ValueError, TypeError):
            return Clocks(looked_at=self._now(), last_job_trace=self._eyes.last_job_trace())


def _some_time() -> float:
    return random.uniform(*POLL_SECONDS)  # noqa: S311 - spreads load, hides nothing
