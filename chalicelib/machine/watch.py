"""The watcher: looks at HTCondor, pool and configuration until it is time to leave."""

from __future__ import annotations

import json
import random
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Callable

from . import configure, observe, reach
from .bootstrap import GiveUp, set_up
from .configuration import BadConfiguration, Configuration
from .deadman import arm
from .decide import Clocks, Decision, advance, decide
from .files import File, write
from .leave import AS_ROOT
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
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._machine = machine
        self._orders = orders
        self._run = run
        self._now = now
        self._sleep = sleep
        self._log_folder = observe.log_folder(run)
        self._lease_armed = 0
        self._poll_at = now() + _some_time()
        self._ask_at = 0.0
        self._clocks = self._kept()

    def watch(self, configuration: Configuration) -> tuple[Configuration, str]:
        """The configuration in force at the end, and why the machine has to leave."""
        while True:
            if self._now() >= self._poll_at:
                configuration = self._poll(configuration)
            if self._orders.lease_end != self._lease_armed:
                arm(self._run, configuration, self._orders.lease_end)
                self._lease_armed = self._orders.lease_end
            decision, seen = self._look(configuration)
            if decision.leave:
                return configuration, decision.reason
            self._machine.reporter.say(decision.phase, decision.reason)
            self._sleep(LOOK_SECONDS if seen.condor is observe.Condor.UP else SOON_SECONDS)

    def _look(self, configuration: Configuration) -> tuple[Decision, observe.Seen]:
        seen = self._see(configuration)
        self._clocks = advance(self._clocks, seen, self._now())
        if self._clocks.joined:
            write(File(JOINED, b""))
        write(File(CLOCKS, json.dumps(asdict(self._clocks)).encode()))
        booted_at = self._machine.facts.booted_at
        lease_end = self._orders.lease_end
        return decide(configuration, lease_end, booted_at, self._clocks, seen), seen

    def _see(self, configuration: Configuration) -> observe.Seen:
        collector = joined = None
        if self._now() >= self._ask_at:
            # The port first: a query that fails says nothing while nobody listens.
            collector = not reach.unreachable([configuration.collector_host])
            if collector:
                joined = observe.in_collector(self._run, self._machine.facts.instance_id)
            self._ask_at = self._now() + (JOINED_SECONDS if joined else JOINING_SECONDS)
        return observe.Seen(
            observe.condor(self._run),
            observe.jobs(),
            observe.last_job_trace(self._log_folder),
            collector,
            joined,
        )

    def _poll(self, configuration: Configuration) -> Configuration:
        self._poll_at = self._now() + _some_time()
        if not self._orders.poll() or self._orders.current is None:
            return configuration
        news = self._orders.current
        log(f"The annex's configuration is now generation {news.generation}")
        try:
            set_up(self._machine, configure.render(news, self._machine.facts), self._run)
        except (BadConfiguration, GiveUp, OSError) as error:
            # The lease and its end hold all the same; HTCondor goes on as it was.
            log(f"The new configuration could not be written: {error}")
            return news
        # A reconfiguration authenticates anew: with the new token, while the old one still holds.
        done = self._run(["condor_reconfig"], 30, AS_ROOT)
        if not done.ok:
            log("condor_reconfig: " + done.last_line)
        return news

    def _kept(self) -> Clocks:
        """The clocks as they stood when this program was last alive in this boot."""
        try:
            kept = json.loads(Path(CLOCKS).read_text(encoding="utf-8"))
            return Clocks(**kept)
        except (OSError, ValueError, TypeError):
            now = self._now()
            return Clocks(looked_at=now, last_job_trace=observe.last_job_trace(self._log_folder))


def _some_time() -> float:
    return random.uniform(*POLL_SECONDS)  # noqa: S311 - spreads load, hides nothing
