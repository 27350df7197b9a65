"""Lambda Developer Guide, "Invoking a function asynchronously"."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from local.asynchronous import WORKERS, Asynchronous, Event, Limits
from local.errors import AwsError
from local.later import Later
from local.options import Options
from local.runtime_api import Result
from tests.account.support import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def later() -> Iterator[Later]:
    made = Later()
    yield made
    made.close()


def queue(later: Later, invoke: object, limits: Limits | None = None) -> Asynchronous:
    options = Options(retry_seconds=(0, 0))
    return Asynchronous(invoke, lambda *_: limits or Limits(), options, later)  # type: ignore[arg-type]


def test_a_burst_has_a_few_workers_and_loses_nothing(later: Later) -> None:
    door = threading.Semaphore(0)
    inside, seen, most = threading.Lock(), [], []
    now = 0

    def invoke(_name: str, payload: bytes, _region: str) -> Result:
        nonlocal now
        with inside:
            now += 1
            most.append(now)
            seen.append(payload)
        door.acquire()
        with inside:
            now -= 1
        return Result(b"", None)

    events = queue(later, invoke)
    for number in range(20):
        events.put(Event("f", str(number).encode(), "us-east-1"))
    eventually(lambda: len(seen) == WORKERS)
    for _ in range(20):
        door.release()
    eventually(lambda: len(seen) == 20)
    assert max(most) == WORKERS
    assert sorted(int(each) for each in seen) == list(range(20))


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_failures_are_tried_as_often_as_the_function_says(later: Later, retries: int) -> None:
    tries = []
    last = threading.Event()

    def invoke(name: str, _payload: bytes, _region: str) -> Result:
        tries.append(name)
        if name == "last":
            last.set()
            return Result(b"", None)
        return Result(b"no", "Unhandled")

    events = queue(later, invoke, Limits(retries=retries))
    events.put(Event("f", b"", "us-east-1"))
    eventually(lambda: tries.count("f") == 1 + retries)
    events.put(Event("last", b"", "us-east-1"))
    assert last.wait(PATIENCE)
    assert tries.count("f") == 1 + retries


def test_an_event_that_is_too_old_is_dropped_and_a_throttled_one_is_not(later: Later) -> None:
    tries = []

    def invoke(name: str, _payload: bytes, _region: str) -> Result:
        tries.append(name)
        if len(tries) == 1:
            raise AwsError("TooManyRequestsException", "Rate Exceeded.")
        return Result(b"", None)

    events = queue(later, invoke, Limits(age_seconds=3600))
    events.put(Event("old", b"", "us-east-1", at=-1e9))
    events.put(Event("new", b"", "us-east-1"))
    eventually(lambda: tries == ["new", "new"])
