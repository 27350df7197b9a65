"""Runs of the real code that can be stopped at any call through a port and gone on with later.

A handler does the same whenever its ports and its clock tell it the same. So where it stands
follows from its past, the list of answers it got and when: to go on, it is run again from its
beginning with these answers, until it makes a call that has none yet.
"""

from __future__ import annotations

import itertools
import secrets
import sys
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from chalicelib.errors import AnnexError
from chalicelib.ids import InstanceId
from tests.explorer.saved import Numbers, comparable
from tests.fakes.faults import Watched
from tests.fakes.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
    from types import CodeType

WAITING, OVER = -1, -2
BEGINNING, NOTHING = 0, -1
EPOCH = datetime(2026, 11, 24, 12, tzinfo=UTC)
# Nothing that is done in between changes what these answer.
QUIET = frozenset({"catalog", "reports"})


@dataclass(frozen=True, eq=False)
class Operation:
    """What one actor does: a request of a client's, the sweep, or an event of EC2's.

    `act` gets the machine that an event is about, else an empty id. The function is killed after
    `limit` seconds. `kind` and `name` (of the annex) say what it may do, `body` what it asked for.
    """

    kind: str
    act: Callable[[World, InstanceId], Any]
    limit: int = 29
    name: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()


class Actor(NamedTuple):
    """When it began (or WAITING, OVER), what it was told so far, and what it asks next."""

    begun: int = WAITING
    past: int = BEGINNING
    call: int = NOTHING
    about: InstanceId = InstanceId("")


@dataclass(frozen=True)
class Call:
    """A call through a port; `number` is the same for the same method and arguments."""

    port: str
    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    number: int


@dataclass(frozen=True)
class Told:
    """What came back from a call, or out of the whole operation."""

    value: Any = None
    error: Exception | None = None


@dataclass(frozen=True)
class Done:
    """The operation is over; `defect` is an error that nobody should have met."""

    told: Told
    defect: str = ""


class Actors:
    """All runs there were, and what follows from each.

    Two runs that stand at the same line with the same variables go on alike, whatever led there.
    Of these only the first is kept (`forget`), or nearly every order would be a state of its own.
    """

    def __init__(
        self, change: Callable[[World], None] | None = None, *, forget: bool = True
    ) -> None:
        self._world = World()
        if change is not None:
            change(self._world)
        self._forget = forget
        self._journal = _Journal()
        services = self._world.services
        ports = {
            one.name: _Replayed(one.name, self)
            for one in fields(services)
            if isinstance(getattr(services, one.name), Watched) and one.name not in QUIET
        }
        still = {"clock": self, "journal": self._journal, "reach": _Reach()}
        self._world.services = replace(services, **ports, **still)  # type: ignore[arg-type]
        self.ports = tuple(ports)
        self.calls: dict[int, Call] = {}
        self.told = Numbers()
        self._numbers = Numbers()
        self._pasts = [_Past(0)]
        self._next: dict[tuple[Operation, int, Actor, int, int], tuple[Actor, Done | None]] = {}
        self._alike: dict[Hashable, int] = {}
        self._answers: list[_Past] = []
        self._at = 0

    def begin(self, operation: Operation, slot: int, now: int, about: InstanceId) -> Actor:
        """The actor in this slot begins: where it stands at its first call."""
        return self.go_on(operation, slot, Actor(now, about=about), now)[0]

    def go_on(
        self, operation: Operation, slot: int, actor: Actor, now: int, told: int = NOTHING
    ) -> tuple[Actor, Done | None]:
        """It gets an answer: where it stands then, or how it ended."""
        key = (operation, slot, actor, now, told)
        if key not in self._next:
            self._pasts.append(_Past(now, told, actor.past))
            past = len(self._pasts) - 1
            following, stand = self._run(operation, slot, actor.about, past)
            if isinstance(following, Done):
                self._next[key] = Actor(OVER), following
            else:
                if self._forget:
                    past = self._alike.setdefault((operation, slot, actor.about, stand), past)
                self._next[key] = actor._replace(past=past, call=following.number), None
        return self._next[key]

    def _run(
        self, operation: Operation, slot: int, about: InstanceId, past: int
    ) -> tuple[Call | Done, Hashable]:
        answers = []
        while past != BEGINNING:
            answers.append(self._pasts[past])
            past = self._pasts[past].before
        self._answers, self._at = answers[::-1], 0
        self._journal.defects.clear()
        try:
            with known_ids(slot):
                told = Told(operation.act(self._world, about))
        except _Pause as pause:
            return pause.call, pause.stand
        except AnnexError as error:
            told = Told(error=error)
        except Exception as error:  # noqa: BLE001  whatever it is, it is what is looked for
            return Done(Told(error=error), repr(error)), None
        return Done(told, "; ".join(self._journal.defects)), None

    # The clock and the ports of a run

    def now(self) -> datetime:
        """When the last call was answered: what comes after a call takes no time."""
        return moment(self._answers[self._at].at)

    def play(self, port: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call from the past, or stop the run."""
        if self._at + 1 == len(self._answers):
            number = self._numbers.of((port, method, args, kwargs))
            call = self.calls.setdefault(number, Call(port, method, args, kwargs, number))
            stand = (number, *self._journal.defects, *_frames(Actors._run.__code__))
            raise _Pause(call, stand)
        self._at += 1
        told: Told = self.told.values[self._answers[self._at].told]
        if told.error is not None:
            raise told.error.with_traceback(None)
        return told.value


class _Past(NamedTuple):
    """An answer and when it came, after another past; the first is when it began."""

    at: int
    told: int = NOTHING
    before: int = BEGINNING


class _Pause(BaseException):
    def __init__(self, call: Call, stand: Hashable) -> None:
        super().__init__(call.method)
        self.call = call
        self.stand = stand


class _Replayed:
    def __init__(self, name: str, actors: Actors) -> None:
        self._name = name
        self._actors = actors

    def __getattr__(self, method: str) -> Any:
        return lambda *args, **kwargs: self._actors.play(self._name, method, args, kwargs)


class _Reach:
    """`ports.PoolReach`: one and the same answer each time."""

    def __init__(self) -> None:
        self._answer: Future[Sequence[str]] = Future()
        self._answer.set_result([])

    def check(self, addresses: Sequence[str]) -> Future[Sequence[str]]:
        return self._answer


@dataclass
class _Journal:
    """`ports.Journal`: only defects count."""

    defects: list[str] = field(default_factory=list)

    def fact(self, event: str, **fields: object) -> None:
        pass

    def trouble(self, event: str, error: Exception, **fields: object) -> None:
        if not isinstance(error, AnnexError):
            self.defects.append(f"{event}: {error!r}")

    def count(self, metric: str, value: float = 1) -> None:
        pass


def _frames(until: CodeType) -> Iterator[Hashable]:
    """Each function under way, where it stands and its variables; the port's own left out."""
    frame = sys._getframe(3)
    while frame.f_code is not until:
        yield frame.f_code, frame.f_lasti, comparable(dict(frame.f_locals))
        assert frame.f_back is not None
        frame = frame.f_back


def moment(seconds: int) -> datetime:
    """The time so many seconds after all began."""
    return EPOCH + timedelta(seconds=seconds)


@contextmanager
def known_ids(slot: int) -> Iterator[None]:
    """Let what is drawn at random be the same in every run, and different for every actor."""
    drawn = itertools.count()
    genuine = secrets.token_hex
    secrets.token_hex = lambda size=32: f"{slot:x}{next(drawn):0{2 * size - 1}x}"  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        secrets.token_hex = genuine
