"""What an annex is: frozen values, no behaviour but arithmetic on themselves.

Times are timezone-aware UTC, lengths of time are seconds unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta  # noqa: TC003  the ledger decodes records by these types
from enum import StrEnum

from .ids import AnnexId, AnnexName, CallerId, InstanceId, RequestId  # noqa: TC001  as above
from .launch import Attempt, Launch  # noqa: TC001  as above


class AnnexState(StrEnum):
    """Where an annex is in its life; `lifecycle.TRANSITIONS` says what may follow what."""

    LAUNCHING = "launching"
    ACTIVE = "active"
    TERMINATING = "terminating"
    TERMINATED = "terminated"

    @property
    def is_living(self) -> bool:
        """Nobody has ended it yet; its lease may be over all the same."""
        return self in (AnnexState.LAUNCHING, AnnexState.ACTIVE)


class InstanceState(StrEnum):
    """EC2's own words."""

    PENDING = "pending"
    RUNNING = "running"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"
    STOPPING = "stopping"
    STOPPED = "stopped"

    @property
    def is_endable(self) -> bool:
        """TerminateInstances still has something to do (a stopped machine's disk costs money)."""
        return self not in (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED)


class NoticeKind(StrEnum):
    """What EC2 announces of a spot machine."""

    RECLAIM = "reclaim"  # it takes the machine back
    REBALANCE = "rebalance"  # it may soon: the machine is at an elevated risk


@dataclass(frozen=True, slots=True)
class Notice:
    """What EC2 has announced of one machine; `at` is when the thing happens, or was said."""

    instance_id: InstanceId
    kind: NoticeKind
    at: datetime


@dataclass(frozen=True, slots=True)
class Annex:
    """An annex's record.

    `generation` rises with every change the machines must hear of, `written_generation` is the one
    in the configuration object (0: never written). `ended` are machines known to be gone.
    `version` is the ledger's: a save is refused when the record has moved on. `notices` are words
    for status, the newest: nothing is done for them.
    """

    annex_id: AnnexId
    name: AnnexName
    caller: CallerId
    identity: str
    created_at: datetime
    lease_expires_at: datetime
    idle_seconds: int
    retire_seconds: int
    config_key: str = field(repr=False)
    state: AnnexState = AnnexState.LAUNCHING
    generation: int = 1
    written_generation: int = 0
    launches: tuple[Launch, ...] = ()
    ended: tuple[InstanceId, ...] = ()
    reason: str = ""
    terminated_at: datetime | None = None
    version: int = 0
    notices: tuple[Notice, ...] = ()

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt of every launch."""
        return tuple(attempt for launch in self.launches for attempt in launch.attempts)

    @property
    def started(self) -> tuple[InstanceId, ...]:
        """Every machine it ever started, as far as it is known."""
        return tuple(instance for launch in self.launches for instance in launch.started)

    @property
    def units(self) -> dict[InstanceId, int]:
        """What each of its machines counts for."""
        return {
            instance: units
            for one in self.attempts
            for instance, units in zip(
                one.started, one.units or (1,) * len(one.started), strict=True
            )
        }

    @property
    def living(self) -> tuple[InstanceId, ...]:
        """Machines started and not yet known to be gone."""
        gone = frozenset(self.ended)
        return tuple(instance for instance in self.started if instance not in gone)

    @property
    def legacy(self) -> bool:
        """Whether machines of condor_annex's own images are, or were, among its machines."""
        return any(launch.spec.legacy for launch in self.launches)

    @property
    def legacy_machines(self) -> frozenset[InstanceId]:
        """Every machine of such an image that it ever started."""
        legacy = (launch for launch in self.launches if launch.spec.legacy)
        return frozenset(instance for launch in legacy for instance in launch.started)

    @property
    def open_launch(self) -> Launch | None:
        """The launch that goes on; a second one waits until the one before is closed."""
        return next((launch for launch in self.launches if not launch.closed), None)

    @property
    def reserved(self) -> int:
        """Machines that count against the caps: living ones and those still asked for."""
        if self.state is AnnexState.TERMINATED:
            return 0
        wanted = (one.spec.machines(one.missing) for one in self.launches if not one.closed)
        return len(self.living) + sum(wanted)

    def launch_by(self, number: int) -> Launch:
        """The launch of a number. Raises LookupError."""
        for launch in self.launches:
            if launch.number == number:
                return launch
        raise LookupError(f"annex {self.annex_id} has no launch {number}")

    def launch_of(self, request_id: RequestId) -> Launch | None:
        """The launch a request made, if it made one."""
        return next((one for one in self.launches if one.request_id == request_id), None)

    def notice_of(self, instance_id: InstanceId, kind: NoticeKind) -> Notice | None:
        """What EC2 has announced of a machine, if it has."""
        mine = (one for one in self.notices if one.instance_id == instance_id)
        return next((one for one in mine if one.kind is kind), None)

    def is_over(self, now: datetime) -> bool:
        """Whether the lease has ended; a lease ends at its instant, not after it."""
        return now >= self.lease_expires_at

    def overdue(self, now: datetime) -> timedelta:
        """How long ago the lease ended; negative while it lasts."""
        return now - self.lease_expires_at


@dataclass(frozen=True, slots=True)
class Instance:
    """One machine as DescribeInstances shows it; the tags are read, never trusted for ownership."""

    instance_id: InstanceId
    state: InstanceState
    instance_type: str
    zone: str
    launched_at: datetime
    annex_id: AnnexId | None = None
    client_token: str = ""
    lease_tag: datetime | None = None
    lifecycle: str = "on-demand"
    private_dns_name: str = ""
    state_reason: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a machine last said of itself: believed for words, not for deeds."""

    phase: str
    reason: str


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A request that was accepted: the same id with the same fingerprint gets the first answer."""

    caller: CallerId
    request_id: RequestId
    fingerprint: str
    annex_id: AnnexId
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet and its way out: `public` by an internet gateway, `nat`, or None.

    `gives_addresses`: machines get a public address unless a launch says otherwise.
    """

    subnet_id: str
    zone: str
    way_out: str | None
    gives_addresses: bool = True


@dataclass(frozen=True, slots=True)
class InstanceType:
    """What EC2 says of a type: the architectures it runs (`x86_64`, `arm64`), and its vCPUs."""

    architectures: frozenset[str]
    vcpus: int


@dataclass(frozen=True, slots=True)
class Image:
    """An AMI that can be launched; `root_snapshot` is empty where it is not known."""

    image_id: str
    architecture: str
    root_device: str
    root_gib: int
    root_snapshot: str = ""


@dataclass(frozen=True, slots=True)
class SweepState:
    """What the last sweep left for the next one and for those who watch it."""

    finished_at: datetime | None = None
    resume_after: AnnexId | None = None
    problems: tuple[str, ...] = ()


class LeftoverKind(StrEnum):
    """What an annex can leave behind beside its machines; in the order in which it is removed."""

    SPOT_FLEET = "Spot Fleet request"  # first: it may launch more
    FLEET = "EC2 Fleet"
    SPOT_REQUEST = "spot request"
    TEMPLATE = "launch template"
    VOLUME = "volume"
    CONFIGURATION = "configuration object"
    TARBALL = "legacy tarball"


@dataclass(frozen=True, slots=True)
class Leftover:
    """A thing of the deployment's that must go when its annex has gone.

    `resource_id` of a configuration object is its key, which is half a secret: never shown.
    `made_at` is when it was made, an object's in S3 when it was last written. `lease_tag` is the
    lease in its own tag (a configuration object's, in its text), None if there is none.
    """

    kind: LeftoverKind
    resource_id: str = field(repr=False)
    made_at: datetime
    annex_id: AnnexId | None = None
    lease_tag: datetime | None = None

    def __str__(self) -> str:
        if self.kind is LeftoverKind.CONFIGURATION:
            return f"{self.kind} of {self.annex_id or 'an unknown annex'}"
        return f"{self.kind} {self.resource_id}"
