"""The lifecycle defects of condor_annex, one by one: here they are tests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chalicelib.model import AnnexState
from tests.fakes.world import ALICE, BOB, code, told

if TYPE_CHECKING:
    from tests.fakes.world import World


def test_defect_1_a_renewed_lease_never_fires(world: World) -> None:
    """Its first step fails on an emptied bucket, and nothing ends."""
    world.start()
    world.renew(seconds=7200)
    world.configs.objects.clear()
    world.sweep(7200)
    assert world.running() == []


def test_defect_2_a_failed_grow_removes_the_lease(world: World) -> None:
    world.start()
    lease = world.annex().lease_expires_at
    world.compute.free = {("m7i.large", "us-east-1a"): 0, ("m7i.large", "us-east-1b"): 0}
    assert world.grow().status == 409
    assert world.annex().lease_expires_at == lease
    world.sweep(3600)
    assert world.running() == []


def test_defect_3_ending_foo_ends_foobar(world: World) -> None:
    names = ("foo", "foobar", "foo_bar", "foo.bar", "foo-1")
    for name in names:
        world.start(name, count=1)
    world.stop("foo")
    assert world.running("foo") == []
    for name in names[1:]:
        assert len(world.running(name)) == 1
    world.start("f", count=1, duration_seconds=600, idle_seconds=60)
    world.sweep(601)
    assert world.running("f") == []
    assert len(world.running("foobar")) == 1


def test_defect_4_names_with_underscores_or_64_characters_are_conflated(world: World) -> None:
    twins = ("n" * 63 + "1", "n" * 63 + "2", "a_b", "a.b")
    for name in twins:
        world.start(name, count=1)
    ids = {world.annex(name).annex_id for name in twins}
    keys = {world.annex(name).config_key for name in twins}
    assert len(ids) == len(keys) == 4
    world.stop(twins[0])
    assert len(world.running(twins[1])) == 1
    assert told(world.show(twins[1]))["name"] == twins[1]


def test_defect_5_one_foreign_thing_in_the_account_stops_every_lease(world: World) -> None:
    world.start()
    strange = world.compute.stranger({"htcondor:AnnexDeployment": "htcondor-annex"})
    machine = world.compute.machines[strange]
    machine.instance = replace(machine.instance, client_token="")
    world.sweep(3601)
    assert world.running() == []


def test_defect_6_adding_machines_resets_the_lease(world: World) -> None:
    world.start()
    lease = world.annex().lease_expires_at
    world.clock.tick(1800)
    world.grow()
    assert world.annex().lease_expires_at == lease


def test_defect_7_leases_are_precise_to_five_minutes_only(world: World) -> None:
    """A sweep each minute; and a thousand annexes need no rule each."""
    world.start()
    world.sweep(3600)
    assert world.running() == []


def test_defect_8_machines_beyond_the_first_thousand_are_never_ended(world: World) -> None:
    world.set(max_instances_per_annex=5000, max_instances_per_owner=5000)
    world.start(count=2500)
    assert len(world.running()) == 2500
    world.sweep(3600)
    assert world.running() == []


def test_defect_10_the_configuration_goes_before_the_machines(world: World) -> None:
    world.start()
    order: list[str] = []
    world.faults.watch = order.append
    world.stop()
    world.sweep()
    assert order.index("after compute.terminate") < order.index("before configs.delete")
    assert world.annex().state is AnnexState.TERMINATED


def test_defect_11_one_annex_can_read_anothers_configuration(world: World) -> None:
    """The key is the only way to an object, and it is not made of anything that can be seen."""
    world.start("foo")
    world.start("bar", caller=BOB)
    foo, bar = world.annex("foo"), world.annex("bar")
    assert foo.config_key != bar.config_key
    machines_see = repr(world.compute.machines)
    assert foo.config_key not in machines_see
    assert ALICE not in machines_see


def test_defect_16_partial_capacity_is_silent(world: World) -> None:
    world.compute.free = {("m7i.large", "us-east-1a"): 1, ("m7i.large", "us-east-1b"): 0}
    answer = told(world.start(count=5))
    assert (answer["asked"], answer["started"]) == (5, 1)
    assert answer["notes"]


def test_renewing_an_annex_that_does_not_exist_is_an_error(world: World) -> None:
    assert code(world.renew("nobody")) == "NoSuchAnnex"
