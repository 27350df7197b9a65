"""What an annex is: frozen values, no behaviour but arithmetic on themselves.

Times are timezone-aware UTC, lengths of time are seconds unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta  # noqa: TC003  the ledger decodes records by these types
from enum import StrEnum
from typing import NewType

AnnexId = NewType("AnnexId", str)
AnnexName = NewType("AnnexName", str)
CallerId = NewType("CallerId", str)  # the unique id of a signed AWS identity
InstanceId = NewType("InstanceId", str)
RequestId = NewType("RequestId", str)


class AnnexState(StrEnum):
    """Where an annex is in its life; `lifecycle.TRANSITIONS` says what may follow what."""

    LAUNCHING = "launching"
    ACTIVE = "active"
    TERMINATING = "terminating"
    TERMINATED = "terminated"


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


class RefusalKind(StrEnum):
    """How far a refusal of EC2's reaches."""

    CAPACITY = "capacity"  # this type in this zone
    QUOTA = "quota"  # this type in every zone
    FATAL = "fatal"  # whatever the type and zone
    SPENT = "spent"  # the client token was used up: nothing may be launched in its stead


@dataclass(frozen=True, slots=True)
class Refusal:
    """EC2's definite no: nothing was started by this call. `message` is EC2's own, one line."""

    kind: RefusalKind
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Place:
    """One type in one subnet; `public_address` where the way out is an internet gateway."""

    instance_type: str
    subnet_id: str
    zone: str
    public_address: bool


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """All of an EC2 launch but place, count and token: frozen in the ledger before any call.

    `tags` are the tags of instances and volumes, ours and the user's. The user data is what EC2
    gets (gzip'd MIME); it holds no secret but the name of the configuration object.
    """

    image_id: str
    root_device: str
    root_gib: int
    places: tuple[Place, ...]
    security_groups: tuple[str, ...]
    instance_profile_arn: str
    key_name: str | None
    tags: tuple[tuple[str, str], ...]
    user_data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One EC2 call with one client token; what it started is known for sure when `settled`."""

    client_token: str
    place: Place
    count: int
    called_at: datetime
    settled: bool = False
    started: tuple[InstanceId, ...] = ()
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """One request for machines, a start or a grow: the attempts made for it, in order.

    `closed` is empty while it goes on. `lease_expires_at` is the lease a growing start asked for,
    which the annex gets with the first machine and not before.
    """

    request_id: RequestId
    number: int
    asked: int
    opened_at: datetime
    spec: LaunchSpec
    attempts: tuple[Attempt, ...] = ()
    closed: str = ""
    lease_expires_at: datetime | None = None
    idle_seconds: int | None = None

    @property
    def started(self) -> tuple[InstanceId, ...]:
        """Every machine known to have been started for it."""
        return tuple(instance for attempt in self.attempts for instance in attempt.started)

    @property
    def missing(self) -> int:
        """How many machines are still to be started."""
        return max(0, self.asked - len(self.started))

    @property
    def unsettled(self) -> Attempt | None:
        """The attempt whose outcome is not known, if there is one; never more than one."""
        return next((attempt for attempt in self.attempts if not attempt.settled), None)


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
    for status: nothing is done for them.
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
    def living(self) -> tuple[InstanceId, ...]:
        """Machines started and not yet known to be gone."""
        gone = frozenset(self.ended)
        return tuple(instance for instance in self.started if instance not in gone)

    @property
    def open_launch(self) -> Launch | None:
        """The launch that goes on; a second one waits until the one before is closed."""
        return next((launch for launch in self.launches if not launch.closed), None)

    @property
    def reserved(self) -> int:
        """Machines that count against the caps: living ones and those still asked for."""
        if self.state is AnnexState.TERMINATED:
            return 0
        return len(self.living) + sum(one.missing for one in self.launches if not one.closed)

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
    """A subnet and its way out: `public` by an internet gateway, `nat`, or None."""

    subnet_id: str
    zone: str
    way_out: str | None


@dataclass(frozen=True, slots=True)
class Image:
    """An AMI that can be launched."""

    image_id: str
    architecture: str
    root_device: str
    root_gib: int


@dataclass(frozen=True, slots=True)
class SweepState:
    """What the last sweep left for the next one and for those who watch it."""

    finished_at: datetime | None = None
    resume_after: AnnexId | None = None
    problems: tuple[str, ...] = ()
