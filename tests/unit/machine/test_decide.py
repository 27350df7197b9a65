"""The watcher's judgement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine_builders import BOOT, HOUR, configuration

from chalicelib.machine.configure import retire_seconds
from chalicelib.machine.decide import (
    LEAVING_SECONDS,
    LONGEST_STEP,
    Clocks,
    advance,
    decide,
    lead_seconds,
    vacate_seconds,
)
from chalicelib.machine.notices import Notices
from chalicelib.machine.observe import Condor, Seen

END = BOOT + HOUR
HAPPY = Clocks(looked_at=BOOT + 600, joined=True, joined_once=True)
UP = Seen(Condor.UP, 0, 0.0)
RECLAIMED = replace(UP, notices=Notices(reclaim_at=BOOT + 720))
WARNED = replace(UP, notices=Notices(rebalance_at=BOOT + 590))
RETIRE = {"on_rebalance": "retire"}


@pytest.mark.parametrize(
    ("changes", "clocks", "seen", "phase", "words"),
    [
        ({}, HAPPY, UP, "joined", ""),
        ({"ending": True}, HAPPY, UP, "ending", "stopped"),
        (
            {},
            replace(HAPPY, looked_at=END - 60),
            UP,
            "ending",
            "lease ends at 2027-01-15T09:00:00Z",
        ),
        ({}, replace(HAPPY, looked_at=END - 61), UP, "retiring", "no new jobs"),
        ({}, replace(HAPPY, looked_at=END - 301), UP, "joined", ""),
        ({}, replace(HAPPY, ended=3), Seen(Condor.ENDED, 0, 0), "ending", "was shut down"),
        ({}, replace(HAPPY, ended=1), Seen(Condor.ENDED, 0, 0), "joined", ""),
        ({}, HAPPY, Seen(Condor.FAILED, 0, 0), "ending", "failed"),
        ({}, HAPPY, Seen(Condor.CHANGING, 0, 0), "joined", ""),
        ({}, replace(HAPPY, idle=900), UP, "ending", "no job for 900 s"),
        ({}, replace(HAPPY, idle=899), UP, "joined", ""),
        ({}, replace(HAPPY, joined=False, unjoined=600), UP, "ending", "cm.pool.example:9618"),
        ({}, replace(HAPPY, joined=False, unjoined=599), UP, "configured", "not in the collector"),
        ({}, Clocks(looked_at=BOOT + 5), UP, "configured", ""),
        ({}, Clocks(looked_at=BOOT + 5, collector=False), UP, "configured", "cannot be reached"),
        ({}, HAPPY, RECLAIMED, "ending", "reclaimed by EC2 at 2027-01-15T08:12:00Z"),
        ({}, Clocks(looked_at=BOOT + 5), RECLAIMED, "ending", "reclaimed by EC2"),
        ({"ending": True}, replace(HAPPY, idle=900), RECLAIMED, "ending", "reclaimed by EC2"),
        ({}, HAPPY, WARNED, "joined", "EC2 may take it back soon (its warning of 2027-01-15T08:09"),
        ({}, replace(HAPPY, idle=899), WARNED, "joined", "may take it back"),
        (RETIRE, HAPPY, UP, "joined", ""),
        (RETIRE, HAPPY, WARNED, "retiring", "may take it back soon"),
        (RETIRE, replace(HAPPY, joined=False), WARNED, "retiring", "no new jobs"),
        (RETIRE, replace(HAPPY, idle=5), WARNED, "ending", "no job left"),
        (RETIRE, replace(HAPPY, looked_at=END - 100), WARNED, "retiring", "lease ends"),
    ],
)
def test_each_state_has_its_verdict(
    changes: dict[str, Any], clocks: Clocks, seen: Seen, phase: str, words: str
) -> None:
    decision = decide(configuration(**changes), END, BOOT, clocks, seen)
    assert decision.phase == phase
    assert words in decision.reason
    assert decision.leave == (phase == "ending")


def watch(looks: list[Seen], clocks: Clocks = HAPPY, step: float = 5) -> Clocks:
    for seen in looks:
        clocks = advance(clocks, seen, clocks.looked_at + step)
    return clocks


def test_idle_time_adds_up_while_the_machine_is_in_the_pool_without_jobs() -> None:
    assert watch([UP] * 10).idle == 50


def test_a_running_job_resets_the_idle_clock() -> None:
    assert watch([UP] * 10 + [Seen(Condor.UP, 1, 0.0)]).idle == 0


def test_jobs_too_short_to_be_seen_running_count_by_their_traces() -> None:
    looks = [Seen(Condor.UP, 0, float(BOOT + trace)) for trace in range(0, 100, 10)]
    assert watch(looks, step=10).idle == 0


def test_an_old_trace_is_no_activity() -> None:
    seen = Seen(Condor.UP, 0, float(BOOT))
    assert watch([seen] * 11, replace(HAPPY, last_job_trace=float(BOOT))).idle == 55


def test_both_clocks_stand_still_while_the_collector_cannot_be_reached() -> None:
    away = Seen(Condor.UP, 0, 0.0, collector=False)
    clocks = watch([away] + [UP] * 1000, replace(HAPPY, idle=100.0, unjoined=0.0))
    assert (clocks.idle, clocks.unjoined) == (100.0, 0.0)
    clocks = watch([away] * 1000, replace(HAPPY, joined=False, unjoined=100.0))
    assert clocks.unjoined == 100.0


def test_a_machine_that_is_not_in_a_reachable_pool_is_not_idle_but_unjoined() -> None:
    clocks = watch([Seen(Condor.UP, 0, 0.0, collector=True, joined=False)] * 10)
    assert (clocks.idle, clocks.unjoined) == (0, 50)


def test_joining_resets_the_unjoined_clock() -> None:
    clocks = watch(
        [Seen(Condor.UP, 0, 0.0, collector=True, joined=True)],
        replace(HAPPY, joined=False, unjoined=500),
    )
    assert clocks.unjoined == 0
    assert clocks.joined_once


def test_the_time_before_joining_is_not_idle() -> None:
    clocks = Clocks(looked_at=BOOT)
    clocks = watch([Seen(Condor.UP, 0, 0.0, collector=True, joined=True)], clocks)
    assert clocks.idle == 0


def test_a_gap_in_watching_counts_for_a_minute_at_most() -> None:
    assert watch([UP], step=7200).idle == LONGEST_STEP


def test_a_clock_set_back_takes_nothing_away() -> None:
    assert watch([UP], replace(HAPPY, idle=100.0), step=-500).idle == 100.0


def test_an_administrators_restart_is_no_end() -> None:
    ended = Seen(Condor.ENDED, 0, 0.0)
    assert watch([ended, UP], step=1).ended is None
    assert watch([ended], step=60).ended == 0
    assert watch([ended, ended, ended], step=1).ended == 2


def test_leaving_begins_a_minute_before_the_end_by_default() -> None:
    assert lead_seconds(configuration(), END, BOOT) == 60


leases = st.integers(0, 30 * 86400)


@given(leases, st.integers(0, 3600))
def test_a_lease_of_any_length_leaves_two_thirds_to_work_in(lease: int, vacate: int) -> None:
    lead = lead_seconds(configuration(vacate_seconds=vacate), BOOT + lease, BOOT)
    assert 0 <= lead <= lease / 3
    assert lead <= vacate + LEAVING_SECONDS


@given(leases, st.integers(0, 86400))
def test_no_new_jobs_for_a_tenth_of_the_lease_at_most(lease: int, retire: int) -> None:
    given_ = configuration(retire_seconds=retire, lease_end=BOOT + lease)
    assert 0 <= retire_seconds(given_, BOOT) <= lease / 10


@given(st.integers(-1000, HOUR), st.integers(0, 600))
def test_jobs_get_their_due_or_what_the_lease_leaves_them(left: int, vacate: int) -> None:
    given_ = configuration(vacate_seconds=vacate)
    seconds = vacate_seconds(given_, END, END - left)
    assert 0 <= seconds <= vacate
    assert seconds + LEAVING_SECONDS <= max(left, LEAVING_SECONDS)


def test_a_reclaimed_machine_s_jobs_have_until_half_a_minute_before_its_end() -> None:
    given_, told = configuration(vacate_seconds=600), 120
    assert vacate_seconds(given_, BOOT + told, BOOT) == told - LEAVING_SECONDS == 90


@given(
    st.builds(
        Clocks,
        looked_at=st.floats(END, END + 10 * HOUR),
        idle=st.floats(0, 1e6),
        unjoined=st.floats(0, 1e6),
        collector=st.booleans(),
        joined=st.booleans(),
    ),
    st.sampled_from(Condor),
    st.integers(0, 3),
)
def test_nothing_keeps_a_machine_past_its_lease(clocks: Clocks, state: Condor, jobs: int) -> None:
    assert decide(configuration(), END, BOOT, clocks, Seen(state, jobs, 0.0)).leave
