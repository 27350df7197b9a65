"""Every order of the actors' port calls, with failures, from one state of the world: breadth first.

A state is the fakes' content, where each actor stands, the time, and what may still go wrong. In
each state every actor may make its next call; the call may fail, or be done and its answer lost;
time may pass, and kill the functions that took too long; a machine may end by itself. From a state
that was met before nothing is done again.

**A function's death needs no step of its own.** An actor that died is one that never has a turn
again. States in which the others go on without it are visited anyway; and in every state all actors
are left for dead, to see that the sweep alone repairs what they left (`promises.left_alone`). Death
before a call is death after the call before.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from chalicelib.errors import AnnexError, AwsUnavailable
from chalicelib.model import AnnexState, InstanceState
from tests.explorer import promises
from tests.explorer.actors import (
    EPOCH,
    OVER,
    WAITING,
    Actor,
    Actors,
    Call,
    Done,
    Operation,
    Told,
    known_ids,
    moment,
)
from tests.explorer.promises import Broken
from tests.explorer.saved import Numbers, copied
from tests.fakes.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from chalicelib.ids import InstanceId

SILENCE = Told(error=AwsUnavailable("no answer"))


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may go wrong on one way: calls that fail, steps of the clock, machines that end.

    `steps` are in seconds, one of which kills a request; to the end of the next lease is one more.
    """

    failures: int = 1
    ticks: int = 1
    endings: int = 0
    steps: tuple[int, ...] = (20, 100, 320)


class State(NamedTuple):
    """Ports by number; `asked` are stops and the like that have begun: (kind, annex's name)."""

    now: int
    ports: tuple[int, ...]
    actors: tuple[Actor, ...]
    failures: int
    ticks: int
    endings: int
    asked: frozenset[tuple[str, str]] = frozenset()


class Step(NamedTuple):
    """What leads from a state to the next; `made` says whether the call had its effect."""

    what: str
    call: Call | None = None
    told: Told | None = None
    made: bool = True
    done: Done | None = None


class _Turn(NamedTuple):
    step: Step
    actor: Actor
    ports: tuple[int, ...]
    failures: int
    asked: frozenset[tuple[str, str]]
    broken: str


@dataclass
class Found:
    """What a search saw. `story` is the shortest way to what is broken, if anything is.

    `depth` is the number of steps up to which nothing was left out; `whole` says that there is
    nothing beyond.
    """

    states: int = 0
    transitions: int = 0
    worlds: int = 0
    depth: int = 0
    whole: bool = False
    broken: str = ""
    story: list[tuple[int, Step]] = field(default_factory=list)


class Explorer:
    """Searches from one given world; what is known of single calls serves all its searches.

    `change` makes the control plane another one, to see that what is broken is found.
    """

    def __init__(
        self,
        given: Callable[[World], None],
        change: Callable[[World], None] | None = None,
        *,
        forget: bool = True,
    ) -> None:
        self.world = World()
        if change is not None:
            change(self.world)
        with known_ids(15):
            given(self.world)
        self.world.faults.disarm()
        self.actors = Actors(change, forget=forget)
        services = self.world.services
        self._fakes = [getattr(services, one)._port for one in self.actors.ports]
        self._saved = [Numbers() for _ in self._fakes]
        self._known: dict[tuple[int, int, int, int], tuple[int, int]] = {}
        self._turned: dict[tuple[Operation, int, Actor, tuple[int, ...], int], list[_Turn]] = {}
        self._laters: dict[tuple[tuple[int, ...], int, tuple[int, ...]], list[int]] = {}
        self._endeds: dict[
            tuple[tuple[int, ...], int], list[tuple[InstanceId, tuple[int, ...]]]
        ] = {}
        self._verdicts: dict[tuple[object, ...], str] = {}
        self._begin = round((self.world.clock.now() - EPOCH).total_seconds())
        self._first = tuple(self._save(port) for port in range(len(self._fakes)))

    def search(
        self,
        operations: Sequence[Operation],
        bounds: Bounds,
        *,
        depth: int = sys.maxsize,
        most: int = sys.maxsize,
    ) -> Found:
        """Go everywhere, but no further than so many steps, or until so many states are known."""
        self._operations, self._steps = operations, bounds.steps
        sweeps = sum(one.kind == "sweep" for one in operations)  # they come last
        self._sweeps = len(operations) - sweeps if sweeps > 1 else 0
        waiting = tuple(Actor() for _ in operations)
        first = State(
            self._begin, self._first, waiting, bounds.failures, bounds.ticks, bounds.endings
        )
        found = Found(broken=self._left_alone(first))
        seen: dict[State, tuple[State, Step] | None] = {first: None}
        level = [first]
        while level and found.depth < depth and not found.broken:
            level = self._next_level(level, seen, found, most)
            if len(seen) >= most:
                break
            found.depth += bool(level)
        found.whole = not level
        found.states = len(seen)
        found.worlds = len({(one.ports, one.now) for one in seen})
        return found

    def _next_level(
        self,
        level: Sequence[State],
        seen: dict[State, tuple[State, Step] | None],
        found: Found,
        most: int,
    ) -> list[State]:
        reached = []
        for here in level:
            if len(seen) >= most:
                return reached
            for step, there, broken in self._successors(here):
                found.transitions += 1
                if there in seen and not broken:
                    continue
                seen.setdefault(there, (here, step))
                reached.append(there)
                found.broken = broken or self._left_alone(there)
                if found.broken:
                    found.story = [*_way(here, seen), (here.now, step)]
                    return reached
        return reached

    def _successors(self, state: State) -> Iterator[tuple[Step, State, str]]:
        now, ports, actors, failures, ticks, endings, asked = state
        for slot, actor in enumerate(actors):
            if actor.begun == OVER:
                continue
            for turn in self._turns(slot, actor, ports, now):
                if turn.failures > failures:
                    continue
                there = State(
                    now,
                    turn.ports,
                    self._with(actors, slot, turn.actor),
                    failures - turn.failures,
                    ticks,
                    endings,
                    asked | turn.asked,
                )
                broken = turn.broken
                if turn.ports != ports and not broken:
                    broken = self._verdict(("call", ports, turn.ports, now, there.asked))
                yield turn.step, there, broken
        if ticks:
            for later in self._later(ports, now):
                step = Step(f"{later - now} seconds pass")
                living = self._not_too_late(actors, later)
                yield step, State(later, ports, living, failures, ticks - 1, endings, asked), ""
        if endings:
            for instance_id, changed in self._ended(ports, now):
                step = Step(f"{instance_id} ends by itself")
                there = State(now, changed, actors, failures, ticks, endings - 1, asked)
                yield step, there, ""

    def _with(self, actors: tuple[Actor, ...], slot: int, actor: Actor) -> tuple[Actor, ...]:
        changed = (*actors[:slot], actor, *actors[slot + 1 :])
        if not self._sweeps:
            return changed
        # Sweeps are all the same: which of them is where makes no difference.
        return (*changed[: self._sweeps], *sorted(changed[self._sweeps :]))

    def _not_too_late(self, actors: tuple[Actor, ...], now: int) -> tuple[Actor, ...]:
        return tuple(
            Actor(OVER) if one.begun >= 0 and now - one.begun >= operation.limit else one
            for one, operation in zip(actors, self._operations, strict=True)
        )

    # What may come of one actor, of time and of machines: each is found once

    def _turns(self, slot: int, actor: Actor, ports: tuple[int, ...], now: int) -> list[_Turn]:
        """The actor's next call: answered, not made, or made and not answered."""
        operation = self._operations[slot]
        key = (operation, slot, actor, ports, now)
        if key not in self._turned:
            abouts = [actor.about]
            if actor.begun == WAITING and operation.kind == "event":
                self._put(ports, now)
                shown = self.world.compute.instances()
                abouts = [one.instance_id for one in shown if not one.state.is_endable]
            self._turned[key] = [
                turn
                for about in abouts
                for turn in self._turns_of(slot, actor._replace(about=about), ports, now)
            ]
        return self._turned[key]

    def _turns_of(
        self, slot: int, actor: Actor, ports: tuple[int, ...], now: int
    ) -> Iterator[_Turn]:
        operation = self._operations[slot]
        asked: frozenset[tuple[str, str]] = frozenset()
        if actor.begun == WAITING:
            actor = self.actors.begin(operation, slot, now, actor.about)
            if operation.kind in ("stop", "shorten"):
                asked = frozenset({(operation.kind, operation.name)})
        call = self.actors.calls[actor.call]
        after, told = self._call(call, ports, now)
        silence = self.actors.told.of(SILENCE)
        ways = [(0, after, told, True), (1, ports, silence, False)]
        if after != ports:
            ways.append((1, after, silence, True))
        for failures, reached, answer, made in ways:
            following, done = self.actors.go_on(operation, slot, actor, now, answer)
            broken = ""
            if done is not None:
                broken = done.defect or self._verdict(
                    ("answer", operation, done.told.value, reached, now)
                )
            step = Step(str(operation), call, self.actors.told.values[answer], made, done)
            yield _Turn(step, following, reached, failures, asked, broken)

    def _later(self, ports: tuple[int, ...], now: int) -> list[int]:
        key = (ports, now, self._steps)
        if key not in self._laters:
            self._put(ports, now)
            leases = [
                round((one.lease_expires_at - EPOCH).total_seconds())
                for one in self.world.ledger.records.values()
                if one.state is not AnnexState.TERMINATED
            ]
            later = {now + seconds for seconds in self._steps}
            later |= set(sorted(one for one in leases if one > now)[:1])
            self._laters[key] = sorted(later)
        return self._laters[key]

    def _ended(self, ports: tuple[int, ...], now: int) -> list[tuple[InstanceId, tuple[int, ...]]]:
        key = (ports, now)
        if key not in self._endeds:
            self._put(ports, now)
            ours = [one.instance_id for one in self.world.compute.ours()]
            self._endeds[key] = []
            for one in ours:
                self._put(ports, now)
                self.world.compute.ours()  # a Spot Fleet's machines come when they are looked for
                self.world.compute.become(one, InstanceState.SHUTTING_DOWN)
                changed = tuple(self._save(port) for port in range(len(self._fakes)))
                self._endeds[key].append((one, changed))
        return self._endeds[key]

    def _call(self, call: Call, ports: tuple[int, ...], now: int) -> tuple[tuple[int, ...], int]:
        port = self.actors.ports.index(call.port)
        key = (port, ports[port], call.number, now)
        if key not in self._known:
            self._put(ports, now)
            try:
                told = Told(getattr(self._fakes[port], call.method)(*call.args, **call.kwargs))
            except AnnexError as error:
                told = Told(error=error)
            self._known[key] = self._save(port), self.actors.told.of(copied(told))
        after, answer = self._known[key]
        return (*ports[:port], after, *ports[port + 1 :]), answer

    def _left_alone(self, state: State) -> str:
        return self._verdict(("alone", state.ports, state.now))

    def _verdict(self, key: tuple[object, ...]) -> str:
        if key not in self._verdicts:
            try:
                self._judge(key)
            except Broken as broken:
                self._verdicts[key] = str(broken)
            else:
                self._verdicts[key] = ""
        return self._verdicts[key]

    def _judge(self, key: tuple[object, ...]) -> None:
        match key:
            case ("call", before, after, now, asked):
                self._put(before, now)
                records = self.world.ledger.records
                running = {one.instance_id: one for one in self.world.compute.running()}
                self._put(after, now)
                names = {
                    kind: frozenset(name for what, name in asked if what == kind)
                    for kind in ("stop", "shorten")
                }
                promises.records_follow(records, self.world.ledger.records, names["shorten"])
                promises.machines_follow(running, self.world, names["stop"])
            case ("answer", operation, answer, ports, now):
                if answer is not None and hasattr(answer, "status"):
                    self._put(ports, now)
                    promises.answer_is_true(operation, answer, self.world)
            case ("alone", ports, now):
                self._put(ports, now)
                promises.left_alone(self.world)

    def _put(self, ports: tuple[int, ...], now: int) -> None:
        self.world.clock.time = EPOCH + timedelta(seconds=now)
        for fake, saved, number in zip(self._fakes, self._saved, ports, strict=True):
            vars(fake).clear()
            vars(fake).update(copied(saved.values[number]))

    def _save(self, port: int) -> int:
        return self._saved[port].of(copied(vars(self._fakes[port])))


def _way(state: State, seen: dict[State, tuple[State, Step] | None]) -> list[tuple[int, Step]]:
    way: list[tuple[int, Step]] = []
    came = seen[state]
    while came is not None:
        before, step = came
        way.append((before.now, step))
        came = seen[before]
    return way[::-1]


__all__ = ["Bounds", "Explorer", "Found", "Step", "moment"]
