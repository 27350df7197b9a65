"""From a booted image to a running execute point; every step may be taken again after a crash."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Callable

from . import reach
from .configuration import BadConfiguration, Configuration
from .configure import CONFIG_D, LEASE, USERS, render, sysusers
from .deadman import arm
from .decide import lead_seconds
from .fence import Unfenced, fence
from .files import File, write
from .install import NotInstalled, install, installed
from .paths import CONFIGURED
from .shell import Run, log

if TYPE_CHECKING:
    from .install import Which
    from .machine import Machine, Orders

CONFIG_FOLDERS = ("/etc/condor/config.d", "/usr/share/condor/config.d")
# What packages and images bring of security settings and roles: ours must not be mixed with them.
PACKAGED = ("00-htcondor-9.0.config", "00-security*", "00-minicondor*", "01-*role*")


class GiveUp(Exception):
    """The machine will never be of use; the text is the reason that status shows."""


class Bootstrap:
    """Sets one machine up; `run` is all there is to do with it."""

    def __init__(
        self,
        machine: Machine,
        orders: Orders,
        run: Run,
        *,
        connect: reach.Connect = reach.connect,
        which: Which = shutil.which,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._machine = machine
        self._orders = orders
        self._run = run
        self._connect = connect
        self._which = which
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep

    def run(self) -> Configuration:
        """Set HTCondor up and start it; raises `GiveUp` with a reason."""
        report = self._machine.reporter
        report.say("booting")
        set_up_before = self._set_up_before()
        configuration = self._configuration()
        arm(self._run, configuration, self._orders.lease_end)
        try:
            log("The metadata service is kept for root by " + fence(self._run))
            files = render(configuration, self._machine.facts)
            self._reach(configuration, wait=not set_up_before)
            if not installed(self._which):
                report.say("installing")
                install(self._run, self._which, self._sleep)
        except (Unfenced, BadConfiguration, NotInstalled) as error:
            raise GiveUp(str(error)) from None
        set_up(self._machine, files, self._run)
        report.say("configured")
        self._start()
        return configuration

    def _start(self) -> None:
        self._run(["systemctl", "daemon-reload"], 60)
        # At the next boot, this program starts HTCondor: not before the metadata service is fenced.
        self._run(["systemctl", "disable", "condor.service"], 60)
        started = self._run(["systemctl", "restart", "condor.service"], 120)
        if not started.ok:
            raise GiveUp(f"HTCondor could not be started: {started.last_line}.")
        write(File(CONFIGURED, b""), self._machine.root)

    def _configuration(self) -> Configuration:
        """The annex's configuration, waited for until shortly before the boot timer ends it all."""
        limit = self._machine.facts.booted_at + self._machine.parameters.boot_limit_seconds - 60
        while True:
            self._orders.poll()
            if self._orders.current is not None:
                self._be_wanted(self._orders.current)
                return self._orders.current
            if self._now() >= min(limit, self._orders.lease_end):
                raise GiveUp("It could not get its configuration: " + self._orders.problem)
            self._sleep(5)

    def _set_up_before(self) -> bool:
        """Whether this is a reboot: a configuration of this annex was kept, and written out."""
        written = Path(self._machine.root + CONFIG_D + LEASE).exists()
        return self._orders.current is not None and written

    def _reach(self, configuration: Configuration, *, wait: bool) -> None:
        """Wait until collector and access points can be reached, or give up and name them.

        A machine that was set up before does not wait: the watcher bears with the pool's absence.
        """
        limit = self._monotonic() + configuration.unjoined_limit_seconds
        addresses = (configuration.collector_host, *configuration.access_points)
        while True:
            problem = reach.unreachable(addresses, self._connect)
            if not problem:
                return
            self._machine.reporter.say("booting", problem + ".")
            if not wait:
                return
            if self._monotonic() >= limit:
                raise GiveUp(problem + ".")
            self._orders.poll()
            self._be_wanted(self._orders.current or configuration)
            self._sleep(5)

    def _be_wanted(self, configuration: Configuration) -> None:
        if configuration.ending:
            raise GiveUp("The annex was stopped.")
        end = self._orders.lease_end
        if self._now() >= end - lead_seconds(configuration, end, self._machine.facts.booted_at):
            raise GiveUp("The lease ended before HTCondor was started.")


def set_up(machine: Machine, files: list[File], run: Run) -> None:
    """Put HTCondor's files and the slots' accounts in place of what the image brought.

    Raises `GiveUp` and OSError.
    """
    for folder in CONFIG_FOLDERS:
        for pattern in PACKAGED:
            for packaged in Path(machine.root + folder).glob(pattern):
                # A name with a dot in front is not read; the image's maker finds it again.
                packaged.replace(packaged.with_name("." + packaged.name))
    _forget_others(machine.root, {file.path for file in files})
    for file in files:
        write(file, machine.root)
    accounts = "/etc/sysusers.d/htcondor-annex.conf"
    write(File(accounts, sysusers(machine.facts.cpus).encode()), machine.root)
    done = run(["systemd-sysusers", accounts], 120)
    if not done.ok:
        raise GiveUp(f"The slots' accounts could not be made: {done.last_line}.")


def _forget_others(root: str, ours: set[str]) -> None:
    """Remove what another annex left in the image: its owner's key would be root's on this one."""
    for pattern in ("/etc/condor/passwords.d/annex-*-admin", CONFIG_D + USERS + "*"):
        for left in Path(root).glob(pattern.lstrip("/")):
            if "/" + str(left.relative_to(root)) not in ours:
                left.unlink()
