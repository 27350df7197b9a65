"""What building a root file system takes from this machine: its tools and its apt."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from local.keeper import AccountError, environment

if TYPE_CHECKING:
    from pathlib import Path

# The program that each Debian package is needed for.
_NEEDED = {
    "mmdebstrap": "mmdebstrap",
    "dpkg-scanpackages": "dpkg-dev",
    "nft": "nftables",
    "ip": "iproute2",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}


def missing_packages() -> list[str]:
    """The Debian packages that this machine lacks for the account's hosts."""
    path = environment()["PATH"]
    return sorted(
        {package for tool, package in _NEEDED.items() if not shutil.which(tool, path=path)}
    )


def archive() -> str:
    """The Debian archive that this machine's apt uses.

    Raises:
        AccountError: it uses none.
    """
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    for uri in done.stdout.split():
        if uri.rstrip("/").endswith("/debian"):
            return uri
    raise AccountError(
        "apt on this machine knows no Debian archive: add one to its sources, then apt-get update"
    )


def run(command: list[str], log: Path, *namespaces: str) -> None:
    """Run with mounts and processes that end with this process, however it ends."""
    with log.open("ab") as stream:
        done = subprocess.run(
            [
                *("setpriv", "--pdeathsig=KILL"),
                *("unshare", "--mount", "--propagation=private", "--pid", "--fork"),
                *(*namespaces, "--kill-child=SIGKILL", "--", *command),
            ],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment(),
            check=False,
        )
    if done.returncode != 0:
        last = log.read_text(errors="replace").strip().splitlines()[-5:]
        raise AccountError(f"{command[0]} failed while building a root file system: {last}")
