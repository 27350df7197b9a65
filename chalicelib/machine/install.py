"""HTCondor from the distribution's packages, on an image that does not have it."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Callable, Optional

from .shell import Ran, Run

if TYPE_CHECKING:
    Which = Callable[[str], Optional[str]]

# An update server that is slow or a lock that cloud-init's own updates hold: minutes, not for ever.
APT = ["-q", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=180"]
PACKAGES = {"apt-get": ("condor", "htcondor"), "dnf": ("condor", "htcondor")}
TRIES = 3


class NotInstalled(Exception):
    """HTCondor could not be installed; the text says what the package manager said."""


def installed(which: Which = shutil.which) -> bool:
    """Whether this image has HTCondor's master."""
    return which("condor_master") is not None


def install(
    run: Run,
    which: Which = shutil.which,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Install HTCondor without starting it; raises `NotInstalled`.

    The service is masked meanwhile: a package's scripts would start it unconfigured.
    """
    manager = next((name for name in PACKAGES if which(name)), None)
    if manager is None:
        raise NotInstalled("This image has neither HTCondor nor apt-get or dnf to install it with.")
    run(["systemctl", "mask", "--runtime", "condor.service"], 30)
    try:
        for attempt in range(TRIES):
            if attempt:
                sleep(15 * attempt)
            done = _once(run, manager)
            if done.ok and installed(which):
                return
    finally:
        run(["systemctl", "unmask", "--runtime", "condor.service"], 30)
    raise NotInstalled(f"HTCondor could not be installed by {manager}: {_why(done)}.")


def _once(run: Run, manager: str) -> Ran:
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}
    done = Ran(1)
    if manager == "apt-get":
        done = run([manager, *APT, "update"], 300, quiet)
    for package in PACKAGES[manager]:
        if manager == "apt-get":
            kept = ["-o", "Dpkg::Options::=--force-confold", "--no-install-recommends"]
            done = run([manager, *APT, *kept, "-y", "install", package], 900, quiet)
        else:
            done = run([manager, "-q", "-y", "install", package], 900, quiet)
        if done.ok:
            break
    return done


def _why(done: Ran) -> str:
    errors = [line for line in done.out.splitlines() if line.startswith(("E:", "Error:"))]
    return (errors[0] if errors else done.last_line)[:200].rstrip(".")
