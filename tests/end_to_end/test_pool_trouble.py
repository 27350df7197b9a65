"""A pool that does not answer, does not sign, does not let in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from stage import BAKED, MANAGER, OUTSIDE, Done, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stage import Stage

pytestmark = pytest.mark.pool

GONE = ("shutting-down", "terminated")


@pytest.fixture(scope="module")
def walled(stage: Stage) -> Iterator[Done]:
    """The access point's port is closed to machines, and one is started all the same."""
    start = ("start", "Walled", "--duration", "0.5", "--ami-id", BAKED, "--yes")
    with stage.closed("input", f"ip saddr {OUTSIDE}"):
        with stage.settings(unjoined_limit_seconds=45):
            done = stage.annex(*start)
        yield done


def test_a_closed_port_is_named_before_any_machine_meets_it(walled: Done) -> None:
    assert walled.status == 0, walled.err
    assert "ap.pool.example port 9618 cannot be reached from AWS" in walled.out


def test_a_collector_out_of_reach_stops_a_start_and_leaves_status_what_is_known(
    stage: Stage, walled: Done
) -> None:
    with stage.closed("output", f"ip daddr {MANAGER}"):
        done = stage.annex("start", "Bad", "--ami-id", BAKED, "--yes")
        status = stage.annex("status", "Walled", "--json")
    done.refused(8, "The pool's collector (cm.pool.example) cannot be asked", "condor_status")
    assert not stage.machines("Bad")
    assert status.status == 0
    (machine,) = status.json()["instances"]
    assert (machine["joined"], machine["slots"]) == (None, None)
    assert "cannot be asked" in status.err


def test_a_token_that_the_pool_cuts_short_of_the_lease_is_refused(
    stage: Stage, walled: Done
) -> None:
    cut = "/etc/condor/config.d/70-cut.config"
    as_root = {"_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "FS"}
    write = f"echo SEC_ISSUED_TOKEN_EXPIRATION = 300 >{cut} && condor_reconfig"
    assert stage.run("sh", "-c", write, user="root", env=as_root).status == 0
    # The client looks at the token first: it is the same whether or not the walled machine lives.
    renew = ("renew", "Walled", "--duration", "1")

    def told() -> bool:
        return "SEC_ISSUED_TOKEN_EXPIRATION" in stage.annex(*renew).err

    try:
        wait_for(told, "the schedd's new configuration")
        for words in (("start", "Bad", "--ami-id", BAKED, "--yes"), renew):
            stage.annex(*words).refused(3, "before the lease", "SEC_ISSUED_TOKEN_EXPIRATION")
    finally:
        stage.run("sh", "-c", f"rm {cut} && condor_reconfig", user="root", env=as_root)
        wait_for(lambda: not told(), "the schedd's old configuration")
    assert not stage.machines("Bad")


def test_a_user_whom_the_pool_does_not_know_gets_no_machine_in(stage: Stage) -> None:
    """Bob has a token, but is not in ANNEX_USERS: the collector refuses his machine's ads."""
    assert stage.noted("Refused").status == 0
    view = wait_for(
        lambda: (seen := stage.view("Refused", user="bob"))["state"] == "terminated" and seen,
        "the end of a machine that is refused",
    )
    (machine,) = view["instances"]
    assert machine["state"] == "terminated"
    assert "It was refused: cm.pool.example can be reached" in machine["reason"]
    assert not stage.slots("Refused")


def test_a_machine_that_cannot_reach_the_access_point_ends_and_names_the_port(
    stage: Stage, walled: Done
) -> None:
    wait_for(lambda: stage.machines("Walled", GONE), "the walled machine's end")
    view = wait_for(
        lambda: (seen := stage.view("Walled"))["state"] == "terminated" and seen, "the end"
    )
    assert "ap.pool.example:9618 cannot be reached from this machine" in view["reason"]
    assert not stage.machines("Walled")
