"""`plan` as a table, and its promises for whatever comes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import lifecycle, transitions, turns
from chalicelib.ids import AnnexId, AnnexName, CallerId, InstanceId, RequestId
from chalicelib.launch import (
    Ask,
    Launch,
    Launched,
    LaunchSpec,
    Market,
    Place,
    Refusal,
    RefusalKind,
    Road,
)
from chalicelib.lifecycle import (
    Action,
    Adopt,
    BeginEnding,
    Call,
    CancelRequests,
    CloseLaunch,
    Finish,
    RecordEnded,
    RefreshConfiguration,
    TagLease,
    Terminate,
    Try,
    plan,
)
from chalicelib.model import Annex, AnnexState, Instance, InstanceState

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LEASE = timedelta(hours=1)
A = Place("m7i.large", "subnet-a", "us-east-1a", public_address=True)
B = Place("m7i.large", "subnet-b", "us-east-1b", public_address=True)
C = Place("m7i.xlarge", "subnet-a", "us-east-1a", public_address=True)
NO_CAPACITY = Refusal(RefusalKind.CAPACITY, "InsufficientInstanceCapacity", "none")
QUOTA = Refusal(RefusalKind.QUOTA, "VcpuLimitExceeded", "none")
FATAL = Refusal(RefusalKind.FATAL, "OptInRequired", "none")
SPENT = Refusal(RefusalKind.SPENT, "IdempotentInstanceTerminated", "none")
ONE, TWO = InstanceId("i-1"), InstanceId("i-2")


def launch(asked: int = 2, places: tuple[Place, ...] = (A, B, C)) -> Launch:
    spec = LaunchSpec("ami-1", "/dev/xvda", 8, places, ("sg-1",), "arn", None, (), b"data")
    return Launch(RequestId("r"), 1, asked, NOW, spec)


def annex(**changes: object) -> Annex:
    plain = Annex(
        annex_id=AnnexId("annex-1"),
        name=AnnexName("foo"),
        caller=CallerId("AIDA"),
        identity="alice@pool",
        created_at=NOW,
        lease_expires_at=NOW + LEASE,
        idle_seconds=900,
        retire_seconds=300,
        config_key="config/x.json",
        written_generation=1,
        launches=(launch(),),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def tried(one: Annex, place: Place | None = A, at: datetime = NOW) -> Annex:
    return transitions.with_attempt(one, one.launches[0], Ask(place, Market.ON_DEMAND), at)


def legacy() -> Annex:
    """An image of condor_annex's own."""
    plain = launch()
    return annex(launches=(replace(plain, spec=replace(plain.spec, legacy=True)),))


def answered(one: Annex, outcome: tuple[InstanceId, ...] | Refusal, *refusals: Refusal) -> Annex:
    answer: Launched | Refusal = (
        outcome
        if isinstance(outcome, Refusal)
        else Launched(tuple((i, 1) for i in outcome), refusals)
    )
    return transitions.with_outcome(one, one.attempts[-1].client_token, answer)


def active(*ids: InstanceId) -> Annex:
    """Launched whole, and the launch closed."""
    started = answered(tried(annex(launches=(launch(len(ids)),))), ids)
    return transitions.close_launch(started, 1, "complete")


def machine(
    instance_id: InstanceId, state: InstanceState = InstanceState.RUNNING, token: str = ""
) -> Instance:
    return Instance(
        instance_id,
        state,
        "m7i.large",
        "us-east-1a",
        NOW,
        annex_id=AnnexId("annex-1"),
        client_token=token,
        lease_tag=NOW + LEASE,
    )


def asked(one: Launch) -> Annex:
    """All places in one call, which is saved."""
    whole = annex(launches=(one,))
    return transitions.with_attempt(whole, one, Ask(None, one.spec.market), NOW)


def accepted() -> Annex:
    """EC2 has the Spot Fleet request."""
    answer = Launched((), fleet_id="sfr-1", final=False)
    return transitions.with_outcome(asked(SPOT_FLEET), "annex-1-1-0", answer)


def adopted(machines: int) -> Annex:
    """The Spot Fleet request has given machines of two units each."""
    ids = {InstanceId(f"i-{number}"): 2 for number in range(1, machines + 1)}
    return transitions.with_machines(accepted(), "annex-1-1-0", ids)


def cancelled(one: Annex) -> Annex:
    return transitions.requests_cancelled(one, {"annex-1-1-0": ()}, NOW)


FLEET = replace(
    launch(),
    spec=replace(launch().spec, road=Road.FLEET, market=Market.SPOT, fallback=True),
)
SPOT_FLEET = replace(
    launch(),
    spec=replace(
        launch().spec, road=Road.SPOT_FLEET, market=Market.SPOT, weights=(("m7i.large", 2),)
    ),
)
GONE = InstanceState.TERMINATED
LATER = timedelta(minutes=2)
UNSEEN_LATER = lifecycle.UNSEEN_GRACE + timedelta(seconds=1)
ENDING = transitions.begin_ending(active(ONE, TWO), "stopped")
BOTH = frozenset({ONE, TWO})
RENEWED = transitions.renewed(active(ONE), NOW + 2 * LEASE)

# What an annex is, what EC2 shows, how much later: what is to be done.
TABLE: list[tuple[str, Annex, list[Instance] | None, timedelta, list[Action]]] = [
    ("young record without configuration waits for its request",
     annex(written_generation=0), [], timedelta(seconds=30), []),
    ("old record without configuration ends",
     annex(written_generation=0), [], LATER,
     [BeginEnding("the request that started it was cut off before any machine was asked")]),
    ("first place is tried", annex(), [], timedelta(0), [Try(1, 0, Ask(A, Market.ON_DEMAND))]),
    ("call under way is waited for", tried(annex()), [], timedelta(seconds=10), []),
    ("unanswered call is repeated", tried(annex()), [], LATER, [Call(1, "annex-1-1-0")]),
    ("all other places in one call after no capacity",
     answered(tried(annex()), NO_CAPACITY), [], LATER, [Try(1, 1, Ask(None, Market.ON_DEMAND))]),
    ("all other places in one call after a part",
     answered(tried(annex()), (ONE,)), [machine(ONE)], LATER,
     [Try(1, 1, Ask(None, Market.ON_DEMAND))]),
    ("other type after a quota",
     answered(tried(annex()), QUOTA), [], LATER, [Try(1, 1, Ask(None, Market.ON_DEMAND))]),
    ("no other zone after a quota",
     answered(tried(annex(launches=(launch(places=(A, B)),))), QUOTA), [], LATER,
     [CloseLaunch(1, "not to be had: 0 of 2 started")]),
    ("nothing after the only place",
     answered(tried(annex(launches=(launch(places=(A,)),))), NO_CAPACITY), [], LATER,
     [CloseLaunch(1, "not to be had: 0 of 2 started")]),
    ("nothing after all other places",
     answered(tried(answered(tried(annex()), NO_CAPACITY), None), (ONE,)), [machine(ONE)], LATER,
     [CloseLaunch(1, "not to be had: 1 of 2 started")]),
    ("legacy image goes from place to place",
     answered(tried(legacy()), NO_CAPACITY), [], LATER, [Try(1, 1, Ask(B, Market.ON_DEMAND))]),
    ("no other place after a fatal refusal",
     answered(tried(annex()), FATAL), [], LATER,
     [CloseLaunch(1, "not to be had: 0 of 2 started")]),
    ("no other place after a spent token",
     answered(tried(annex()), SPENT), [], LATER,
     [CloseLaunch(1, "not to be had: 0 of 2 started")]),
    ("whole launch is closed",
     answered(tried(annex()), (ONE, TWO)), [machine(ONE), machine(TWO)], LATER,
     [CloseLaunch(1, "complete")]),
    ("launch is given up after five minutes",
     tried(annex()), [], turns.LAUNCH_WINDOW,
     [CloseLaunch(1, "given up after five minutes: 0 of 2 started")]),
    ("machine of an unanswered call is adopted",
     tried(annex()), [machine(ONE, token="annex-1-1-0")], timedelta(seconds=10),
     [Adopt("annex-1-1-0", frozenset({(ONE, 1)}))]),
    ("active annex needs nothing", active(ONE), [machine(ONE)], LATER, []),
    ("ended machine is recorded",
     active(ONE, TWO), [machine(ONE), machine(TWO, GONE)], LATER,
     [RecordEnded(frozenset({TWO}))]),
    ("machine just launched and not shown is no ended machine",
     active(ONE), [], LATER, []),
    ("machine long launched and not shown is gone",
     active(ONE), [], UNSEEN_LATER, [RecordEnded(frozenset({ONE}))]),
    ("nothing is concluded when EC2 cannot be asked", active(ONE), None, UNSEEN_LATER, []),
    ("annex without machines ends",
     transitions.with_ended(active(ONE), [ONE]), [], LATER,
     [BeginEnding("its last machine has ended")]),
    ("lease end ends everything",
     active(ONE, TWO), [machine(ONE), machine(TWO)], LEASE,
     [BeginEnding("its lease ended"), Terminate(BOTH)]),
    ("lease end ends what is only known",
     active(ONE, TWO), None, LEASE, [BeginEnding("its lease ended"), Terminate(BOTH)]),
    ("lease end ends stopped machines",
     active(ONE), [machine(ONE, InstanceState.STOPPED)], LEASE,
     [BeginEnding("its lease ended"), Terminate(frozenset({ONE}))]),
    ("lease end before a launch starts nothing", annex(), [], LEASE,
     [BeginEnding("its lease ended")]),
    ("ending annex ends its machines",
     ENDING, [machine(ONE), machine(TWO, InstanceState.SHUTTING_DOWN)], LATER,
     [Terminate(frozenset({ONE}))]),
    ("ending annex ends machines that are not shown yet", ENDING, [], LATER, [Terminate(BOTH)]),
    ("ending annex ends machines that are not shown any more, and is not finished before",
     ENDING, [], UNSEEN_LATER, [Terminate(BOTH), RecordEnded(BOTH)]),
    ("ending annex waits for the last machine",
     ENDING, [machine(ONE, InstanceState.SHUTTING_DOWN), machine(TWO, GONE)], LATER,
     [RecordEnded(frozenset({TWO}))]),
    ("ended annex is finished",
     transitions.with_ended(ENDING, BOTH), [machine(ONE, GONE), machine(TWO, GONE)], LATER,
     [Finish()]),
    ("ending annex is not finished unseen", transitions.with_ended(ENDING, BOTH), None, LATER, []),
    ("ending annex waits for an unanswered call",
     transitions.begin_ending(tried(annex()), "x"), [], LATER, []),
    ("ending annex does not wait for the answer to a call whose machines are all known",
     transitions.with_ended(
         transitions.begin_ending(
             transitions.with_machines(tried(annex()), "annex-1-1-0", {ONE: 1, TWO: 1}), "x"
         ),
         BOTH,
     ),
     [machine(ONE, GONE), machine(TWO, GONE)], LATER, [Finish()]),
    ("ending annex does not wait for ever",
     transitions.begin_ending(tried(annex()), "x"), [], lifecycle.UNSETTLED_GRACE, [Finish()]),
    ("ending annex waits for a configuration that may still be written",
     transitions.begin_ending(annex(written_generation=0), "x"), [], timedelta(seconds=30), []),
    ("ending annex without configuration is finished",
     transitions.begin_ending(annex(written_generation=0), "x"), [], LATER, [Finish()]),
    ("fleet is asked for all places at once", annex(launches=(FLEET,)), [], timedelta(0),
     [Try(1, 0, Ask(None, Market.SPOT))]),
    ("fleet that gave too little is asked for on demand",
     answered(asked(FLEET), (ONE,)), [machine(ONE)], LATER,
     [Try(1, 1, Ask(None, Market.ON_DEMAND))]),
    ("one bad place of a fleet leaves what was to come",
     answered(asked(FLEET), (), NO_CAPACITY, FATAL), [], LATER,
     [Try(1, 1, Ask(None, Market.ON_DEMAND))]),
    ("a part of a fleet with a bad place leaves what was to come",
     answered(asked(FLEET), (ONE,), FATAL), [machine(ONE)], LATER,
     [Try(1, 1, Ask(None, Market.ON_DEMAND))]),
    ("nothing comes after a fleet of bad places",
     answered(asked(FLEET), (), FATAL, FATAL), [], LATER,
     [CloseLaunch(1, "not to be had: 0 of 2 started")]),
    ("accepted Spot Fleet request is waited for", accepted(), [], turns.LAUNCH_WINDOW, []),
    ("unanswered Spot Fleet request is repeated",
     asked(SPOT_FLEET), [], LATER, [Call(1, "annex-1-1-0")]),
    ("Spot Fleet's machine is adopted with its weight",
     accepted(), [machine(ONE, token="annex-1-1-0")], LATER,
     [Adopt("annex-1-1-0", frozenset({(ONE, 2)}))]),
    ("complete Spot Fleet request is cancelled and keeps its machines",
     adopted(1), [machine(ONE)], LATER, [CancelRequests(terminate=False)]),
    ("cancelled Spot Fleet request is closed",
     cancelled(adopted(1)), [machine(ONE)], LATER, [CloseLaunch(1, "complete")]),
    ("Spot Fleet request is cancelled after fifteen minutes",
     accepted(), [], turns.SPOT_FLEET_WINDOW, [CancelRequests(terminate=False)]),
    ("and then given up", cancelled(accepted()), [], turns.SPOT_FLEET_WINDOW,
     [CloseLaunch(1, "given up after fifteen minutes: 0 of 2 started")]),
    ("lease end cancels a Spot Fleet request before it ends machines",
     adopted(1), [machine(ONE)], LEASE,
     [BeginEnding("its lease ended"), CancelRequests(terminate=True),
      Terminate(frozenset({ONE}))]),
    ("ending annex cancels an accepted Spot Fleet request",
     transitions.begin_ending(accepted(), "x"), [], LATER, [CancelRequests(terminate=True)]),
    ("ending annex is not finished while an unanswered request may start machines",
     transitions.begin_ending(asked(SPOT_FLEET), "x"), [], lifecycle.UNSETTLED_GRACE,
     [CancelRequests(terminate=True)]),
    ("ending annex is finished when its request is cancelled",
     cancelled(transitions.begin_ending(asked(SPOT_FLEET), "x")), [], LATER, [Finish()]),
    ("late machine of a terminated annex is ended",
     transitions.terminated(ENDING, NOW), [machine(ONE)], LATER,
     [Terminate(frozenset({ONE}))]),
    ("terminated annex needs nothing", transitions.terminated(ENDING, NOW), [], LATER, []),
    ("renewal is delivered",
     RENEWED, [machine(ONE)], LATER,
     [RefreshConfiguration(2), TagLease(frozenset({ONE}), NOW + 2 * LEASE)]),
    ("machine that was only found by its id gets no lease tag",
     RENEWED, [replace(machine(ONE), annex_id=None)], LATER, [RefreshConfiguration(2)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("record", "seen", "later", "expected"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_plan(
    record: Annex, seen: list[Instance] | None, later: timedelta, expected: list[Action]
) -> None:
    assert plan(record, seen, NOW + later) == expected


def test_late_no_to_an_answered_call_changes_nothing() -> None:
    """The places of the next call follow from what this one came to."""
    one = answered(tried(annex()), (ONE,))
    assert answered(one, QUOTA) == one


# Whatever comes

IDS = [InstanceId(f"i-{number}") for number in range(4)]
outcomes = st.one_of(
    st.sampled_from([NO_CAPACITY, QUOTA, FATAL, SPENT]),
    st.lists(st.sampled_from(IDS), min_size=1, max_size=2, unique=True).map(tuple),
    st.none(),
)


@st.composite
def annexes(draw: st.DrawFn) -> Annex:
    """Any record that transitions can lead to."""
    one = annex(
        written_generation=draw(st.integers(0, 1)),
        launches=(launch(draw(st.integers(1, 4))),),
    )
    for place in draw(st.lists(st.sampled_from([A, B, C, None]), max_size=3, unique=True)):
        one = tried(one, place, NOW + timedelta(seconds=draw(st.integers(0, 300))))
        outcome = draw(outcomes)
        if outcome is None:
            break  # the one attempt without an answer is the last
        one = answered(one, outcome)
    if draw(st.booleans()):
        one = transitions.close_launch(one, 1, "given up")
    if draw(st.booleans()):
        one = transitions.renewed(one, NOW + timedelta(seconds=draw(st.integers(0, 9999))))
    one = transitions.with_ended(one, [i for i in one.started if draw(st.booleans())])
    step = draw(st.integers(0, 3))
    if step > 0:
        one = transitions.begin_ending(one, "stopped")
    if step > 1:
        one = transitions.terminated(one, NOW)
    return one


@st.composite
def sights(draw: st.DrawFn) -> list[Instance] | None:
    if draw(st.integers(0, 9)) == 0:
        return None
    shown = draw(st.lists(st.sampled_from(IDS), unique=True))
    return [
        machine(
            one,
            draw(st.sampled_from(list(InstanceState))),
            draw(st.sampled_from(["", "annex-1-1-0", "annex-1-1-1"])),
        )
        for one in shown
    ]


times = st.integers(0, 20_000).map(lambda seconds: NOW + timedelta(seconds=seconds))


@given(annexes(), sights(), times)
def test_nothing_is_launched_after_the_lease_or_a_stop(
    one: Annex, seen: list[Instance] | None, now: datetime
) -> None:
    over = one.is_over(now) or one.state in (AnnexState.TERMINATING, AnnexState.TERMINATED)
    if over:
        assert not any(isinstance(a, Try | Call) for a in plan(one, seen, now))


@given(annexes(), sights(), times)
def test_every_machine_seen_after_the_lease_is_ended(
    one: Annex, seen: list[Instance] | None, now: datetime
) -> None:
    if not one.is_over(now):
        return
    ended = {i for a in plan(one, seen, now) if isinstance(a, Terminate) for i in a.instance_ids}
    assert {m.instance_id for m in seen or () if m.state.is_endable} <= ended


@given(annexes(), sights(), times)
def test_no_machine_is_ended_while_annex_and_lease_live(
    one: Annex, seen: list[Instance] | None, now: datetime
) -> None:
    living = one.state in (AnnexState.LAUNCHING, AnnexState.ACTIVE)
    if living and not one.is_over(now):
        assert not any(isinstance(a, Terminate) for a in plan(one, seen, now))


@given(annexes(), sights(), times)
def test_next_attempt_is_made_only_when_the_last_ones_outcome_is_known(
    one: Annex, seen: list[Instance] | None, now: datetime
) -> None:
    if any(not a.settled for a in one.attempts):
        assert not any(isinstance(a, Try) for a in plan(one, seen, now))


@given(annexes(), sights(), times)
def test_name_is_never_freed_while_a_machine_may_live(
    one: Annex, seen: list[Instance] | None, now: datetime
) -> None:
    if Finish() in plan(one, seen, now):
        assert one.state is AnnexState.TERMINATING
        assert seen is not None
        assert all(m.state is InstanceState.TERMINATED for m in seen)


@given(annexes(), sights(), times)
def test_ending_comes_before_anything_that_could_fail(
    one: Annex, seen: list[Instance] | None, now: datetime
) -> None:
    kinds = [type(a) for a in plan(one, seen, now)]
    if Terminate in kinds:
        assert set(kinds[: kinds.index(Terminate)]) <= {BeginEnding}


@given(annexes(), sights(), times, st.integers(1, 2))
def test_transitions_can_be_applied_twice(
    one: Annex, seen: list[Instance] | None, now: datetime, times_more: int
) -> None:
    del seen
    steps: tuple[Callable[[Annex], Annex], ...] = (
        lambda a: transitions.begin_ending(a, "why"),
        lambda a: transitions.terminated(a, now),
        lambda a: transitions.close_launch(a, 1, "note"),
        lambda a: transitions.with_ended(a, IDS[:2]),
        lambda a: transitions.configuration_written(a, 1),
    )
    for step in steps:
        once = step(one)
        again = once
        for _ in range(times_more):
            again = step(again)
        assert again == once


@given(annexes())
def test_no_way_leads_back(one: Annex) -> None:
    order = list(AnnexState)
    for state, after in transitions.TRANSITIONS.items():
        assert all(order.index(state) < order.index(later) for later in after)
    assert one.reserved >= 0


@given(annexes())
def test_client_tokens_are_unique_and_fit_ec2(one: Annex) -> None:
    tokens = [a.client_token for a in one.attempts]
    assert len(set(tokens)) == len(tokens)
    assert all(len(token) <= 64 and token.isascii() for token in tokens)
