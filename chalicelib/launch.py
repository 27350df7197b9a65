"""How machines are asked for: a launch's frozen specification, its attempts, and EC2's answers.

Values as in `model`, with no behaviour but arithmetic on themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003  the ledger decodes records by these types
from enum import StrEnum

from .ids import InstanceId, RequestId  # noqa: TC001  as above


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

    RUN_INSTANCES = "RunInstances"  # the first place; a fleet gets what it lacks from the others
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
    """What the next call of a launch asks for: machines in one place, or (None) in several."""

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

    `place` is None where a fleet is asked for several places (`launching.to_call`). `count`
    is in units, and `units` says what each of `started` counts for, where that is not one.
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
    def noes(self) -> tuple[Refusal, ...]:
        """EC2's noes to the call, and to single types and zones."""
        return (*((self.refusal,) if self.refusal else ()), *self.refusals)

    @property
    def is_final(self) -> bool:
        """Whether EC2 refused it so that nothing else of the launch is any good.

        One bad subnet among a fleet's places leaves the others as they are.
        """
        kinds = {no.kind for no in self.noes}
        return RefusalKind.SPENT in kinds or (kinds == {RefusalKind.FATAL} and not self.got)

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
        return tuple(no for attempt in self.attempts for no in attempt.noes)

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
