"""What dead machines left in the pool: shown by status, removed by forget, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import classad2
import pytest
from annex_client import remains
from annex_client.context import Completed
from annex_client.exits import Exit
from annex_client.remains import Job
from plane import instance
from world import slot

if TYPE_CHECKING:
    from world import FakePlane, World

DEAD, LIVE, OTHER = "i-00000000000000001", "i-00000000000000002", "i-00000000000000003"
ALICE, BOB = "alice@pool.example", "bob@pool.example"


@pytest.fixture(autouse=True)
def two_machines(world: World, plane: FakePlane) -> None:
    """One machine that died and one that lives, with a slot each."""
    annex = plane.add("demo", instances=[instance(DEAD, "terminated"), instance(LIVE)])
    ours = {"annex_id": annex["annex_id"]}
    world.pool.machines = [slot(DEAD, **ours), slot(LIVE, **ours)]
    world.tools.answers["condor_rm"] = Completed(0, "", "")


def test_status_names_the_command(world: World) -> None:
    dead, live = world.annex_client("status", "demo", "--json").json()["instances"]
    assert "'annex-client forget demo' removes them" in dead["reason"]
    assert (dead["joined"], dead["slots"]) == (False, 1)
    assert "forget" not in live["reason"]


@pytest.mark.parametrize("state", ["shutting-down", "stopping", "running"])
def test_a_machine_that_may_still_leave_by_itself_is_not_called_dead(
    world: World, plane: FakePlane, state: str
) -> None:
    plane.annexes["demo"]["instances"] = [instance(DEAD, state)]
    assert "forget" not in world.annex_client("status", "demo").out
    done = world.annex_client("forget", "demo", "--yes")
    assert (done.status, world.pool.forgotten) == (Exit.DONE, [])


def test_the_dead_machine_s_slots_alone_are_removed(world: World) -> None:
    done = world.annex_client("forget", "demo", "--yes", "--json")
    assert done.status == Exit.DONE
    assert world.pool.forgotten == [("annex-0000", DEAD, ALICE)]
    (told,) = done.json()["machines"]
    assert (told["instance_id"], len(told["slots_removed"])) == (DEAD, 1)
    assert (told["slots_left"], told["jobs_left"]) == ([], [])
    again = world.annex_client("forget", "demo", "--yes")
    assert again.status == Exit.DONE
    assert "has left slots or jobs" in again.out


def test_the_token_lies_on_no_disk(world: World) -> None:
    world.annex_client("forget", "demo", "--yes")
    (text,) = world.pool.tokens
    assert text.count(".") == 2
    assert world.secrets_on_disk(text) == []


@pytest.mark.parametrize("typed", ["no\n", "", "\n"])
def test_without_a_yes_nothing_is_touched(world: World, typed: str) -> None:
    done = world.annex_client("forget", "demo", typed=typed)
    assert done.status == Exit.UNEXPECTED
    assert "Nothing was changed." in done.out
    assert world.pool.forgotten == []
    assert world.tools.calls == []


def test_somebody_else_s_slots_are_left_alone(world: World) -> None:
    world.pool.machines = [
        slot(DEAD, annex_id="annex-0000", identity=BOB),
        slot(DEAD, annex_id="annex-9999"),
    ]
    assert world.annex_client("forget", "demo", "--yes").status == Exit.DONE
    assert world.pool.forgotten == []


def test_a_token_in_another_name_is_not_used(world: World) -> None:
    world.tools.token_options = {"subject": BOB}
    done = world.annex_client("forget", "demo", "--yes")
    assert done.status == Exit.REFUSED
    assert world.pool.forgotten == []


def test_one_machine_is_forgotten_by_its_id_whatever_ec2_says(world: World) -> None:
    done = world.annex_client("forget", "demo", "--instance", LIVE, typed="yes\n")
    assert done.status == Exit.DONE
    assert "EC2 says that it is running" in done.out
    assert world.pool.forgotten == [("annex-0000", LIVE, ALICE)]


@pytest.mark.parametrize(("machine", "status"), [(OTHER, Exit.NOT_FOUND), ("x", Exit.BAD_INPUT)])
def test_a_machine_that_the_annex_never_had_is_not_found(
    world: World, machine: str, status: Exit
) -> None:
    done = world.annex_client("forget", "demo", "--instance", machine, "--yes")
    assert done.status == status
    assert world.pool.forgotten == []


def test_an_annex_that_is_not_there_is_not_found(world: World) -> None:
    done = world.annex_client("forget", "nobody", "--yes")
    assert done.status == Exit.NOT_FOUND
    assert "(annex nobody" in done.err


def test_removed_jobs_are_let_go_and_others_are_told_of(world: World) -> None:
    gone, runs = Job("1.0", ALICE, DEAD, removed=True), Job("2.0", ALICE, DEAD)
    world.pool.jobs = [gone, runs, Job("3.0", BOB, DEAD, removed=True), Job("4.0", ALICE, LIVE)]
    world.tools.on_removal = lambda: world.pool.jobs.remove(gone)
    done = world.annex_client("forget", "demo", "--yes", "--json")
    assert done.status == Exit.PARTLY
    removals = [call for call in world.tools.calls if call[0] == "condor_rm"]
    assert removals == [("condor_rm", "-forcex", "1.0")]
    (told,) = done.json()["machines"]
    assert (told["jobs_let_go"], told["jobs_left"]) == (["1.0"], ["2.0", "3.0"])
    assert "job 2.0 seems to run there until its job lease ends" in done.err
    assert "job 3.0 is bob@pool.example's" in done.err
    assert "4.0" not in done.err


def test_slots_that_do_not_go_are_said_to_be_there(world: World) -> None:
    world.pool.deaf = True
    done = world.annex_client("forget", "demo", "--yes")
    assert done.status == Exit.PARTLY
    assert f"{DEAD}: still in the pool: slot1@" in done.out


class FakeHTCondor:
    """As much of the bindings as `remains` uses; the constraints are the real ClassAd's."""

    def __init__(self, ads: list[dict[str, Any]]) -> None:
        self.ads = [classad2.ClassAd(ad) for ad in ads]
        self.sent: list[tuple[str, Any]] = []
        self.used: list[str] = []

    def Schedd(self) -> FakeHTCondor:  # noqa: N802 - the bindings' name
        return self

    def SecurityContext(self, token: str) -> str:  # noqa: N802 - the same
        return token

    def Collector(self, security: str) -> FakeHTCondor:  # noqa: N802 - the same
        self.used.append(security)
        return self

    def query(self, constraint: str, _: list[str]) -> list[Any]:
        return [ad for ad in self.ads if matches(ad, constraint)]

    def advertise(self, ads: list[Any], command: str) -> None:
        self.sent += [(command, ad) for ad in ads]


def matches(ad: Any, constraint: str) -> bool:
    return bool(classad2.ExprTree(constraint).eval(ad) is True)


def job(number: int, status: int, host: str) -> dict[str, Any]:
    return {
        "ClusterId": number,
        "ProcId": 0,
        "User": ALICE,
        "JobStatus": status,
        "RemoteHost": host,
    }


def test_jobs_are_found_by_the_machine_that_they_are_on() -> None:
    on_dead = f"slot1_1@ip-10-0-0-4.ec2.internal@{DEAD}.alice.b.annex"
    queue = [
        job(1, 2, on_dead),
        job(2, 3, on_dead),
        job(3, 5, on_dead),
        job(4, 1, on_dead),
        job(5, 2, on_dead.replace(DEAD, LIVE)),
        job(6, 2, on_dead.replace(DEAD, DEAD + "0")),
        job(7, 2, f"{DEAD}.pool.example"),
        job(8, 7, on_dead),
    ]
    found = remains.jobs_on(FakeHTCondor(queue), [DEAD])
    assert [(one.job_id, one.removed) for one in found] == [
        ("1.0", False),
        ("2.0", True),
        ("8.0", False),
    ]
    assert {one.instance_id for one in found} == {DEAD}


def test_an_invalidation_is_for_one_machine_of_one_annex_of_one_user() -> None:
    bindings = FakeHTCondor([])
    remains.invalidate(bindings, "annex-1", DEAD, ALICE, "secret")
    assert bindings.used == ["secret", "secret"]
    kinds = [(command, ad["TargetType"]) for command, ad in bindings.sent]
    assert kinds == [
        ("INVALIDATE_STARTD_ADS", "Machine"),
        ("INVALIDATE_MASTER_ADS", "DaemonMaster"),
    ]
    right = {"EC2InstanceID": DEAD, "AnnexId": "annex-1", "AuthenticatedIdentity": ALICE}
    for _, ad in bindings.sent:
        wanted = str(ad.lookup("Requirements"))
        assert matches(classad2.ClassAd(right), wanted)
        for name in right:
            assert not matches(classad2.ClassAd({**right, name: "other"}), wanted)
            without = {key: value for key, value in right.items() if key != name}
            assert not matches(classad2.ClassAd(without), wanted)
