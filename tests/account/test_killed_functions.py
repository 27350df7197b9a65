"""The deployed zip is killed (SIGKILL) at every call that changes something; two sweeps repair it.

`tests/flow/test_crashes.py` does the same on fakes, at every call through every port: here are the
real process, the real adapters, and an API Gateway that answers 502.
"""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from chalicelib.model import AnnexState, InstanceState
from tests.account.conftest import running_account
from tests.account.control_plane import API, INTERRUPTION, SWEEP, ControlPlane, Place
from tests.account.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.account

LIVING = (AnnexState.LAUNCHING, AnnexState.ACTIVE)
UNSEEN = 60  # seconds: longer than the client's repeat takes
POINTS: Counter[str] = Counter()


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    for account in running_account(tmp_path_factory.mktemp("killed")):
        times = {"pending_seconds": 0.05, "shutting_down_seconds": 0.05}
        account.press("options", {**times, "terminated_visible_seconds": 120})
        plane = ControlPlane(account)
        plane.two_sweeps()
        yield plane


@dataclass(frozen=True)
class Scenario:
    """`before` is left alone and gives what `act` needs; the function dies in `act`.

    `machines` are those at the end, without what was asked for and with it; `ways` are whether the
    client asks again at once, as it does by itself.
    """

    name: str
    function: str
    before: Callable[[ControlPlane, str], Any]
    act: Callable[[ControlPlane, str, Any], Any]
    machines: tuple[int, int]
    least_places: int
    ways: tuple[bool, ...] = (False,)


def start_body(plane: ControlPlane, name: str) -> dict[str, Any]:
    return {
        "request_id": str(uuid.uuid4()),
        "name": name,
        "count": 2,
        "duration_seconds": 3600,
        "idle_seconds": 900,
        "identity": "alice@pool.example",
        "pool": {"collector_host": "127.0.0.1:1", "trust_domain": "pool.example"},
        "token": "first",
    }


def started(plane: ControlPlane, name: str) -> dict[str, Any]:
    body = start_body(plane, name)
    assert plane.start(body)[0] == 201
    return body


def grow_body(plane: ControlPlane, name: str) -> dict[str, Any]:
    changes = {"request_id": str(uuid.uuid4()), "grow": True, "duration_seconds": 7200}
    return {**started(plane, name), **changes}


def two_zones_body(plane: ControlPlane, name: str) -> dict[str, Any]:
    """The first zone has one machine: a fleet is asked for the other, in all other zones."""
    plane.account.press("options", {"capacity": {"us-east-1a/*": 1}})
    return start_body(plane, name)


def post(plane: ControlPlane, name: str, body: Any) -> tuple[int, Any]:
    return plane.start(body)


def renewal_body(plane: ControlPlane, name: str) -> dict[str, Any]:
    started(plane, name)
    return {"request_id": str(uuid.uuid4()), "duration_seconds": 9000, "token": "second"}


def patch(plane: ControlPlane, name: str, body: Any) -> tuple[int, Any]:
    return plane.ask("PATCH", f"/annexes/{name}", body)


def delete(plane: ControlPlane, name: str, _: Any) -> tuple[int, Any]:
    return plane.ask("DELETE", f"/annexes/{name}")


def cut_off(plane: ControlPlane, name: str) -> None:
    """A start that died before EC2's call, longer ago than such a call takes."""
    body = start_body(plane, name)
    plane.killed(API, Place("ec2:RunInstances", 0, after=False), lambda: plane.start(body))
    plane.age(name, 60)


def over(plane: ControlPlane, name: str) -> None:
    started(plane, name)
    plane.settle()
    plane.end_lease(name)


def ended(plane: ControlPlane, name: str) -> None:
    """A sweep has ended the machines, and not yet seen that they are gone."""
    over(plane, name)
    plane.sweep()
    plane.settle()


def fleet_ended(plane: ControlPlane, name: str) -> None:
    """The same, and a machine came by a fleet."""
    plane.account.press("options", {"capacity": {"us-east-1a/*": 1}})
    ended(plane, name)


def sweep(plane: ControlPlane, name: str, _: Any) -> Any:
    return plane.sweep()


def last_machine_off(plane: ControlPlane, name: str) -> str:
    plane.start({**start_body(plane, name), "count": 1})
    plane.settle()
    annex = plane.annex(name)
    assert annex is not None
    (only,) = plane.machines(annex)
    plane.account.press("power", {"instance_id": only.instance_id, "event": "powered_off"})
    eventually(lambda: plane.machines(annex)[0].state is InstanceState.TERMINATED)
    return str(only.instance_id)


def hear(plane: ControlPlane, name: str, instance_id: Any) -> Any:
    return plane.hear(instance_id, "terminated")


SCENARIOS = (
    Scenario("start", API, start_body, post, (0, 2), 8, (False, True)),
    Scenario("start over two zones", API, two_zones_body, post, (0, 2), 14, (False, True)),
    Scenario("grow", API, grow_body, post, (2, 4), 12),
    Scenario("renew", API, renewal_body, patch, (2, 2), 5, (True,)),
    Scenario("stop", API, started, delete, (2, 0), 3),
    Scenario("sweep over a start that was cut off", SWEEP, cut_off, sweep, (2, 2), 4),
    Scenario("sweep over an ended lease", SWEEP, over, sweep, (0, 0), 4),
    Scenario("sweep over ended machines", SWEEP, ended, sweep, (0, 0), 4),
    Scenario("sweep over a fleet's ended machines", SWEEP, fleet_ended, sweep, (0, 0), 8),
    Scenario("event of the last machine", INTERRUPTION, last_machine_off, hear, (0, 0), 4),
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_a_function_killed_anywhere_is_repaired_by_two_sweeps(
    scenario: Scenario, plane: ControlPlane
) -> None:
    plane.account.press("options", {"capacity": {}})
    whole = plane.new_name()
    given = scenario.before(plane, whole)
    places = plane.places(scenario.function, lambda: scenario.act(plane, whole, given))
    plane.forget(whole)
    assert len(places) >= scenario.least_places, [str(one) for one in places]
    for place in places:
        for repeat in scenario.ways:
            POINTS[scenario.name] += 1
            try:
                _killed_at(scenario, plane, place, repeat=repeat)
            except AssertionError as broken:
                where = f"{scenario.name}, killed {place}, repeat: {repeat}"
                raise AssertionError(f"{where}: {broken}") from broken
    print(f"\n{sum(POINTS.values())} kills so far: {dict(POINTS)}")  # noqa: T201  to be read


def _killed_at(scenario: Scenario, plane: ControlPlane, place: Place, *, repeat: bool) -> None:
    name = plane.new_name()
    given = scenario.before(plane, name)
    # EC2 may not show yet what it has just started, when the client asks again.
    unseen = repeat and place.call in ("ec2:RunInstances", "ec2:CreateFleet") and place.after
    plane.account.press("options", {"invisible_seconds": UNSEEN if unseen else 0})
    answer = plane.killed(scenario.function, place, lambda: scenario.act(plane, name, given))
    assert answer is None or answer[0] == 502, "a killed function has answered"
    first = _first_answer(scenario, plane, name, given) if repeat else None
    plane.account.press("options", {"invisible_seconds": 0})
    if unseen:
        assert plane.machines(plane.annex(name))
    called = _has_called(plane, name)
    plane.age(name, 120)
    plane.two_sweeps()
    machines = check(plane, name)
    without, whole = scenario.machines
    assert len(machines) in (without, whole)
    # What was asked of EC2, or asked for again, is there: nothing is lost.
    assert len(machines) == whole or not (called or repeat)
    if scenario.act is post:
        _check_answer(plane, given, first, machines)
    if scenario.act is patch:
        _check_renewal(plane, name, repeat=repeat)
    plane.forget(name)


def _first_answer(scenario: Scenario, plane: ControlPlane, name: str, given: Any) -> Any:
    """What the client gets that asks again at once, with the same request id."""
    status, answer = scenario.act(plane, name, given)
    assert status in (200, 201, 202), answer
    return answer


def _has_called(plane: ControlPlane, name: str) -> bool:
    """Whether the ledger has an attempt for everything that was asked for, or the annex's end."""
    annex = plane.annex(name)
    if annex is None:
        return False
    return annex.state not in LIVING or all(launch.attempts for launch in annex.launches)


def _check_answer(plane: ControlPlane, body: Any, first: Any, machines: list[str]) -> None:
    """The same request again gets the same answer, however much later, and starts nothing."""
    status, answer = plane.start(body)
    if status == 409:
        assert first is None, answer
        return
    assert (status, answer["started"], answer["pending"]) == (201, 2, False)
    if first is not None:
        assert answer["annex"]["annex_id"] == first["annex"]["annex_id"]
    assert check(plane, body["name"]) == machines or first is None


def _check_renewal(plane: ControlPlane, name: str, *, repeat: bool) -> None:
    annex = plane.annex(name)
    assert annex is not None
    configuration = plane.configuration(annex)
    assert configuration is not None
    if repeat:
        assert configuration.token == "second"
        assert (annex.lease_expires_at - annex.created_at).total_seconds() >= 9000


def check(plane: ControlPlane, name: str) -> list[str]:
    """Ledger, EC2 and S3 agree on an annex; the ids of its machines that run."""
    annex = plane.annex(name)
    if annex is None:
        return []
    seen = plane.machines(annex)
    running = [one for one in seen if one.state is InstanceState.RUNNING]
    assert {*annex.living} == {one.instance_id for one in running}
    assert sorted(annex.started) == sorted(one.instance_id for one in seen)
    assert all(len(launch.started) <= launch.asked for launch in annex.launches)
    configuration = plane.configuration(annex)
    if annex.state in LIVING:
        assert {one.lease_tag for one in running} == {annex.lease_expires_at}
        assert configuration is not None
        assert configuration.lease_expires_at == annex.lease_expires_at
        assert annex.written_generation == annex.generation
    else:
        assert annex.state is AnnexState.TERMINATED
        assert (running, configuration) == ([], None)
        assert _templates(plane, annex.annex_id) == []
    return sorted(one.instance_id for one in running)


def _templates(plane: ControlPlane, annex_id: str) -> list[Any]:
    filters = [{"Name": "tag:htcondor:AnnexId", "Values": [annex_id]}]
    found = plane.account.client("ec2").describe_launch_templates(Filters=filters)
    return list(found["LaunchTemplates"])
