"""Status: three views in one, with a reason for every machine that does not work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from annex_client import merge, views
from annex_client.exits import Exit
from plane import NOW, FakePlane, instance, iso
from world import slot

if TYPE_CHECKING:
    from world import World

ONE = "i-00000000000000001"
RECLAIMED = {
    "reclaim_at": "2026-11-24T16:02:00Z",
    "reason": "reclaimed by EC2 at 2026-11-24T16:02:00Z",
}
WARNED = {"rebalance_at": "2026-11-24T16:00:00Z", "reason": "EC2 may take it back soon"}


def machine(one: dict[str, Any], slots: list[Any] | None, **annex: Any) -> merge.Machine:
    """One machine of an annex, merged with what the collector shows."""
    shown = FakePlane().add("demo", 0, instances=[one], **annex)
    return merge.merge(views.annex(shown), slots, NOW).machines[0]


@pytest.mark.parametrize(
    ("one", "slots", "reason"),
    [
        (instance(ONE, "pending"), [], "launching"),
        (instance(ONE), [], "booting"),
        (instance(ONE, phase="booting"), [], "booting"),
        (instance(ONE, phase="installing"), [], "booting: installing HTCondor"),
        (instance(ONE, phase="configured"), [], "has not joined since its launch at 16:00:00 UTC"),
        (
            instance(ONE, phase="configured", reason="the collector refuses the token"),
            [],
            "the collector refuses the token",
        ),
        (
            instance(ONE, phase="joined"),
            [],
            "has left the pool: it had joined, and the collector does not show it now",
        ),
        (instance(ONE, phase="joined"), [slot(ONE)], "idle since 16:00:00 UTC"),
        (instance(ONE, phase="joined"), [slot(ONE, activity_since=0)], "idle"),
        (instance(ONE), [slot(ONE), slot(ONE, state="Claimed", activity="Busy")], ""),
        (instance(ONE), [slot(ONE, state="Drained")], "draining"),
        (instance(ONE), [slot(ONE, drains=True, drain_reason="spot")], "draining: spot"),
        (instance(ONE, phase="retiring"), [slot(ONE, state="Claimed")], "takes no new jobs"),
        (instance(ONE, phase="ending", reason="idle"), [], "ending: idle"),
        (instance(ONE, "shutting-down"), [], "ending"),
        (instance(ONE, "terminated"), [], "ended"),
        (instance(ONE, "terminated", reason="lease over"), [], "lease over"),
        (
            instance(ONE),
            [slot(ONE, identity="mallory@pool.example")],
            "its slots are advertised by mallory@pool.example instead of alice@pool.example",
        ),
        (instance(ONE, **RECLAIMED), [slot(ONE, state="Claimed")], RECLAIMED["reason"]),
        (instance(ONE, "terminated", **RECLAIMED), [], RECLAIMED["reason"]),
        (
            instance(ONE, phase="ending", reason=RECLAIMED["reason"]),
            [slot(ONE, drains=True, drain_reason="EC2 takes this machine back")],
            f"ending: {RECLAIMED['reason']}",
        ),
        (instance(ONE, **WARNED), [slot(ONE, state="Claimed")], WARNED["reason"]),
        (instance(ONE, phase="joined", reason="told"), [slot(ONE, state="Claimed")], "told"),
        (instance(ONE, phase="configured", reason="old"), [slot(ONE, state="Claimed")], ""),
        (instance(ONE), None, "unknown: the collector could not be asked"),
        (instance(ONE, "pending"), None, "launching"),
    ],
)
def test_every_machine_that_does_not_work_has_a_reason(
    one: dict[str, Any], slots: list[Any] | None, reason: str
) -> None:
    assert machine(one, slots).reason == reason


def test_a_machine_past_its_lease_is_said_to_be() -> None:
    found = machine(instance(ONE), [slot(ONE, state="Claimed")], lease_expires_at=iso(NOW))
    assert found.reason == "over its lease since 16:00:00 UTC"


def test_slots_of_an_earlier_annex_of_the_same_name_do_not_count() -> None:
    assert machine(instance(ONE), [slot(ONE, annex_id="annex-older")]).joined is False


def test_json_is_the_promised_object(world: World, plane: FakePlane) -> None:
    shown = plane.add("demo", 2)
    ids = [one["instance_id"] for one in shown["instances"]]
    world.pool.machines = [slot(ids[0]), slot(ids[0], state="Claimed", activity="Busy")]
    done = world.annex_client("status", "demo", "--json")
    found = done.json()
    assert {
        key: found[key]
        for key in ("name", "annex_id", "owner", "state", "lease_expires_at", "idle_seconds")
    } == {
        "name": "demo",
        "annex_id": "annex-0000",
        "owner": "alice@pool.example",
        "state": "active",
        "lease_expires_at": "2026-11-24T16:50:00Z",
        "idle_seconds": 900,
    }
    assert (found["requested"], found["reason"]) == (2, "")
    wanted = {"instance_id", "instance_type", "zone", "lifecycle", "state"}
    wanted |= {"joined", "slots", "claimed", "reason"}
    assert all(wanted <= one.keys() for one in found["instances"])
    first, second = found["instances"]
    assert (first["joined"], first["slots"], first["claimed"]) == (True, 2, 1)
    assert (second["joined"], second["slots"], second["claimed"]) == (False, 0, 0)


def test_json_tells_scripts_when_ec2_takes_a_machine_back(world: World, plane: FakePlane) -> None:
    plane.add("demo", 0, instances=[instance(ONE, **{**WARNED, **RECLAIMED})])
    (one,) = world.annex_client("status", "demo", "--json").json()["instances"]
    assert one["rebalance_at"] == "2026-11-24T16:00:00Z"
    assert one["reclaim_at"] == "2026-11-24T16:02:00Z"
    assert one["reason"] == RECLAIMED["reason"]
    assert RECLAIMED["reason"] in world.annex_client("status", "demo").out


def test_a_collector_out_of_reach_makes_its_columns_unknown_and_nothing_else(
    world: World, plane: FakePlane
) -> None:
    plane.add("demo", 1)
    world.pool.unreachable = "The pool's collector (cm) cannot be asked: no route"
    done = world.annex_client("status", "demo", "--json")
    assert done.status == Exit.DONE
    one = done.json()["instances"][0]
    assert (one["joined"], one["slots"], one["claimed"]) == (None, None, None)
    assert "cannot be asked" in done.err
    assert world.annex_client("status", "--json").json()["annexes"][0]["joined"] is None
    assert "unknown" in world.annex_client("status", "demo").out


def test_all_annexes_are_listed_with_counts(world: World, plane: FakePlane) -> None:
    plane.add("one", 2)
    plane.add("two", 1, state="terminated", reason="lease over")
    ids = [one["instance_id"] for one in plane.annexes["one"]["instances"]]
    world.pool.machines = [
        slot(ids[0], annex="one", annex_id="annex-0000"),
        slot(ids[1], annex="one", annex_id="annex-0000", identity="mallory@pool.example"),
    ]
    found = world.annex_client("status", "--json").json()["annexes"]
    assert found[0]["counts"] == {"running": 2}
    assert (found[0]["joined"], found[0]["slots"], found[0]["claimed"]) == (1, 1, 0)
    assert "instances" not in found[0]
    out = world.annex_client("status").out
    assert "lease over" in out
    assert out.splitlines()[0].startswith("Annex")


def test_a_person_reads_lease_and_idle_time(world: World, plane: FakePlane) -> None:
    plane.add("demo", 1)
    done = world.annex_client("status", "demo")
    assert done.out.startswith(
        "demo: active, 1 machine asked for, each ends when idle for 0.25 hours.\n"
        "Lease ends 2026-11-24 16:50:00 UTC (in 0:50:00).\n"
    )


def test_slots_are_counted_as_slots_and_machines_say_from_which_market_they_are(
    world: World, plane: FakePlane
) -> None:
    machines = [
        instance(ONE, lifecycle="spot", units=2),
        instance("i-00000000000000002", units=2),
    ]
    plane.add("demo", 0, requested=5, started=4, unit="slot", instances=machines)
    world.pool.machines = [slot(ONE), slot(ONE, state="Claimed")]
    out = world.annex_client("status", "demo").out
    assert out.startswith(
        "demo: active, 4 of 5 slots started, each machine ends when idle for 0.25 hours.\n"
    )
    header, spot, on_demand = out.splitlines()[2:]
    assert header.split()[4:7] == ["Lifecycle", "State", "Claimed"]
    assert spot.split()[3:8] == ["spot", "running", "1", "of", "2"]
    assert on_demand.split()[3:8] == ["on-demand", "running", "0", "of", "0"]
    found = world.annex_client("status", "demo", "--json").json()
    assert (found["requested"], found["started"], found["unit"]) == (5, 4, "slot")
    assert [(m["lifecycle"], m["units"]) for m in found["instances"]] == [
        ("spot", 2),
        ("on-demand", 2),
    ]


@pytest.mark.parametrize(
    ("annex", "said"),
    [
        ({"requested": 5, "started": 5, "unit": "slot"}, "5 slots asked for"),
        ({"requested": 5, "started": 6, "unit": "slot"}, "5 slots asked for"),
        ({"requested": 1, "started": 0, "unit": "slot"}, "0 of 1 slot started"),
        ({"requested": 3, "started": 2}, "2 of 3 machines started"),
        ({"requested": 3, "started": 3}, "3 machines asked for"),
    ],
)
def test_what_was_asked_for_is_told_and_what_was_started_where_that_is_less(
    annex: dict[str, Any], said: str, world: World, plane: FakePlane
) -> None:
    plane.add("demo", 0, **annex)
    assert f"demo: active, {said}, each" in world.annex_client("status", "demo").out


def test_a_control_plane_that_does_not_say_what_was_started_is_understood(
    world: World, plane: FakePlane
) -> None:
    annex = plane.add("demo", 1)
    del annex["started"], annex["unit"], annex["instances"][0]["units"]
    assert "1 machine asked for" in world.annex_client("status", "demo").out
    assert "started" not in world.annex_client("status", "demo", "--json").json()


def test_the_list_says_in_json_what_each_annex_counts_in(world: World, plane: FakePlane) -> None:
    plane.add("one", 1)
    plane.add("two", 1, unit="slot", requested=5)
    found = world.annex_client("status", "--json").json()["annexes"]
    assert [(a["requested"], a["unit"]) for a in found] == [(1, "machine"), (5, "slot")]


def test_a_terminal_of_eighty_columns_holds_every_line(world: World, plane: FakePlane) -> None:
    world.terminal = True
    why = "no machine could be started: m7i.large in us-east-1a: EC2 has none left, it says."
    plane.add("demo", 1, instances=[instance(ONE, "shutting-down", reason=why)])
    plane.add("other", 0, state="terminated", reason=why)
    for argv in (["status", "demo"], ["status"]):
        lines = world.annex_client(*argv).out.splitlines()
        assert max(len(line) for line in lines) <= 80
        assert " ".join(line.strip() for line in lines).endswith(why)


def test_where_nobody_looks_each_machine_is_one_line(world: World, plane: FakePlane) -> None:
    why = "a reason, " * 10
    plane.add("demo", 1, instances=[instance(ONE, "terminated", reason=why.strip())])
    assert world.annex_client("status", "demo").out.splitlines()[-1].endswith(why.strip())


def test_no_annexes_is_said(world: World) -> None:
    assert world.annex_client("status").out == "You have no annexes.\n"


def test_an_annex_that_is_not_there_is_not_found(world: World) -> None:
    done = world.annex_client("status", "demo")
    assert done.status == Exit.NOT_FOUND
    assert "There is no annex demo of yours" in done.err


def test_watching_goes_on_until_ctrl_c(world: World, plane: FakePlane) -> None:
    plane.add("demo", 1)

    def interrupt() -> None:
        if world.clock.slept > 10:
            raise KeyboardInterrupt

    world.clock.while_asleep = interrupt
    done = world.annex_client("status", "demo", "--watch")
    assert done.status == Exit.INTERRUPTED
    assert done.out.count("demo: active") == 3


def test_the_admin_key_goes_when_the_annex_is_over_and_not_before(
    world: World, plane: FakePlane
) -> None:
    world.annex_client("start", "demo", "--yes")
    plane.annexes["demo"]["state"] = "terminating"
    world.annex_client("status", "demo")
    assert (world.condor / "tokens.d" / "annex-demo-admin").exists()
    plane.annexes["demo"]["state"] = "terminated"
    world.annex_client("status", "demo")
    assert list(world.condor.rglob("*admin*")) == []


@pytest.mark.parametrize("words", [["status", "demo"], ["status"]])
def test_an_admin_token_that_has_run_out_goes_and_the_key_of_a_live_annex_stays(
    words: list[str], world: World, plane: FakePlane
) -> None:
    """The lease may have been renewed from another host, whose machines know this very key."""
    world.annex_client("start", "demo", "--yes")
    world.clock.sleep(86_400)
    world.annex_client(*words)
    key = world.condor / "annex" / "keys" / "annex-demo-admin"
    assert list(world.condor.rglob("*admin*")) == [key]
    assert world.annex_client("renew", "demo", "--duration", "2").status == Exit.DONE
    assert (world.condor / "tokens.d" / "annex-demo-admin").exists()
    plane.annexes["demo"]["state"] = "terminated"
    world.annex_client(*words)
    assert list(world.condor.rglob("*admin*")) == []


def test_an_admin_key_that_was_not_used_for_a_year_is_cleared_away(world: World) -> None:
    world.annex_client("start", "demo", "--yes")
    for _ in range(2):  # the second time without the token
        world.clock.sleep(86_400 * 182)
        world.annex_client("status")
        assert len(list(world.condor.rglob("*admin*"))) == 1
    world.clock.sleep(86_400 * 2)
    world.annex_client("status")
    assert list(world.condor.rglob("*admin*")) == []


def test_a_sweep_that_has_stopped_is_said_with_every_status(world: World, plane: FakePlane) -> None:
    plane.warning = "The sweep last finished at 2026-11-24T12:00:00Z."
    plane.add("demo", warning=plane.warning)
    for words in (["status"], ["status", "demo"]):
        done = world.annex_client(*words)
        assert done.status == Exit.DONE
        assert f"{plane.warning}  Tell whoever administers the AWS account." in done.err
        assert world.annex_client(*words, "--json").json()["warning"] == plane.warning
    plane.annexes["demo"]["warning"] = ""
    assert "sweep" not in world.annex_client("status", "demo").err
