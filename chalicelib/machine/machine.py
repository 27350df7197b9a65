"""This machine as the program's parts share it: parameters, metadata, bucket, report."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .configuration import BadConfiguration, Configuration
from .configure import Facts
from .fetch import connect
from .files import File, write
from .metadata import Metadata, MetadataError
from .parameters import Parameters, parse_time
from .paths import KEPT
from .s3 import S3Error
from .shell import log

if TYPE_CHECKING:
    from .report import Reporter
    from .s3 import S3

LEASE_TAG = "meta-data/tags/instance/htcondor:LeaseExpiration"


@dataclass(frozen=True)
class Machine:
    """What `meet` found out."""

    parameters: Parameters
    facts: Facts
    metadata: Metadata
    s3: S3
    reporter: Reporter
    root: str = "/"


def meet(given: Parameters, metadata: Metadata, root: str = "/") -> Machine:
    """Ask the metadata service who this machine is; raises `MetadataError`."""
    instance_id = metadata.need("meta-data/instance-id").strip()
    facts = Facts(
        instance_id=instance_id,
        instance_type=(metadata.get("meta-data/instance-type") or "unknown").strip(),
        zone=(metadata.get("meta-data/placement/availability-zone") or "unknown").strip(),
        lifecycle=(metadata.get("meta-data/instance-life-cycle") or "on-demand").strip(),
        cpus=os.cpu_count() or 1,
        booted_at=_booted_at(root),
    )
    s3, reporter = connect(given, metadata, root)
    return Machine(given, facts, metadata, s3, reporter, root)


def _booted_at(root: str) -> int:
    """When pid 1 began, a Unix time (proc(5): field 22 of stat, in ticks of the kernel)."""
    stat = Path(root + "/proc/1/stat").read_text(encoding="utf-8")
    ticks = int(stat.rpartition(")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return int(time.time() - age)


class Orders:
    """The annex's configuration, fetched again when it has changed.

    An older generation than one ever seen is ignored. While S3 cannot be read, the lease's end is
    the later of the one known and the one in the instance's tag, which a renewal moves too. The
    last configuration is kept on the disk: this program may be restarted while S3 is away.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._etag = ""
        self._tagged = 0
        self.current = self._kept()
        self.problem = ""

    def poll(self) -> bool:
        """Look for news; True where there are some. Never raises: `problem` says what was wrong."""
        parameters = self._machine.parameters
        try:
            fetched = self._machine.s3.get(parameters.key, self._etag)
            self.problem, self._tagged = "", 0
            if fetched is None:
                return False
            found = Configuration.parse(fetched.body)
            self._etag = fetched.etag
        except (S3Error, BadConfiguration) as error:
            if str(error) != self.problem:
                log(error)
            self.problem = str(error)
            self._tagged = self._tag()
            return False
        if found.annex_id != parameters.annex_id:
            self.problem = "The configuration object is another annex's."
            return False
        known = self.current
        # The known generation may come again with a fresh token: a sweep can write a renewal's
        # lease before the client's repeat brings the token.
        if known is not None and (found.generation < known.generation or found == known):
            return False
        self.current = found
        try:
            write(File(KEPT, fetched.body, 0o600), self._machine.root)
        except OSError as error:
            log(error)
        return True

    @property
    def lease_end(self) -> int:
        """When the lease ends, by the best that is known; a Unix time."""
        known = self.current.lease_end if self.current else self._machine.parameters.lease_end
        return max(known, self._tagged)

    def _kept(self) -> Configuration | None:
        try:
            kept = Configuration.parse(Path(self._machine.root + KEPT).read_bytes())
        except (OSError, BadConfiguration):
            return None
        # An image made of another annex's machine has that one's.
        return kept if kept.annex_id == self._machine.parameters.annex_id else None

    def _tag(self) -> int:
        try:
            return parse_time((self._machine.metadata.get(LEASE_TAG) or "").strip())
        except (MetadataError, ValueError):
            return 0
