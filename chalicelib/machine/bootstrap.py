"""From a booted image to a running execute point; every step may be taken again after a crash."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Callable

from . import configure, install, reach
from .configuration import BadConfiguration, Configuration
from .deadman import arm
from .decide import lead_seconds
from .fence import Unfenced, fence
from .files import File, write
from .paths import CONFIGURED
from .shell import Run, log

if TYPE_CHECKING:
    from .machine import Machine, Orders

CONFIG_FOLDERS = ("/etc/condor/config.d", "/usr/share/condor/config.d")
# What packages and images bring of security settings and roles: ours must not be mixed with them.
PACKAGED = ("00-htcondor-9.0.config", "00-security*", "00-minicondor*", "01-*role*")


class GiveUp(Exception):
    """The machine will never be of use; the text is the reason that status shows."""


def bootstrap(
    machine: Machine,
    orders: Orders,
    run: Run,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Configuration:
    """Set HTCondor up and start it; raises `GiveUp` with a reason."""
    report = machine.reporter
    report.say("booting")
    configuration = _configuration(machine, orders, now, sleep)
    arm(run, configuration, orders.lease_end)
    try:
        log("The metadata service is kept for root by " + fence(run))
        files = configure.render(configuration, machine.facts)
    except (Unfenced, BadConfiguration) as error:
        raise GiveUp(str(error)) from None
    _reach(machine, orders, configuration, now, sleep)
    if not install.installed():
        report.say("installing")
        try:
            install.install(run, sleep=sleep)
        except install.NotInstalled as error:
            raise GiveUp(str(error)) from None
    set_up(machine, files, run)
    report.say("configured")
    # After a reboot, this program starts HTCondor again: not before the metadata service is fenced.
    run(["systemctl", "daemon-reload"], 60)
    run(["systemctl", "disable", "condor.service"], 60)
    started = run(["systemctl", "restart", "condor.service"], 120)
    if not started.ok:
        raise GiveUp(f"HTCondor could not be started: {started.last_line}.")
    write(File(CONFIGURED, b""))
    return configuration


def set_up(machine: Machine, files: list[File], run: Run) -> None:
    """Put HTCondor's files and the slots' accounts in place of what the image brought."""
    for folder in CONFIG_FOLDERS:
        for pattern in PACKAGED:
            for packaged in Path(folder).glob(pattern):
                # A name with a dot in front is not read; the image's maker finds it again.
                packaged.replace(packaged.with_name("." + packaged.name))
    for file in files:
        write(file)
    accounts = "/etc/sysusers.d/htcondor-annex.conf"
    write(File(accounts, configure.sysusers(machine.facts.cpus).encode()))
    done = run(["systemd-sysusers", accounts], 120)
    if not done.ok:
        raise GiveUp(f"The slots' accounts could not be made: {done.last_line}.")


def _configuration(
    machine: Machine, orders: Orders, now: Callable[[], float], sleep: Callable[[float], None]
) -> Configuration:
    """The annex's configuration, waited for until shortly before the boot timer ends it all."""
    limit = machine.facts.booted_at + machine.parameters.boot_limit_seconds - 60
    while True:
        orders.poll()
        configuration = orders.current
        if configuration is not None:
            return _still_wanted(machine, orders, configuration, now)
        if now() >= min(limit, orders.lease_end):
            raise GiveUp("It could not get its configuration: " + orders.problem)
        sleep(5)


def _reach(
    machine: Machine,
    orders: Orders,
    configuration: Configuration,
    now: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    """Wait until the collector and the access points can be reached, or give up and name them."""
    limit = now() + configuration.unjoined_limit_seconds
    addresses = (configuration.collector_host, *configuration.access_points)
    while True:
        problem = reach.unreachable(addresses)
        if not problem:
            return
        machine.reporter.say("booting", problem + ".")
        if now() >= limit:
            raise GiveUp(problem + ".")
        orders.poll()
        _still_wanted(machine, orders, orders.current or configuration, now)
        sleep(5)


def _still_wanted(
    machine: Machine, orders: Orders, configuration: Configuration, now: Callable[[], float]
) -> Configuration:
    if configuration.ending:
        raise GiveUp("The annex was stopped.")
    booted_at = machine.facts.booted_at
    if now() >= orders.lease_end - lead_seconds(configuration, orders.lease_end, booted_at):
        raise GiveUp("The lease ended before HTCondor was started.")
    return configuration
