"""Root file systems for the hosts: Debian with systemd, cloud-init and, in some, HTCondor.

    pool      htcondor + users            the central manager and the access point
    htcondor  base + HTCondor + ami       an image that somebody has baked
    plain     base + ami                  the distribution's stock image; HTCondor comes at boot
    legacy    htcondor + condor_annex     an image of the predecessor's; built when it is first used

Each part is a folder of its own, and a host's disk is an overlay over two or three of them. They
are built once, from the archive that this machine's own apt uses, and kept in the cache folder,
named after a hash of their recipe. A part is built under a name of its own and then renamed: who
finds it finds all of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from local import debian, recipe
from local.disk import put_file
from local.keeper import AccountError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Kind = Literal["pool", "htcondor", "plain", "legacy"]

_KEYRINGS = "/usr/share/keyrings"
_BROKEN_OFF = ".building-"
# Seconds before a step that failed is tried again: archives and networks have their moments.
_PAUSES = (5.0, 30.0)


def cache_folder(state: Path) -> Path:
    """Where root file systems are kept: ANNEX_LOCAL_CACHE, or `cache` below the state folder."""
    given = os.environ.get("ANNEX_LOCAL_CACHE")
    return Path(given).resolve() if given else state.resolve() / "cache"


class Images:
    """The root file systems in one cache folder.

    Args:
        cache: the folder; made when missing.
        say: told what is built, how large it became and how long it took.
        pauses: seconds before each further try of a step that failed.
    """

    def __init__(
        self,
        cache: Path,
        say: Callable[[str], None] = print,
        pauses: tuple[float, ...] = _PAUSES,
    ) -> None:
        if any(mark in str(cache) for mark in ",:'"):
            raise AccountError(f"{cache}: overlays take no folder with a comma, colon or quote")
        self._cache = cache
        self._say = say
        self._pauses = pauses
        base = _key(
            "base", recipe.SUITE, recipe.BASE_PACKAGES, recipe.BASE_FILES, recipe.BASE_LINKS
        )
        condor = _key("htcondor", base, recipe.HTCONDOR_PACKAGES)
        self._base = cache / f"base-{base}"
        self._condor = cache / f"htcondor-{condor}"
        self._pool = cache / f"pool-{_key('pool', condor, recipe.USERS, recipe.POOL_FILES)}"
        self._legacy = cache / f"legacy-{_key('legacy', condor, recipe.LEGACY_PACKAGES)}"
        self._ami = cache / f"ami-{_key('ami', recipe.AMI_FILES)}"
        self.mirror = cache / f"mirror-{condor}"
        """A flat apt repository with HTCondor and what it needs beyond the base."""

    def layers(self, kind: Kind) -> tuple[Path, ...]:
        """The folders that make this root file system, uppermost first; `build` them before.

        Raises:
            AccountError: "legacy" is built here, and could not be.
        """
        if kind == "legacy":
            self.layer(self._legacy.name, self._build_legacy)
        return {
            "pool": (self._pool, self._condor, self._base),
            "htcondor": (self._ami, self._condor, self._base),
            "plain": (self._ami, self._base),
            "legacy": (self._ami, self._legacy, self._condor, self._base),
        }[kind]

    def build(self) -> None:
        """Build what is not there yet: about a minute and 300 MB in all, then nothing.

        Raises:
            AccountError: a package is missing on this machine, or a step failed; it says which.
        """
        steps: tuple[tuple[Path, Callable[[Path], None]], ...] = (
            (self._base, self._build_base),
            (self.mirror, self._build_mirror),
            (self._condor, self._build_condor),
            (self._pool, self._build_pool),
            (self._ami, _build_ami),
        )
        if all(target.exists() for target, _ in steps):
            return
        missing = debian.missing_packages()
        if missing:
            raise AccountError(
                f"this machine lacks {', '.join(missing)}: apt-get install -y {' '.join(missing)}"
            )
        for target, build in steps:
            self.layer(target.name, build)

    def layer(self, name: str, build: Callable[[Path], None]) -> Path:
        """The folder of this name in the cache, filled by `build` if it is not there yet.

        `build` gets an empty folder; only a whole one ever bears the name. The folder must never be
        changed afterwards: hosts may be running on it.
        """
        target = self._cache / name
        if not target.exists():
            self._cache.mkdir(parents=True, exist_ok=True)
            with _locked(self._cache):
                if not target.exists():
                    self._persist(target, build)
        return target

    def compile_python(self, result: Path, folder: str) -> None:
        """Compile a layer's Python files for the pool's hosts, whose users may not write there."""
        script = f"chroot merged python3 -m compileall -q '{folder}'\n"
        self._in_overlay(result, (self._condor, self._base), script)

    def _persist(self, target: Path, build: Callable[[Path], None]) -> None:
        """Build, and begin anew what failed, until the pauses are used up."""
        for pause in self._pauses:
            try:
                self._build(target, build)
            except AccountError as error:
                self._say(f"{error}; trying again in {pause:.0f} s")
                time.sleep(pause)
            else:
                return
        self._build(target, build)

    def _build(self, target: Path, build: Callable[[Path], None]) -> None:
        started = time.monotonic()
        draft = Path(tempfile.mkdtemp(prefix=_BROKEN_OFF, dir=self._cache))
        try:
            result = draft / "result"
            result.mkdir(mode=0o755)
            build(result)
            result.rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        took = time.monotonic() - started
        self._say(f"{target.name}: {_megabytes(target)} MB, built in {took:.1f} s")

    def _build_base(self, result: Path) -> None:
        log = result.parent / "log"
        self._say("building the Debian root file system, once; this takes half a minute")
        options = ['APT::Install-Recommends "false"', 'Acquire::Languages "none"']
        excluded = [
            f"path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale", "info")
        ]
        debian.run(
            [
                *("mmdebstrap", "--quiet", "--variant=minbase", "--mode=root"),
                *(f"--aptopt={option}" for option in options),
                *(f"--dpkgopt={option}" for option in ["force-unsafe-io", *excluded]),
                *(f"--keyring={_KEYRINGS}", f"--include={','.join(recipe.BASE_PACKAGES)}"),
                *(recipe.SUITE, str(result), debian.archive()),
            ],
            log,
        )
        for path, file in recipe.BASE_FILES.items():
            put_file(result, (), path, file)
        for link, goal in recipe.BASE_LINKS.items():
            (result / link.lstrip("/")).symlink_to(goal)
        # What would otherwise be the same on every host, or leads to the build's own archive.
        for path in ("etc/apt/sources.list", "etc/machine-id", "etc/hostname"):
            (result / path).unlink(missing_ok=True)

    def _build_mirror(self, result: Path) -> None:
        self._fetch(result, self._base, recipe.HTCONDOR_PACKAGES)

    def _fetch(self, result: Path, layer: Path, packages: tuple[str, ...]) -> None:
        """Fetch by the machine's own apt (its proxies, its certificates) what a layer lacks."""
        work = result.parent
        for folder in ("lists/partial", "archives/partial"):
            (work / folder).mkdir(parents=True)
        sources = work / "sources.list"
        sources.write_text(f"deb {debian.archive()} {recipe.SUITE} main\n")
        options = {
            "Dir::Etc::SourceList": sources,
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::TrustedParts": _KEYRINGS,
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State::Lists": work / "lists",
            "Dir::State::Status": layer / "var/lib/dpkg/status",
            "Dir::State::Extended_States": "/dev/null",
            "Dir::Cache::Archives": work / "archives",
            "Dir::Cache::PkgCache": "",
            "Dir::Cache::SrcPkgCache": "",
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Debug::NoLocking": "true",
        }
        apt = ["apt-get", "-q", "-y", *(f"-o{name}={value}" for name, value in options.items())]
        debian.run([*apt, "update"], work / "log")
        debian.run([*apt, "install", "--download-only", *packages], work / "log")
        for package in (work / "archives").glob("*.deb"):
            package.rename(result / package.name)
        scan = 'cd "$0" && dpkg-scanpackages --multiversion . >Packages && gzip -k Packages'
        debian.run(["sh", "-c", scan, str(result)], work / "log")

    def _build_condor(self, result: Path) -> None:
        self._install(result, (self._base,), self.mirror, recipe.HTCONDOR_PACKAGES)

    def _build_legacy(self, result: Path) -> None:
        self._say("building an image of condor_annex's, once; this takes a minute")
        fetched = result.parent / "fetched"
        fetched.mkdir()
        self._fetch(fetched, self._condor, recipe.LEGACY_PACKAGES)
        self._install(result, (self._condor, self._base), fetched, recipe.LEGACY_PACKAGES)

    def _install(
        self, result: Path, layers: tuple[Path, ...], archive: Path, packages: tuple[str, ...]
    ) -> None:
        self._in_overlay(
            result,
            layers,
            # No network in there: the packages are in the archive, which is bound in.
            f"mount --bind '{archive}' merged/mnt\n"
            "echo 'deb [trusted=yes] file:/mnt ./' >merged/etc/apt/sources.list\n"
            "chroot merged apt-get -q -o APT::Sandbox::User=root update\n"
            "chroot merged apt-get -q -y -o APT::Sandbox::User=root install "
            f"{' '.join(packages)}\n"
            "rm -rf merged/etc/apt/sources.list merged/var/lib/apt/lists/*"
            " merged/var/cache/apt/*.bin merged/var/log/apt merged/var/log/dpkg.log\n",
        )

    def _build_pool(self, result: Path) -> None:
        users = "".join(
            f"chroot merged useradd --create-home --shell /bin/bash {user}\n"
            for user in recipe.USERS
        )
        self._in_overlay(result, (self._condor, self._base), users)
        for path, file in recipe.POOL_FILES.items():
            put_file(result, (self._condor, self._base), path, file)

    def _in_overlay(self, result: Path, layers: tuple[Path, ...], script: str) -> None:
        """Run a script on the layers, mounted at `merged`; what it changes is in `result`."""
        work = result.parent
        for name in ("work", "merged"):
            (work / name).mkdir()
        lower = ":".join(str(layer) for layer in layers)
        head = (
            'set -eu\ncd "$0"\n'
            f"mount -t overlay overlay -o lowerdir={lower},upperdir=result,workdir=work merged\n"
            "mount -t proc proc merged/proc\n"
            "mount -t tmpfs tmpfs merged/tmp\n"
            "mount --bind /dev/null merged/dev/null\n"
            # A name that resolves: HTCondor's tools look their host up.
            "hostname localhost\n"
            "export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8\n"
        )
        # Without a network, so that nothing in there can wait for one.
        debian.run(["sh", "-c", head + script, str(work)], work / "log", "--net", "--uts")


def _build_ami(result: Path) -> None:
    for path, file in recipe.AMI_FILES.items():
        put_file(result, (), path, file)


@contextlib.contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """One builder at a time; what a killed one left half done is removed."""
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel gives it up when its holder dies
        for draft in cache.glob(f"{_BROKEN_OFF}*"):
            shutil.rmtree(draft, ignore_errors=True)
        yield


def _key(*parts: object) -> str:
    text = json.dumps([os.uname().machine, *parts], default=repr, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _megabytes(folder: Path) -> int:
    done = subprocess.run(["du", "-sm", str(folder)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])
