"""POST /annexes with grow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chalicelib.errors import AwsUnavailable
from chalicelib.model import AnnexState
from tests.fakes.world import BOB, code, told

if TYPE_CHECKING:
    from tests.fakes.world import World


def test_growing_adds_machines_and_leaves_the_lease_alone(world: World) -> None:
    world.start(count=2)
    lease = world.annex().lease_expires_at
    world.clock.tick(600)
    answer = world.grow(count=3)
    assert answer.status == 201
    assert (told(answer)["asked"], told(answer)["started"]) == (3, 3)
    assert told(answer)["annex"]["requested"] == 5
    assert len(world.running()) == 5
    assert world.annex().lease_expires_at == lease


def test_new_machines_get_the_lease_of_the_annex(world: World) -> None:
    world.start()
    world.clock.tick(600)
    world.grow()
    leases = {one.lease_tag for one in world.compute.running()}
    assert leases == {world.annex().lease_expires_at}


def test_growing_with_a_duration_moves_the_lease_of_all_machines(world: World) -> None:
    world.start()
    world.clock.tick(600)
    world.grow(duration_seconds=7200)
    annex = world.annex()
    assert (annex.lease_expires_at - world.clock.now()).total_seconds() == 7200
    assert {one.lease_tag for one in world.compute.running()} == {annex.lease_expires_at}
    configuration = world.configuration()
    assert configuration is not None
    assert configuration.lease_expires_at == annex.lease_expires_at
    assert configuration.generation == annex.generation


def test_growing_never_shortens_a_lease(world: World) -> None:
    world.start(duration_seconds=7200)
    lease = world.annex().lease_expires_at
    world.grow(duration_seconds=3600)
    assert world.annex().lease_expires_at == lease


def test_failed_grow_leaves_the_annex_as_it_was(world: World) -> None:
    world.start()
    before = world.annex()
    world.compute.free = {("m7i.large", "us-east-1a"): 0, ("m7i.large", "us-east-1b"): 0}
    answer = world.grow(duration_seconds=7200, idle_seconds=60)
    assert (answer.status, code(answer)) == (409, "NoCapacity")
    after = world.annex()
    assert after.state is AnnexState.ACTIVE
    assert (after.lease_expires_at, after.idle_seconds) == (
        before.lease_expires_at,
        before.idle_seconds,
    )
    assert len(world.running()) == 2
    assert told(world.show())["requested"] == 2
    world.sweep()
    assert len(world.running()) == 2


def test_growing_delivers_a_fresh_token(world: World) -> None:
    world.start()
    world.grow(token="fresh")
    configuration = world.configuration()
    assert configuration is not None
    assert configuration.token == "fresh"


def test_growing_what_is_not_there_is_refused(world: World) -> None:
    assert code(world.grow()) == "NoSuchAnnex"


def test_growing_what_is_not_ones_own_is_refused(world: World) -> None:
    world.start()
    assert code(world.grow(caller=BOB)) == "NameTaken"


def test_growing_an_ending_annex_is_refused(world: World) -> None:
    world.start()
    world.stop()
    assert code(world.grow()) == "AnnexEnding"


def test_growing_cannot_change_what_the_whole_annex_does_at_ec2_s_warning(world: World) -> None:
    world.start(market="spot", on_rebalance="retire")
    refused = world.grow(market="spot", on_rebalance="retire")
    assert (refused.status, code(refused)) == (400, "BadRequest")
    assert world.grow().status == 201
    configuration = world.configuration()
    assert configuration is not None
    assert configuration.on_rebalance == "retire"


def test_growing_over_the_cap_is_refused_by_its_name(world: World) -> None:
    world.start(count=8)
    answer = world.grow(count=3)
    assert code(answer) == "CapExceeded"
    assert "max_instances_per_annex" in told(answer)["error"]["message"]
    assert len(world.running()) == 8


def test_machines_that_ended_count_against_no_cap(world: World) -> None:
    world.start(count=10)
    for one in world.running()[:5]:
        world.compute.terminate([one])
    world.sweep()
    assert world.grow(count=5).status == 201


def test_same_grow_twice_never_doubles_the_bill(world: World) -> None:
    world.start()
    body = world.body(grow=True)
    world.post(body)
    world.post(body)
    assert len(world.running()) == 4


def without_object_writes(world: World) -> None:
    def watch(point: str) -> None:
        if point == "before configs.write":
            raise AwsUnavailable("S3")

    world.faults.watch = watch


def test_longer_lease_without_its_token_is_told(world: World) -> None:
    world.start()
    without_object_writes(world)
    answer = world.grow(duration_seconds=7200)
    assert answer.status == 201
    (note,) = [one for one in told(answer)["notes"] if "token" in one]
    assert "'annex-client renew foo --duration HOURS'" in note


def test_token_that_no_longer_lease_needs_is_not_missed(world: World) -> None:
    world.start()
    without_object_writes(world)
    assert not [one for one in told(world.grow())["notes"] if "token" in one]
    assert not [one for one in told(world.grow(duration_seconds=60))["notes"] if "token" in one]


def test_grow_goes_on_when_its_token_cannot_be_delivered(world: World) -> None:
    world.start()
    without_object_writes(world)
    assert world.grow().status == 201
    assert len(world.running()) == 4


def test_legacy_machine_is_started_when_it_can_find_its_configuration(world: World) -> None:
    def silence(point: str) -> None:
        if point == "before legacy.write":
            raise AwsUnavailable("S3")

    world.start(count=1)
    world.faults.watch = silence
    assert world.grow(count=1, legacy=True, ami_id="ami-0123456789abcdef0").status == 202
    assert len(world.running()) == 1
    world.faults.disarm()
    world.sweep()
    assert len(world.running()) == 2
    assert world.annex().annex_id in world.legacy.tokens


def test_longer_lease_of_a_grow_says_that_older_legacy_machines_keep_their_token(
    world: World,
) -> None:
    image: dict[str, Any] = {"legacy": True, "ami_id": "ami-0123456789abcdef0"}
    world.start(count=2, **image)
    world.clock.tick(600)

    def said(**more: Any) -> list[str]:
        return [one for one in told(world.grow(count=1, **more))["notes"] if "own" in one]

    assert said(**image) == []
    assert said(duration_seconds=60, **image) == []
    world.clock.tick(600)
    body = world.body(count=1, grow=True, duration_seconds=7200, idle_seconds=None, **image)
    for _ in range(2):  # the same of a repeat, when the new machine has booted, too
        (note,) = [one for one in told(world.post(body))["notes"] if "own" in one]
        assert note.startswith("4 machines have an image of condor_annex's own")
        world.clock.tick(600)
