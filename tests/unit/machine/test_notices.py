"""What EC2 tells a spot machine, as the metadata service has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from machine_builders import BOOT, facts, metadata_service

from chalicelib.machine.metadata import Metadata
from chalicelib.machine.notices import Ears, Notices

if TYPE_CHECKING:
    from collections.abc import Iterator

ACTION = "meta-data/spot/instance-action"
REBALANCE = "meta-data/events/recommendations/rebalance"
RECLAIM = '{"action": "terminate", "time": "2027-01-15T08:02:00Z"}'
WARNING = '{"noticeTime": "2027-01-15T08:00:10Z"}'
SPOT = facts(lifecycle="spot")


class Service:
    """A metadata service of a test's own."""

    def __init__(self) -> None:
        self.tree = {}
        self.requests = []
        self.metadata = Metadata("http://127.0.0.1:1")

    def asked(self) -> list[str]:
        return [line.removeprefix("GET /latest/") for line in self.requests if "GET" in line]


@pytest.fixture
def service() -> Iterator[Service]:
    one = Service()
    with metadata_service(one.tree) as (server, url):
        one.requests = server.requests
        one.metadata = Metadata(url)
        yield one


def test_nothing_told_is_nothing_heard(service: Service) -> None:
    assert Ears(service.metadata, SPOT).listen(BOOT) == Notices()
    assert service.asked() == [ACTION, REBALANCE]


def test_a_notice_says_when_the_machine_is_taken_back(service: Service) -> None:
    service.tree[ACTION] = RECLAIM
    assert Ears(service.metadata, SPOT).listen(BOOT) == Notices(reclaim_at=BOOT + 120)


def test_a_recommendation_to_rebalance_says_when_it_was_given(service: Service) -> None:
    service.tree[REBALANCE] = WARNING
    assert Ears(service.metadata, SPOT).listen(BOOT) == Notices(rebalance_at=BOOT + 10)


def test_an_on_demand_machine_asks_nothing(service: Service) -> None:
    service.tree[ACTION] = RECLAIM
    assert Ears(service.metadata, facts()).listen(BOOT) == Notices()
    assert service.requests == []


def test_it_asks_every_five_seconds_however_often_it_looks(service: Service) -> None:
    ears = Ears(service.metadata, SPOT)
    for second in range(11):
        ears.listen(BOOT + second)
    assert service.asked().count(ACTION) == 3


def test_what_was_heard_once_holds(service: Service) -> None:
    service.tree.update({ACTION: RECLAIM, REBALANCE: WARNING})
    ears = Ears(service.metadata, SPOT)
    heard = ears.listen(BOOT)
    service.tree.clear()
    assert ears.listen(BOOT + 5) == heard == Notices(BOOT + 120, BOOT + 10)


@pytest.mark.parametrize(
    "answer", ["", "null", "[]", "7", '{"action": "stop"}', '{"time": 1}', '{"time": "soon"}']
)
def test_an_answer_that_cannot_be_read_ends_no_machine(service: Service, answer: str) -> None:
    service.tree[ACTION] = answer
    assert Ears(service.metadata, SPOT).listen(BOOT) == Notices()


def test_a_service_that_is_away_ends_no_machine() -> None:
    assert Ears(Metadata("http://127.0.0.1:1"), SPOT).listen(BOOT) == Notices()
