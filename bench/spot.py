"""From a request for spot slots to the slots: calls and time, against the predecessor's calls."""

from __future__ import annotations

import statistics
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from annex_client import api, wanted
from annex_client.context import SystemClock
from botocore.credentials import ReadOnlyCredentials

from bench import stage
from demo import tutorial
from demo.account import ROOT, Account
from demo.terminal import StepFailedError
from local.images import BAKED_AMD64

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 2
WITH_HOSTS = 5
# Hosts for these would be 25 and 250 systems on one machine's cores: an account without any.
WITHOUT_HOSTS = (5, 50, 500)
# A Spot Fleet of any size: Invoke, GetFunction, PutObject, PutRule, PutTargets, RequestSpotFleet.
# The same number as on demand, where `request` sees it (docs/benchmarks.md).
PEER_CALLS = 6
_TYPES = ("c7i.large", "m7i.large")
_FLEET = "examples/fleet.json"
_ROADS = ("EC2 Fleet", "Spot Fleet")


def main() -> None:
    """The sizes that need an account without hosts: until EC2 shows all machines as running."""
    account = Account()
    try:
        with stage.hushed(account):
            account.up(hosts=False)
            tutorial.deploy_and_set_up(
                account, "max_instances_per_annex=1000", "max_instances_per_owner=1000"
            )
        asker = _Asker(account)
        # The largest last: its machines' ends keep the account busy for some minutes.
        for slots in WITHOUT_HOSTS:
            for road in _ROADS:
                found = [asker.ask(road, slots) for _ in range(ROUNDS)]
                print(_line(f"{road}, {slots} slots, no hosts", found, "running"), flush=True)
    finally:
        with stage.hushed(account):
            account.down()


def measure(account: Account) -> Iterator[str]:
    """The tutorial's five slots, by both roads in turn, until they are in the collector."""
    account.user.write("fleet.json", (ROOT / _FLEET).read_text())
    words = {
        "EC2 Fleet": f"--spot --instance-type {','.join(_TYPES)} --ami-id {BAKED_AMD64.ami_id}",
        "Spot Fleet": "--spot-fleet-config-file fleet.json",
    }
    taken: dict[str, list[_Taken]] = {road: [] for road in _ROADS}
    for turn in range(ROUNDS):
        for number, road in enumerate(_ROADS):
            name = f"Spot{number}x{turn}"
            stage.forget_calls(account)
            command = f"annex-client start {name} --slots {WITH_HOSTS} {words[road]} --yes"
            request = stage.stopwatch(account.user, command)
            calls = _function_calls(account, request.ended)
            came = stage.cpus_came(account, f'AnnexName =?= "{name}"', WITH_HOSTS)
            taken[road].append(_Taken(request.seconds, came - request.began, calls))
            stage.stop(account, name)
    for road, found in taken.items():
        yield _line(f"{road}, {WITH_HOSTS} slots, with hosts", found, "in the pool")


@dataclass(frozen=True)
class _Taken:
    """Seconds from the request to the answer and to the slots; AWS calls until the answer."""

    accepted: float
    there: float
    calls: int


class _Asker:
    """Sends what annex-client would: without hosts there is no pool to give it a token."""

    def __init__(self, account: Account) -> None:
        self._account = account
        env = account.admin.env or {}
        session = account.session()
        url = boto3.client("ssm", **session).get_parameter(Name="/htcondor-annex/api-url")
        where = api.endpoint(url["Parameter"]["Value"], session["region_name"], env)
        keys = ReadOnlyCredentials(
            session["aws_access_key_id"], session["aws_secret_access_key"], None
        )
        self._api = api.Api(where, keys, SystemClock())
        self._fleet = (ROOT / _FLEET).read_text()

    def ask(self, road: str, slots: int) -> _Taken:
        """Start an annex, wait until its machines run, and end it."""
        name = f"Spot{uuid.uuid4().hex[:8]}"
        kind = (
            wanted.Wanted(slots=slots, spot=True, instance_types=_TYPES)
            if road == "EC2 Fleet"
            else wanted.Wanted(slots=slots, spot_fleet=self._fleet)
        )
        stage.forget_calls(self._account)
        began = time.time()
        self._api.start({**_body(name), **kind.body("")})
        accepted = time.time()
        calls = _function_calls(self._account, accepted)
        try:
            self._until(lambda: self._running(name) >= slots, f"{slots} slots of {name}")
            there = time.time()
        finally:
            self._api.stop(name)
        self._until(lambda: self._api.annex(name).over, f"the end of {name}")
        return _Taken(accepted - began, there - began, calls)

    def _running(self, name: str) -> int:
        instances = self._api.annex(name).instances
        return sum(one.units for one in instances if one.state == "running")

    @staticmethod
    def _until(true: Any, what: str) -> None:  # noqa: ANN401 - a function
        deadline = time.monotonic() + stage.PATIENCE
        while not true():
            if time.monotonic() > deadline:
                raise StepFailedError(f"{what}: not within {stage.PATIENCE} s")
            time.sleep(0.5)


def _body(name: str) -> dict[str, Any]:
    """What every request has; the pool's address is one that refuses at once."""
    return {
        "request_id": str(uuid.uuid4()),
        "name": name,
        "duration_seconds": 3000,
        "idle_seconds": 900,
        "identity": "alice@pool.example",
        "owners": ["alice@pool.example"],
        "pool": {"collector_host": "127.0.0.1:9", "trust_domain": "pool.example"},
        "token": "no pool is asked",
    }


def _function_calls(account: Account, until: float) -> int:
    """AWS calls by the API's function until then: not what the sweep and the next request make."""
    return sum(
        1
        for call in stage.calls(account)
        if call["at"] <= until and "-api_handler/" in call["caller"]
    )


def _line(what: str, found: list[_Taken], there: str) -> str:
    calls = statistics.median(one.calls for one in found)
    return (
        f"{what}: accepted {stage.spread([one.accepted for one in found])}, {there}"
        f" {stage.spread([one.there for one in found])}; calls by the user 1 (ratio to"
        f" condor_annex {1 / PEER_CALLS:.2f}), by the function {calls:.0f}"
        f" (ratio {calls / PEER_CALLS:.1f})"
    )
