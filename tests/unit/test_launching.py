"""Which places an attempt asks for, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from chalicelib.ids import RequestId
from chalicelib.launch import (
    Attempt,
    Launch,
    LaunchSpec,
    Market,
    Place,
    Refusal,
    RefusalKind,
    Road,
)
from chalicelib.launching import in_one_fleet, next_ask, notes, to_call

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NO_CAPACITY = Refusal(RefusalKind.CAPACITY, "InsufficientInstanceCapacity", "None left")
QUOTA = Refusal(RefusalKind.QUOTA, "VcpuLimitExceeded", "Too many")
BAD = Refusal(RefusalKind.FATAL, "InvalidSubnetID.NotFound", "There is no such subnet")


def place(instance_type: str, subnet: str, zone: str = "a") -> Place:
    return Place(instance_type, f"subnet-{subnet}", f"us-east-1{zone}", public_address=True)


LARGE_A, LARGE_A2, LARGE_B = (
    place("m7i.large", "a"),
    place("m7i.large", "a2"),
    place("m7i.large", "b", "b"),
)
OTHER_A, OTHER_B = place("c7i.large", "a"), place("c7i.large", "b", "b")
PLACES = (LARGE_A, LARGE_B, OTHER_A, OTHER_B)


def launch(*attempts: Attempt, places: tuple[Place, ...] = PLACES) -> Launch:
    spec = LaunchSpec("ami-1", "/dev/xvda", 8, places, ("sg-1",), "arn", None, (), b"data")
    numbered = tuple(replace(one, client_token=str(n)) for n, one in enumerate(attempts))
    return Launch(RequestId("r"), 1, 3, NOW, spec, attempts=numbered)


def attempt(where: Place | None, *refusals: Refusal, got: int = 0) -> Attempt:
    """One that was answered: for a place with a refusal of its own, for several with theirs."""
    whole = refusals[0] if where and refusals else None
    started = tuple(f"i-{number}" for number in range(got))
    told = () if where else refusals
    return Attempt("", where, 3, NOW, settled=True, started=started, refusal=whole, refusals=told)  # type: ignore[arg-type]


def asked_for(one: Launch) -> tuple[Place, ...]:
    """The places of the call that the next attempt makes."""
    ask = next_ask(one)
    assert ask is not None
    following = Attempt("next", ask.place, one.missing, NOW, market=ask.market)
    return to_call(replace(one, attempts=(*one.attempts, following)), following).places


def test_a_fleet_has_all_places_but_those_asked_before_in_their_order() -> None:
    assert asked_for(launch(attempt(LARGE_A, NO_CAPACITY))) == (LARGE_B, OTHER_A, OTHER_B)
    assert asked_for(launch(attempt(LARGE_A, got=1))) == (LARGE_B, OTHER_A, OTHER_B)


def test_a_fleet_does_without_types_over_their_quota() -> None:
    assert asked_for(launch(attempt(LARGE_A, QUOTA))) == (OTHER_A, OTHER_B)


def test_second_subnets_of_a_zone_come_with_a_second_fleet() -> None:
    """EC2 calls a fleet invalid that has both, and either may have run out of addresses."""
    first = launch(attempt(LARGE_A, NO_CAPACITY), places=(LARGE_A, LARGE_B, LARGE_A2, OTHER_A))
    assert asked_for(first) == (LARGE_B, LARGE_A2, OTHER_A)
    both = (place("m7i.large", "c", "c"), LARGE_A, LARGE_A2, OTHER_A)
    refused = attempt(both[0], NO_CAPACITY)
    assert asked_for(launch(refused, places=both)) == (LARGE_A, OTHER_A)
    again = launch(refused, attempt(None, NO_CAPACITY, got=1), places=both)
    assert asked_for(again) == (LARGE_A2,)
    over = replace(QUOTA, where="m7i.large in us-east-1a")
    assert next_ask(launch(refused, attempt(None, over), places=both)) is None


def test_repeated_call_has_the_same_places_whatever_came_after_it() -> None:
    one = launch(attempt(LARGE_A, NO_CAPACITY), attempt(None), attempt(None, QUOTA))
    assert to_call(one, one.attempts[1]).places == (LARGE_B, OTHER_A, OTHER_B)


@pytest.mark.parametrize("road", [Road.FLEET, Road.SPOT_FLEET])
def test_a_launch_by_fleet_has_all_its_places_in_each_market(road: Road) -> None:
    plain = launch()
    spec = replace(plain.spec, road=road, market=Market.SPOT, fallback=True)
    one = replace(plain, spec=spec)
    assert asked_for(one) == PLACES
    refused = replace(attempt(None, NO_CAPACITY), market=Market.SPOT)
    assert asked_for(replace(one, attempts=(refused,))) == PLACES


def test_of_a_type_in_a_zone_a_fleet_has_the_first_subnet() -> None:
    assert in_one_fleet((LARGE_A2, LARGE_A, OTHER_A, LARGE_B)) == (LARGE_A2, OTHER_A, LARGE_B)


def test_one_bad_place_is_told_with_its_type_and_zone_and_ends_nothing() -> None:
    places = (
        replace(BAD, where="m7i.large in us-east-1b"),
        replace(NO_CAPACITY, where="c7i.large in us-east-1a"),
    )
    one = launch(attempt(LARGE_A, NO_CAPACITY), attempt(None, *places))
    assert not one.attempts[-1].is_final
    assert notes(one) == (
        "m7i.large in us-east-1a: None left (InsufficientInstanceCapacity).",
        "m7i.large in us-east-1b: There is no such subnet (InvalidSubnetID.NotFound).",
        "c7i.large in us-east-1a: None left (InsufficientInstanceCapacity).",
        "All other types and zones: EC2 gave 0 of 3.",
    )


def test_what_is_wrong_with_all_places_is_told_once() -> None:
    bad = (replace(BAD, where=f"m7i.large in us-east-1{zone}") for zone in "ab")
    one = launch(attempt(LARGE_A, NO_CAPACITY), attempt(None, *bad))
    assert one.attempts[-1].is_final
    assert notes(one)[1:2] == ("There is no such subnet (InvalidSubnetID.NotFound).",)


def test_a_quota_is_told_once_for_a_type() -> None:
    over = (replace(QUOTA, where=f"c7i.large in us-east-1{zone}") for zone in "ab")
    one = launch(attempt(LARGE_A, NO_CAPACITY), attempt(None, *over))
    (said,) = (note for note in notes(one) if "VcpuLimitExceeded" in note)
    assert said.startswith("c7i.large: the quota")
