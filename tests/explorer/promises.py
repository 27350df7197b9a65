"""What must hold in every state, after every call, and when all are left alone."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from chalicelib.model import AnnexState
from chalicelib.orphans import past_own_tag
from chalicelib.tags import DEPLOYMENT
from chalicelib.transitions import TRANSITIONS
from chalicelib.turns import LAUNCH_WINDOW
from tests.flow.test_crashes import LIVING, check_promises

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from chalicelib.api import HttpAnswer
    from chalicelib.ids import AnnexId, InstanceId
    from chalicelib.launch import Launch
    from chalicelib.model import Annex, Instance
    from tests.explorer.actors import Operation
    from tests.fakes.world import World

ENDING = (AnnexState.TERMINATING, AnnexState.TERMINATED)
TWO_SWEEPS = timedelta(seconds=130)


class Broken(Exception):
    """A promise is not kept; says which."""


def _promise(holds: object, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)


def records_follow(
    before: Mapping[AnnexId, Annex], after: Mapping[AnnexId, Annex], shortened: frozenset[str]
) -> None:
    """No write undoes another one: each record follows from the one before it."""
    for annex_id, old in before.items():
        new = after.get(annex_id)
        if new is None:
            raise Broken(f"the record of annex {old.name} is gone")
        if new is not old:
            with _about(f"a write to annex {old.name} undid another"):
                _follows(old, new, may_shorten=old.name in shortened)
    for annex_id in after.keys() - before.keys():
        _promise(not after[annex_id].attempts, "a new record has attempts already")
    living = [one.name for one in after.values() if one.state is not AnnexState.TERMINATED]
    _promise(len(living) == len(set(living)), "two annexes have one name")


def _follows(old: Annex, new: Annex, *, may_shorten: bool) -> None:
    _promise(new.state in (old.state, *TRANSITIONS[old.state]), f"{old.state} to {new.state}")
    _promise(new.generation >= old.generation, "an older generation")
    if new.generation == old.generation:
        same = (old.lease_expires_at, old.idle_seconds) == (new.lease_expires_at, new.idle_seconds)
        _promise(same, "other terms in the same generation")
    _promise(may_shorten or new.lease_expires_at >= old.lease_expires_at, "a shorter lease")
    _promise(new.written_generation >= old.written_generation, "the configuration is not written")
    _promise(set(new.ended) >= set(old.ended), "a machine is not gone any more")
    launches = {one.number: one for one in new.launches}
    for launch in old.launches:
        _promise(launch.number in launches, f"launch {launch.number} is lost")
        _launch_follows(launch, launches[launch.number])


def _launch_follows(old: Launch, new: Launch) -> None:
    _promise(old.request_id == new.request_id, f"launch {old.number} is another request's")
    _promise(new.closed or not old.closed, f"launch {old.number} is open again")
    attempts = {one.client_token: one for one in new.attempts}
    for attempt in old.attempts:
        later = attempts.get(attempt.client_token)
        if later is None:
            raise Broken(f"attempt {attempt.client_token} is lost")
        _promise(set(later.started) >= set(attempt.started), "a machine is lost")
        # A Spot Fleet request that was looked for and not found may turn up after all: its attempt
        # is then open again, until it is cancelled by its id.
        turned_up = later.fleet_id and not attempt.fleet_id
        _promise(later.settled or not attempt.settled or turned_up, "an outcome is lost")


def machines_follow(
    before: Mapping[InstanceId, Instance],
    world: World,
    stopped: frozenset[str],
) -> None:
    """What a call did to machines was asked for: none too many, none ended early, none foreign.

    `before` are those that cost money before it; `world` is as the call left it. `stopped` are the
    names of annexes whose owner asked for their end.
    """
    records = world.ledger.records
    after = {one.instance_id: one for one in world.compute.running()}
    for one in after.values():
        if one.instance_id not in before:
            _was_asked_for(one, records, world)
    now = world.clock.now()
    for one in before.values():
        if world.compute.machines[one.instance_id].tags.get(DEPLOYMENT) != "htcondor-annex":
            _promise(one == after.get(one.instance_id), f"foreign {one.instance_id} was touched")
        elif one.instance_id not in after:
            _may_end(one, records, stopped, now)


def _was_asked_for(one: Instance, records: Mapping[AnnexId, Annex], world: World) -> None:
    annex = records.get(one.annex_id) if one.annex_id else None
    launches = annex.launches if annex else ()
    launch = next(
        (a for a in launches if one.client_token in {b.client_token for b in a.attempts}), None
    )
    if launch is None:
        raise Broken(f"{one.instance_id} was launched, and no record says that it might be")
    tokens = {attempt.client_token for attempt in launch.attempts}
    launched = [
        machine
        for machine in world.compute.machines.values()
        if machine.instance.client_token in tokens
    ]
    _promise(
        len(launched) <= launch.asked,
        f"launched twice: {len(launched)} machines where {launch.asked} was asked for",
    )


def _may_end(
    one: Instance, records: Mapping[AnnexId, Annex], stopped: frozenset[str], now: datetime
) -> None:
    annex = records.get(one.annex_id) if one.annex_id else None
    if annex is None:
        raise Broken(f"{one.instance_id} was ended, and is nobody's")
    if annex.name in stopped or annex.is_over(now):
        return
    if past_own_tag(one, now):
        return  # for five minutes nobody has told it of a renewal, nor can the ledger be read
    # A launch that EC2 never answered was given up, and said to have been.
    given_up = any(
        now >= launch.opened_at + LAUNCH_WINDOW and launch.closed != "complete"
        for launch in annex.launches
        for attempt in launch.attempts
        if attempt.client_token == one.client_token
    )
    _promise(
        annex.state in ENDING and given_up,
        f"{one.instance_id} of annex {annex.name} was ended early: its lease lasts until "
        f"{annex.lease_expires_at:%H:%M:%S}",
    )


def answer_is_true(operation: Operation, answer: HttpAnswer, world: World) -> None:
    """What a client was told is so."""
    told = json.loads(answer.body)
    if answer.status >= 300:
        code = told["error"]["code"]
        _promise(code != "Internal", f"a defect: {told['error']['message']}")
        if operation.kind in ("start", "grow") and code in ("NoCapacity", "QuotaExceeded"):
            launches = _launches_of(operation, world)
            _promise(not any(one.started for one in launches), "refused, and yet started")
        return
    if operation.kind == "show":
        return
    annex = world.ledger.records.get(told.get("annex", told)["annex_id"])
    if annex is None:
        raise Broken("the answer speaks of an annex that has no record")
    if operation.kind == "stop":
        _promise(annex.state in ENDING, "a stop was acknowledged, and the annex goes on")
        return
    if operation.kind in ("start", "grow"):
        (launch,) = _launches_of(operation, world)
        _promise(told["pending"] or launch.closed, "told to be settled, and is not")
        _promise(len(launch.started) >= told["started"], "more machines told than there are")
        return
    if annex.state not in ENDING and not _overtaken(operation, annex, world):
        found = world.configs.objects[annex.config_key][0]
        _promise(found.token != "the-annex-token", "renewed, and its machines got no new token")


def _overtaken(operation: Operation, annex: Annex, world: World) -> bool:
    """Whether a later request has moved the lease again: the token that counts is its own."""
    (made_at,) = (
        one.made_at
        for one in world.ledger.requests.values()
        if one.request_id == operation.body["request_id"]
    )
    return annex.lease_expires_at != made_at + timedelta(seconds=operation.body["duration_seconds"])


def _launches_of(operation: Operation, world: World) -> list[Launch]:
    return [
        launch
        for annex in world.ledger.records.values()
        for launch in annex.launches
        if launch.request_id == operation.body["request_id"]
    ]


def left_alone(world: World) -> None:
    """All functions have died: two sweeps later all is right; and with the leases all ends."""
    begun = world.clock.now()
    running = {one.instance_id for one in world.compute.ours()}
    sure = {
        instance_id
        for annex in world.ledger.records.values()
        if _goes_on(annex, begun)
        for instance_id in annex.living
        if instance_id in running
    }
    foreign = _foreign(world)
    promised = [
        (annex.annex_id, launch.number)
        for annex in world.ledger.records.values()
        for launch in annex.launches
        if _goes_on(annex, begun) and not launch.closed and annex.written_generation
        if begun + TWO_SWEEPS < launch.opened_at + LAUNCH_WINDOW
    ]
    world.sweep()
    world.sweep()
    _agree(world)
    lost = sure - {one.instance_id for one in world.compute.running()}
    _promise(not lost, f"{sorted(lost)} ended early")
    for annex_id, number in promised:
        launch = world.ledger.records[annex_id].launch_by(number)
        had_no = any(attempt.refusal for attempt in launch.attempts)
        _promise(launch.closed, "what was asked for is lost: its launch does not go on")
        _promise(not launch.missing or had_no, "what was asked for is lost: too few machines")
    _end(world, foreign)


def _goes_on(annex: Annex, now: datetime) -> bool:
    return annex.state in LIVING and annex.lease_expires_at > now + TWO_SWEEPS


def _agree(world: World) -> None:
    try:
        check_promises(world)
    except AssertionError as error:
        raise Broken(str(error).splitlines()[0]) from error


def _end(world: World, foreign: list[str]) -> None:
    leases = [
        one.lease_expires_at
        for one in world.ledger.records.values()
        if one.state is not AnnexState.TERMINATED
    ]
    for end in sorted(leases):
        world.clock.time = max(world.clock.time, end)
    for _ in range(2):
        world.sweep()
    _promise(not world.compute.ours(), "a machine outlives every lease")
    for _ in range(6):
        world.sweep()
    states = {one.state for one in world.ledger.records.values()}
    _promise(states <= {AnnexState.TERMINATED}, "an annex never ends")
    _promise(not world.configs.objects, "a configuration stays behind")
    _promise(_foreign(world) == foreign, "a foreign machine was touched")


def _foreign(world: World) -> list[str]:
    ours = {one.instance_id for one in world.compute.ours()}
    return [one.instance_id for one in world.compute.running() if one.instance_id not in ours]


@contextmanager
def _about(what: str) -> Iterator[None]:
    try:
        yield
    except Broken as broken:
        raise Broken(f"{what}: {broken}") from None
