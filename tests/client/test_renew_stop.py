"""Renewing and stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annex_client.exits import Exit
from plane import error, instance
from world import slot

if TYPE_CHECKING:
    from world import FakePlane, World


def test_renewing_moves_the_end_and_sends_a_token_that_outlives_it(
    world: World, plane: FakePlane
) -> None:
    world.annex_client("start", "demo", "--yes")
    done = world.annex_client("renew", "demo", "--duration", "2")
    assert done.status == Exit.DONE
    assert "Lease updated: demo ends at 2026-11-24 18:00:00 UTC, 2.00 hours from now." in done.out
    body = plane.sent("PATCH")[0].body
    assert (body["duration_seconds"], body["shorten"]) == (7200, False)
    lifetimes = [c[c.index("-lifetime") + 1] for c in world.tools.calls]
    assert lifetimes[-2:] == ["10800", "10800"]  # annex token, then admin token
    assert world.secrets_on_disk(body["token"]) == []


def test_renewing_an_annex_without_a_key_here_makes_none(world: World, plane: FakePlane) -> None:
    plane.add("demo")
    assert world.annex_client("renew", "demo", "--duration", "2").status == Exit.DONE
    assert list(world.condor.rglob("*admin*")) == []


def test_machines_that_did_not_hear_are_named(world: World, plane: FakePlane) -> None:
    shown = plane.add("demo", 2)
    plane.next_answers = [(200, {"annex": shown, "unreached": ["i-1", "i-2"]})]
    done = world.annex_client("renew", "demo", "--duration", "2", "--json")
    assert done.status == Exit.PARTLY
    assert done.json()["unreached"] == ["i-1", "i-2"]
    assert "2 machines did not hear of it" in done.err


def test_what_a_renewal_does_not_change_is_told_and_it_is_renewed_all_the_same(
    world: World, plane: FakePlane
) -> None:
    shown, note = plane.add("demo", 1), "1 machine takes no new token."
    plane.next_answers = [(200, {"annex": shown, "unreached": [], "notes": [note]})] * 2
    done = world.annex_client("renew", "demo", "--duration", "2")
    assert (done.status, note in done.out) == (Exit.DONE, True)
    told = world.annex_client("renew", "demo", "--duration", "2", "--json").json()
    assert (told["notes"], told["unreached"]) == ([note], [])


def test_control_plane_that_knows_no_notes_is_understood(world: World, plane: FakePlane) -> None:
    plane.next_answers = [(200, {"annex": plane.add("demo", 1)})]
    done = world.annex_client("renew", "demo", "--duration", "2", "--json")
    assert (done.status, done.json()["notes"]) == (Exit.DONE, [])


def test_renewing_what_is_not_there_is_not_found(world: World) -> None:
    done = world.annex_client("renew", "demo", "--duration", "2")
    assert done.status == Exit.NOT_FOUND
    assert "There is no annex demo of yours to renew" in done.err


def test_shortening_is_the_control_plane_s_word_and_has_a_flag(
    world: World, plane: FakePlane
) -> None:
    plane.add("demo")
    plane.next_answers = [error(400, "BadRequest", "That would shorten the lease of demo.", "demo")]
    done = world.annex_client("renew", "demo", "--duration", "0.1")
    assert done.status == Exit.BAD_INPUT
    assert "renew demo --duration ... --shorten" in done.err
    assert world.annex_client("renew", "demo", "--duration", "0.1", "--shorten").status == Exit.DONE
    assert plane.sent("PATCH")[1].body["shorten"] is True


def test_stopping_says_what_ends_and_asks(world: World, plane: FakePlane) -> None:
    plane.add("demo", 3)
    done = world.annex_client("stop", "demo", typed="no\n")
    assert done.out.startswith("Will end demo: 3 machines, and the jobs there.\nIs that OK?")
    assert plane.sent("DELETE") == []
    done = world.annex_client("stop", "demo", typed="yes\n")
    assert done.status == Exit.DONE
    assert done.out.endswith("demo has ended.\n")


def test_stopping_removes_the_admin_key(world: World, plane: FakePlane) -> None:
    world.annex_client("start", "demo", "--yes")
    assert world.annex_client("stop", "demo", "--yes").status == Exit.DONE
    assert list(world.condor.rglob("*admin*")) == []
    assert plane.annexes["demo"]["state"] == "terminated"


def test_a_stop_that_fails_keeps_the_admin_key(world: World, plane: FakePlane) -> None:
    world.annex_client("start", "demo", "--yes")
    plane.next_answers = [error(503, "AwsUnavailable", "AWS did not answer for demo.")] * 5
    assert world.annex_client("stop", "demo", "--yes").status == Exit.AWS_TROUBLE
    assert (world.condor / "tokens.d" / "annex-demo-admin").exists()


def test_stopping_what_is_not_there_is_not_found(world: World) -> None:
    for argv in (["stop", "demo"], ["shutdown", "demo", "--yes"]):
        done = world.annex_client(*argv)
        assert done.status == Exit.NOT_FOUND
        assert "There is no annex demo of yours to stop" in done.err


def test_waiting_for_the_end_ends_when_nothing_runs(world: World, plane: FakePlane) -> None:
    shown = plane.add("demo", 1)
    plane.next_answers = [(200, {**shown, "state": "terminating"})]

    def end() -> None:
        plane.annexes["demo"]["state"] = "terminated"

    world.clock.while_asleep = end
    done = world.annex_client("stop", "demo", "--yes", "--wait")
    assert done.status == Exit.DONE
    assert "demo is ending: 1 machine will be gone soon." in done.out
    assert done.out.endswith("demo has ended.\n")


def test_an_annex_without_machines_ends_in_words_that_fit(world: World, plane: FakePlane) -> None:
    """Its machines have ended, and its requests, configuration and templates go within minutes."""
    shown = plane.add("demo", 0, instances=[instance("i-1", "terminated")])
    plane.next_answers = [None, (200, {**shown, "state": "terminating"})]

    def end() -> None:
        plane.annexes["demo"]["state"] = "terminated"

    world.clock.while_asleep = end
    done = world.annex_client("stop", "demo", "--wait", typed="yes\n")
    assert done.status == Exit.DONE
    assert done.out == (
        "Will end demo, which has no machines now, and start none for it any more.\n"
        "Is that OK?  (Type 'yes' or 'no'): demo is ending; no machine is left.\n"
        "Waiting for what is left beside machines to be removed\n"
        "demo has ended.\n"
    )


def test_ctrl_c_while_waiting_for_the_end_says_that_it_goes_on(
    world: World, plane: FakePlane
) -> None:
    shown = plane.add("demo", 1)
    plane.next_answers = [(200, {**shown, "state": "terminating"})]

    def interrupt() -> None:
        raise KeyboardInterrupt

    world.clock.while_asleep = interrupt
    done = world.annex_client("stop", "demo", "--yes", "--wait", "30")
    assert done.status == Exit.INTERRUPTED
    assert "It goes on ending by itself" in done.err


def test_somebody_else_s_annex_is_refused(world: World, plane: FakePlane) -> None:
    taken = error(403, "NotOwner", "Annex demo belongs to another AWS identity.", "demo")
    for argv in (
        ["stop", "demo", "--yes"],
        ["renew", "demo", "--duration", "1"],
        ["status", "demo"],
    ):
        plane.next_answers = [taken]
        assert world.annex_client(*argv).status == Exit.REFUSED


def test_a_name_that_somebody_else_has_is_taken(world: World, plane: FakePlane) -> None:
    plane.next_answers = [error(403, "NotOwner", "Annex demo belongs to another AWS identity.")]
    done = world.annex_client("start", "demo")
    assert done.status == Exit.CONFLICT
    plane.next_answers = [error(409, "NameTaken", "The name demo is taken: choose another.")]
    done = world.annex_client("start", "demo", "--yes")
    assert done.status == Exit.CONFLICT
    assert "The name demo is taken" in done.err


def test_an_annex_that_is_ending_cannot_be_grown(world: World, plane: FakePlane) -> None:
    plane.add("demo", state="terminating")
    world.pool.machines = [slot("i-1")]
    done = world.annex_client("start", "demo")
    assert done.status == Exit.CONFLICT
    assert "is ending" in done.err
    assert plane.sent("POST") == []
