"""From where the explorer starts, and who does what there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

from chalicelib.errors import AwsUnavailable
from chalicelib.launch import Refusal, RefusalKind
from chalicelib.tags import ANNEX_ID, DEPLOYMENT
from tests.explorer.actors import Operation
from tests.explorer.search import Bounds
from tests.fakes.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chalicelib.ids import InstanceId

LEASE = 900  # seconds, longer than a launch may go on
NO_CAPACITY = Refusal(RefusalKind.CAPACITY, "InsufficientInstanceCapacity", "There is none")
_BODIES = World()


def _start(kind: str, name: str, **changes: Any) -> Operation:
    body = _BODIES.body(
        name,
        **{
            "count": 1,
            "duration_seconds": LEASE,
            "idle_seconds": 300,
            "token": f"fresh token of {kind}",
            **changes,
        },
    )
    return Operation(kind, lambda world, _: world.post(body), name=name, body=body)


def _grow(name: str, **changes: Any) -> Operation:
    terms = {"duration_seconds": None, "idle_seconds": None, "grow": True}
    return _start("grow", name, **{**terms, **changes})


def _patch(kind: str, name: str, seconds: int, **changes: Any) -> Operation:
    body: Mapping[str, Any] = {
        "request_id": _BODIES.new_request_id(),
        "duration_seconds": seconds,
        "token": f"fresh token of {kind}",
        **changes,
    }

    def act(world: World, _: InstanceId) -> Any:
        return world.call("PATCH", "/annexes/{name}", body, name=name)

    return Operation(kind, act, name=name, body=body)


def _stop(name: str) -> Operation:
    return Operation("stop", lambda world, _: world.stop(name), name=name)


SWEEP = Operation("sweep", lambda world, _: world.services.sweep.run(), limit=180)
EVENT = Operation(
    "event", lambda world, about: world.services.interruption.state_changed(about, "terminated"), 60
)


def foreign(world: World) -> None:
    """Machines that are not ours: no tag, another deployment's, another tool's."""
    world.compute.stranger({})
    world.compute.stranger({DEPLOYMENT: "other", ANNEX_ID: "annex-0123456789abcdef"})


def nothing(world: World) -> None:
    """A deployment without an annex."""
    foreign(world)
    world.sweep()


def first_zone_full(world: World) -> None:
    """The same, and a launch takes two attempts."""
    nothing(world)
    world.compute.free = {("m7i.large", "us-east-1a"): 0}


def two_annexes(world: World) -> None:
    """Of names that begin alike, a machine each."""
    nothing(world)
    for name in ("foo", "foobar"):
        world.start(name, count=1, duration_seconds=LEASE, idle_seconds=300)
    world.sweep()


def launch_unanswered(world: World) -> None:
    """A start whose launch call got no answer, a minute ago: its machine is there."""
    nothing(world)

    def silence(point: str) -> None:
        if point == "after compute.launch":
            raise AwsUnavailable("no answer")

    world.faults.watch = silence
    world.start(count=1, duration_seconds=LEASE, idle_seconds=300)
    world.faults.disarm()
    world.clock.tick(60)


def last_seconds(world: World) -> None:
    """The leases end in ten seconds."""
    two_annexes(world)
    world.clock.tick(LEASE - 70)


def stopping(world: World) -> None:
    """One of the two was stopped; its machine shuts down."""
    two_annexes(world)
    world.stop()


def no_spot(world: World) -> None:
    """A launch on the spot market is refused, and goes on on demand; a Spot Fleet gets machines."""
    nothing(world)
    world.compute.spot_refusals = {"m7i.xlarge": NO_CAPACITY}


def fleet_requested(world: World) -> None:
    """EC2 has just accepted a Spot Fleet request: its machine comes in fifteen seconds."""
    nothing(world)
    world.post(SPOT_FLEET.body)


START, OTHER_START, AGAIN = (
    _start("start", "foo"),
    _start("start", "foobar"),
    _start("start", "foo"),
)
GROW, LONGER = _grow("foo"), _grow("foo", duration_seconds=2 * LEASE)
RENEW, RENEW_OTHER = _patch("renew", "foo", 2 * LEASE), _patch("renew", "foobar", 2 * LEASE)
SHORTEN = _patch("shorten", "foo", 300, shorten=True)
SPOT = _start("start", "foo", market="spot", fallback="on-demand", instance_types=["m7i.xlarge"])
SPOT_FLEET = _start("start", "foo", **_BODIES.spot_fleet(1))
STOP, STOP_OTHER = _stop("foo"), _stop("foobar")


@dataclass(frozen=True)
class Scene:
    """A given world, and the requests of which any two meet there, and meet the sweep."""

    given: Callable[[World], None]
    requests: tuple[Operation, ...]

    def __str__(self) -> str:
        return self.given.__name__.replace("_", " ")

    def pairs(self) -> list[tuple[Operation, ...]]:
        """Any two of them; one with itself is a request that its client repeats."""
        return list(combinations_with_replacement(self.requests, 2))

    def single(self) -> list[tuple[Operation, ...]]:
        """Each alone."""
        return [(one,) for one in self.requests]


@dataclass(frozen=True)
class Round:
    """Who meets in it: requests, the functions that run by themselves, and what may go wrong.

    A search ends with `most` states at the latest: so all go as deep as their share of time allows,
    and come to the same each time.
    """

    requests: Callable[[Scene], list[tuple[Operation, ...]]]
    others: tuple[Operation, ...]
    bounds: Bounds
    most: int

    def part(self, divisor: int) -> Round:
        """The same with a part of the states."""
        return replace(self, most=self.most // divisor)

    def __str__(self) -> str:
        who = "two requests" if self.requests is Scene.pairs else "a request"
        others = "".join(f", {one}" for one in self.others)
        bounds = self.bounds
        return (
            f"{who}{others}: {self.most:,} states a search; calls that fail {bounds.failures}, "
            f"ticks of the clock {bounds.ticks}, machines that end {bounds.endings}"
        )


SCENES = (
    Scene(nothing, (START, AGAIN, OTHER_START, STOP)),
    Scene(first_zone_full, (START, STOP)),
    Scene(two_annexes, (GROW, LONGER, RENEW, SHORTEN, STOP, START, RENEW_OTHER, STOP_OTHER)),
    Scene(launch_unanswered, (GROW, RENEW, STOP, OTHER_START)),
    Scene(last_seconds, (GROW, LONGER, RENEW, STOP, START)),
    Scene(stopping, (START, GROW, STOP)),
    Scene(no_spot, (SPOT, SPOT_FLEET, STOP)),
    Scene(fleet_requested, (SPOT_FLEET, GROW, RENEW, STOP)),
)
QUICK = (
    Round(Scene.pairs, (), Bounds(failures=1, ticks=0), 80),
    Round(Scene.single, (SWEEP,), Bounds(failures=1, ticks=1, steps=(20, 100)), 1_000),
)
FULL = (
    Round(Scene.pairs, (), Bounds(failures=0, ticks=0), 8_000),
    Round(Scene.single, (SWEEP,), Bounds(failures=1, ticks=1), 30_000),
    Round(Scene.single, (EVENT, SWEEP), Bounds(failures=0, ticks=1, endings=1), 40_000),
    Round(Scene.pairs, (), Bounds(failures=1, ticks=0), 8_000),
    Round(Scene.pairs, (SWEEP,), Bounds(failures=0, ticks=0), 8_000),
)
