"""PATCH /annexes/NAME."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chalicelib.errors import AwsUnavailable
from chalicelib.model import InstanceState, Report
from tests.fakes.world import BOB, code, told

if TYPE_CHECKING:
    from tests.fakes.world import World


def test_renewal_moves_ledger_object_and_tags(world: World) -> None:
    world.start()
    world.clock.tick(1800)
    answer = world.renew(seconds=7200, token="fresh")
    assert answer.status == 200
    assert (told(answer)["unreached"], told(answer)["notes"]) == ([], [])
    annex, configuration = world.annex(), world.configuration()
    assert (annex.lease_expires_at - world.clock.now()).total_seconds() == 7200
    assert configuration is not None
    assert configuration.lease_expires_at == annex.lease_expires_at
    assert configuration.token == "fresh"
    assert configuration.generation == annex.generation == 2
    assert {one.lease_tag for one in world.compute.running()} == {annex.lease_expires_at}


def test_renewal_never_shortens_a_lease(world: World) -> None:
    world.start()
    lease = world.annex().lease_expires_at
    answer = world.renew(seconds=600)
    assert (answer.status, code(answer)) == (400, "BadRequest")
    assert world.annex().lease_expires_at == lease


def test_renewal_shortens_when_it_is_asked_to(world: World) -> None:
    world.start()
    assert world.renew(seconds=600, shorten=True).status == 200
    assert (world.annex().lease_expires_at - world.clock.now()).total_seconds() == 600


def test_renewal_past_the_cap_is_refused_by_its_name(world: World) -> None:
    world.start()
    answer = world.renew(seconds=100_000)
    assert code(answer) == "CapExceeded"
    assert "max_lease_seconds" in told(answer)["error"]["message"]


def test_renewal_of_an_ending_annex_says_so(world: World) -> None:
    world.start()
    world.stop()
    answer = world.renew()
    assert (answer.status, code(answer)) == (409, "AnnexEnding")
    assert "stopped by its owner" in told(answer)["error"]["message"]


def test_renewal_after_the_leases_end_brings_nothing_back(world: World) -> None:
    world.start()
    world.clock.tick(3600)
    assert code(world.renew()) == "AnnexEnding"
    world.sweep()
    assert world.running() == []


def test_renewal_of_what_is_not_there_or_not_ones_own(world: World) -> None:
    assert code(world.renew()) == "NoSuchAnnex"
    world.start()
    assert code(world.renew(caller=BOB)) == "NotOwner"


def test_late_renewal_names_the_machines_it_may_not_have_reached(world: World) -> None:
    world.start()
    world.clock.tick(3600 - 60)
    assert len(told(world.renew())["unreached"]) == 2


def test_renewal_names_machines_that_are_leaving(world: World) -> None:
    world.start()
    world.clock.tick(600)
    leaving, other = world.running()
    world.reports.told = {leaving: Report("retiring", "idle for 15 minutes")}
    answer = told(world.renew())
    assert answer["unreached"] == [leaving]
    assert other not in answer["unreached"]


# Machines of condor_annex's own images, which hear of nothing once they have booted


def legacy(world: World, **more: Any) -> Any:
    return world.start(legacy=True, ami_id="ami-0123456789abcdef0", **more)


def test_renewal_of_a_legacy_annex_says_that_its_machines_keep_their_token(world: World) -> None:
    legacy(world)
    world.clock.tick(600)
    (note,) = told(world.renew(token="fresh"))["notes"]
    assert note.startswith("2 machines have an image of condor_annex's own")
    assert "token" in note
    assert world.legacy.tokens[world.annex().annex_id] == "fresh"  # for those that boot later
    assert {one.lease_tag for one in world.compute.running()} == {world.annex().lease_expires_at}


def test_renewal_speaks_of_those_machines_alone_that_keep_their_token(world: World) -> None:
    world.start(count=1)
    world.grow(count=1, legacy=True, ami_id="ami-0123456789abcdef0")
    assert told(world.renew())["notes"] == []  # they have not booted yet
    world.clock.tick(600)
    (note,) = told(world.renew())["notes"]
    assert note.startswith("1 machine has")
    world.compute.become(world.annex().launches[1].started[0], InstanceState.SHUTTING_DOWN)
    assert told(world.renew())["notes"] == []


def test_shorter_lease_needs_no_new_token(world: World) -> None:
    legacy(world)
    world.clock.tick(600)
    assert told(world.renew(seconds=600, shorten=True))["notes"] == []


def test_late_renewal_is_never_too_late_for_machines_that_know_no_lease(world: World) -> None:
    legacy(world)
    world.clock.tick(3600 - 60)
    assert told(world.renew())["unreached"] == []
    for _ in range(10):
        world.sweep()
    assert len(world.running()) == 2


def test_same_renewal_twice_is_one_renewal(world: World) -> None:
    world.start()
    body = {"request_id": world.new_request_id(), "duration_seconds": 7200}
    world.call("PATCH", "/annexes/{name}", body, name="foo")
    lease = world.annex().lease_expires_at
    world.clock.tick(60)
    assert world.call("PATCH", "/annexes/{name}", body, name="foo").status == 200
    assert world.annex().lease_expires_at == lease


def test_renewal_whose_object_could_not_be_written_is_finished_by_its_repeat(
    world: World,
) -> None:
    world.start()

    def watch(point: str) -> None:
        if point == "before configs.write":
            raise AwsUnavailable("S3")

    world.faults.watch = watch
    body = {"request_id": world.new_request_id(), "duration_seconds": 7200, "token": "fresh"}
    answer = world.call("PATCH", "/annexes/{name}", body, name="foo")
    assert (answer.status, code(answer)) == (503, "AwsUnavailable")
    # The lease itself holds already, in ledger and tags.
    assert {one.lease_tag for one in world.compute.running()} == {world.annex().lease_expires_at}
    world.faults.disarm()
    assert world.call("PATCH", "/annexes/{name}", body, name="foo").status == 200
    configuration = world.configuration()
    assert configuration is not None
    assert configuration.token == "fresh"


def test_fresh_token_comes_with_a_repeat_after_a_sweep_has_written_the_new_lease(
    world: World,
) -> None:
    world.start()

    def watch(point: str) -> None:
        if point == "before configs.write":
            raise AwsUnavailable("S3")

    world.faults.watch = watch
    body = {"request_id": world.new_request_id(), "duration_seconds": 7200, "token": "fresh"}
    assert world.call("PATCH", "/annexes/{name}", body, name="foo").status == 503
    world.faults.disarm()
    world.sweep()
    swept = world.configuration()
    assert world.call("PATCH", "/annexes/{name}", body, name="foo").status == 200
    repeated = world.configuration()
    assert swept is not None
    assert repeated is not None
    # A machine has to take the second object too, although its generation is not a new one.
    assert swept.generation == repeated.generation == 2
    assert (swept.token == "fresh", repeated.token) == (False, "fresh")


def test_lost_configuration_object_does_not_stop_a_renewal(world: World) -> None:
    world.start()
    world.configs.objects.clear()
    assert world.renew().status == 200
    assert {one.lease_tag for one in world.compute.running()} == {world.annex().lease_expires_at}


@pytest.mark.parametrize("seconds", [-5, 0, 10**9])
def test_absurd_durations_are_refused(world: World, seconds: int) -> None:
    world.start()
    assert code(world.renew(seconds=seconds)) == "BadRequest"
