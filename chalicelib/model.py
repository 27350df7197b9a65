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


class Market(StrEnum):
    """What a machine's hours cost, and whether EC2 may take it back."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"


class Road(StrEnum):
    """The EC2 call by which a launch is made, in EC2's own words."""

    RUN_INSTANCES = "RunInstances"  # one place at a time
    FLEET = "CreateFleet"  # all places in one call, of type instant: it answers with what it got
    SPOT_FLEET = (
        "RequestSpotFleet"  # the user's own JSON: machines come later, until it is cancelled
    )


@dataclass(frozen=True, slots=True)
class Refusal:
    """EC2's definite no: nothing was started by this call. `message` is EC2's own, one line.

    `where` is the type and zone that a fleet's no is about, empty where it is about the call.
    """

    kind: RefusalKind
    code: str
    message: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Launched:
    """EC2's answer to a launch: what it started, and how many units each machine counts for.

    `refusals` are its noes for single types and zones. A Spot Fleet request is only accepted
    (`final` is false): its machines are found later, by their tags.
    """

    machines: tuple[tuple[InstanceId, int], ...]
    refusals: tuple[Refusal, ...] = ()
    fleet_id: str = ""
    final: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """One type in one subnet; `public_address` where the way out is an internet gateway."""

    instance_type: str
    subnet_id: str
    zone: str
    public_address: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """What the next call of a launch asks for: machines in one place, or (None) in any of them."""

    place: Place | None
    market: Market


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a type must have; both ends of a range are included, and None is no limit."""

    cpus: tuple[int, int | None]
    memory_mib: tuple[int, int | None]


@dataclass(frozen=True, slots=True)
class SpotFleet:
    """A Spot Fleet request as `spot_fleet_config` made it of the user's own JSON.

    Each of `templates` is the JSON of one LaunchTemplateData, complete, user data included.
    `config` is the JSON of a SpotFleetRequestConfig in which `LaunchTemplateConfigs[i]` has no
    LaunchTemplateSpecification but `"Template": n`, the index of its template; ClientToken,
    TargetCapacity, ValidUntil and the launch templates' names come with the attempt.
    """

    templates: tuple[str, ...] = field(repr=False)
    config: str


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """All of an EC2 launch but place, count and token: frozen in the ledger before any call.

    `tags` are the tags of instances and volumes, ours and the user's. The user data is what EC2
    gets (gzip'd MIME); it holds no secret but the name of the configuration object. `weights` are
    the units that a machine of a type counts for where units are slots; else each counts one.
    `max_price` is in USD per unit and hour, empty for the on-demand price. With `fallback`, what
    spot does not give is asked for on demand. A weight of the type '' is that of types which EC2
    chooses; `notes` are sentences on what is not as the user's own configuration said.
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
    road: Road = Road.RUN_INSTANCES
    market: Market = Market.ON_DEMAND
    fallback: bool = False
    max_price: str = ""
    in_order: bool = True  # the types' order is a preference, not just a list
    weights: tuple[tuple[str, int], ...] = ()
    spot_fleet: SpotFleet | None = None
    notes: tuple[str, ...] = ()
    legacy: bool = False  # an image of condor_annex's, which takes no user data of ours

    def units(self, instance_type: str) -> int:
        """What one machine of a type counts for."""
        return dict(self.weights).get(instance_type, 1)

    def machines(self, units: int) -> int:
        """The most machines that so many units can be."""
        least = min((weight for _, weight in self.weights), default=1)
        return -(-units // least)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One EC2 call with one client token; what it started is known for sure when `settled`.

    `place` is None where the call is for all of the launch's places. `count` is in units, and
    `units` says what each of `started` counts for, where that is not one.
    """

    client_token: str
    place: Place | None
    count: int
    called_at: datetime
    settled: bool = False
    started: tuple[InstanceId, ...] = ()
    refusal: Refusal | None = None
    market: Market = Market.ON_DEMAND
    units: tuple[int, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    fleet_id: str = ""

    @property
    def got(self) -> int:
        """Units known to have been started."""
        return sum(self.units) if self.units else len(self.started)

    @property
    def known(self) -> bool:
        """Whether all that it started is known: EC2 has answered, or there cannot be more."""
        return self.settled or self.got >= self.count


@dataclass(frozen=True, slots=True)
class Launch:
    """One request for machines, a start or a grow: the attempts made for it, in order.

    `asked` is in units: machines, or slots (`LaunchSpec.weights`). `closed` is empty while it goes
    on. `lease_expires_at` is the lease a growing start asked for, which the annex gets with the
    first machine and not before.
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
    def refusals(self) -> tuple[Refusal, ...]:
        """EC2's noes so far, to whole calls and to single types and zones."""
        whole = (attempt.refusal for attempt in self.attempts if attempt.refusal is not None)
        return (*whole, *(no for attempt in self.attempts for no in attempt.refusals))

    @property
    def got(self) -> int:
        """Units known to have been started."""
        return sum(attempt.got for attempt in self.attempts)

    @property
    def missing(self) -> int:
        """How many units are still to be started."""
        return max(0, self.asked - self.got)

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


@dataclass(frozen=True, slots=True)
class Leftover:
    """A thing of the deployment's that must go when its annex has gone.

    `resource_id` of a configuration object is its key, which is half a secret: never shown.
    `made_at` is when it was made, a configuration object's when it was last written. `lease_tag`
    is the lease in its own tag (a configuration object's, in its text), None if there is none.
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
