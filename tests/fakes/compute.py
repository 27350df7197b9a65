"""EC2's machines in memory: client tokens, capacity, states that take time, slow visibility."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from chalicelib.ids import AnnexId, InstanceId
from chalicelib.iso import iso, moment
from chalicelib.launch import Launched, Market, Refusal, RefusalKind, Road
from chalicelib.model import Instance, InstanceState
from chalicelib.tags import ANNEX_ID, ATTEMPT, DEPLOYMENT, LEASE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from chalicelib.launch import Attempt, LaunchSpec, Place
    from chalicelib.model import Annex
    from chalicelib.ports import Clock

_BOOT = timedelta(seconds=20)
_SHUTDOWN = timedelta(seconds=30)
_SPOT_FLEET = timedelta(seconds=15)  # from the request to its machines


@dataclass
class Machine:
    """One machine; `life` is what EC2 knows of its state, and since when."""

    instance: Instance
    tags: dict[str, str]
    history: list[InstanceState] = field(default_factory=list)
    changed_at: datetime | None = None


@dataclass
class SpotRequest:
    """A Spot Fleet request; `done` when it starts nothing more."""

    spec: LaunchSpec
    attempt: Attempt
    made_at: datetime
    done: bool = False
    machines: tuple[InstanceId, ...] = ()
    refusals: tuple[Refusal, ...] = ()


class FakeCompute:
    """`ports.Compute`. `free` is what each (type, zone) has left; absent means plenty."""

    def __init__(self, clock: Clock, deployment: str) -> None:
        self._clock = clock
        self._deployment = deployment
        self.machines: dict[InstanceId, Machine] = {}
        self.free: dict[tuple[str, str], int] = {}
        self.refusals: dict[str, Refusal] = {}  # by instance type
        self.protected: set[InstanceId] = set()
        self.visible_after = timedelta(0)
        self.spot_free: dict[tuple[str, str], int] = {}  # where spot has limits of its own
        self.spot_refusals: dict[str, Refusal] = {}  # the same, for spot alone
        self.templates: set[AnnexId] = set()
        self.requests: dict[str, SpotRequest] = {}
        self._tokens: dict[tuple[str, str], tuple[object, Launched]] = {}
        self.launches: list[tuple[InstanceId, ...]] = []
        self._made = 0

    # The port

    def launch(self, spec: LaunchSpec, attempt: Attempt) -> Launched | Refusal:
        # Client tokens are per zone, and a changed parameter is an error (EC2, 'Idempotency').
        key = (attempt.place.zone if attempt.place else "", attempt.client_token)
        asked = (spec, attempt.place, attempt.count)
        if key in self._tokens:
            before, answer = self._tokens[key]
            if before != asked:
                return Refusal(RefusalKind.SPENT, "IdempotentParameterMismatch", "changed")
            states = {self._now(self.machines[one]).state for one, _ in answer.machines}
            gone = {InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED}
            if attempt.place is not None and states <= gone:
                return Refusal(RefusalKind.SPENT, "IdempotentInstanceTerminated", "terminated")
            return answer
        outcome = self._launch(spec, attempt)
        if isinstance(outcome, Launched):
            self._tokens[key] = (asked, outcome)
            self.launches.append(tuple(one for one, _ in outcome.machines))
        return outcome

    def _launch(self, spec: LaunchSpec, attempt: Attempt) -> Launched | Refusal:
        if attempt.place is None:
            self.templates.add(AnnexId(dict(spec.tags)[ANNEX_ID]))
        if spec.road is Road.SPOT_FLEET:
            fleet_id = f"sfr-{len(self.requests)}"
            self.requests[fleet_id] = SpotRequest(spec, attempt, self._clock.now())
            return Launched((), fleet_id=fleet_id, final=False)
        if attempt.place is not None:
            refusal = self._refusal(attempt.place, attempt.market)
            if refusal is not None:
                return refusal
        elif len({(one.instance_type, one.zone) for one in spec.places}) < len(spec.places):
            return Refusal(RefusalKind.FATAL, "InvalidFleetConfig", "duplicate instance pools")
        return self._give(spec, attempt)

    def _give(self, spec: LaunchSpec, attempt: Attempt, fleet_id: str = "") -> Launched:
        """Machines, place after place, until there are enough units."""
        places = (attempt.place,) if attempt.place else spec.places
        given: list[tuple[InstanceId, int]] = []
        refusals = []
        for place in places:
            refusal = self._refusal(place, attempt.market)
            if refusal is not None:
                where = f"{place.instance_type} in {place.zone}"
                refusals.append(replace(refusal, where=where))
                continue
            pool = (place.instance_type, place.zone)
            units = spec.units(place.instance_type)
            free = self._free(attempt.market)
            while sum(one for _, one in given) < attempt.count and free.get(pool, 1) > 0:
                if pool in free:
                    free[pool] -= 1
                given.append((self._start(spec, attempt, place), units))
        if attempt.place is None and not fleet_id:
            fleet_id = f"fleet-{attempt.client_token}"
        return Launched(tuple(given), tuple(refusals), fleet_id)

    def _fulfil(self) -> None:
        """What EC2 does about Spot Fleet requests when nobody looks."""
        for one in self.requests.values():
            if not one.done and self._clock.now() >= one.made_at + _SPOT_FLEET:
                one.done = True
                given = self._give(one.spec, one.attempt, "sfr")
                one.machines = tuple(machine for machine, _ in given.machines)
                one.refusals = given.refusals

    def cancel_requests(
        self, annex_id: AnnexId, known: Sequence[str], *, terminate: bool
    ) -> dict[str, tuple[Refusal, ...]]:
        self._fulfil()
        found = {}
        for fleet_id, one in self.requests.items():
            if fleet_id in known or dict(one.spec.tags)[ANNEX_ID] == annex_id:
                one.done = True
                found[one.attempt.client_token] = one.refusals
                for machine in one.machines if terminate else ():
                    self.become(machine, InstanceState.SHUTTING_DOWN)
        return found

    def clear(self, annex: Annex) -> None:
        self.templates.discard(annex.annex_id)

    def rehearse(self, spec: LaunchSpec, attempt: Attempt) -> Refusal | None:
        return self._refusal(attempt.place or spec.places[0], attempt.market)

    def instances(self, annex_id: AnnexId | None = None) -> list[Instance]:
        self._fulfil()
        now = self._clock.now()
        return [
            self._now(one)
            for one in self.machines.values()
            if one.tags.get(DEPLOYMENT) == self._deployment
            and annex_id in (None, one.tags.get(ANNEX_ID))
            and now >= one.instance.launched_at + self.visible_after
        ]

    def instance(self, instance_id: InstanceId) -> Instance | None:
        return next((one for one in self.instances() if one.instance_id == instance_id), None)

    def by_id(self, instance_ids: Sequence[InstanceId]) -> list[Instance]:
        now = self._clock.now()
        known = (self.machines[one] for one in instance_ids if one in self.machines)
        return [
            self._now(one) for one in known if now >= one.instance.launched_at + self.visible_after
        ]

    def terminate(self, instance_ids: Iterable[InstanceId]) -> Mapping[InstanceId, str]:
        refused = {}
        for one in instance_ids:
            if one in self.protected:
                refused[one] = "termination protection is on"
            elif one in self.machines:
                self.become(one, InstanceState.SHUTTING_DOWN)
        return refused

    def tag_lease(self, instance_ids: Sequence[InstanceId], expires_at: datetime) -> None:
        for one in instance_ids:
            if one in self.machines:
                self.machines[one].tags[LEASE] = iso(expires_at)

    # What tests do to it

    def become(self, instance_id: InstanceId, state: InstanceState) -> None:
        """A machine changes its state by itself, or somebody changes it."""
        machine = self.machines[instance_id]
        if self._now(machine).state.is_endable:
            machine.history.append(state)
            machine.changed_at = self._clock.now()

    def running(self, annex_id: AnnexId | None = None) -> list[Instance]:
        """Machines that cost money, whether EC2 shows them or not."""
        self._fulfil()
        return [
            self._now(one)
            for one in self.machines.values()
            if self._now(one).state.is_endable and annex_id in (None, one.tags.get(ANNEX_ID))
        ]

    def ours(self) -> list[Instance]:
        """Those of them that are the deployment's."""
        return [
            one
            for one in self.running()
            if self.machines[one.instance_id].tags.get(DEPLOYMENT) == self._deployment
        ]

    def stranger(self, tags: Mapping[str, str]) -> InstanceId:
        """A machine that this control plane's records do not know."""
        instance_id = InstanceId(f"i-{self._made:017x}")
        self._made += 1
        self.machines[instance_id] = Machine(
            Instance(
                instance_id=instance_id,
                state=InstanceState.PENDING,
                instance_type="m7i.large",
                zone="us-east-1a",
                launched_at=self._clock.now(),
            ),
            dict(tags),
        )
        return instance_id

    def _start(self, spec: LaunchSpec, attempt: Attempt, place: Place) -> InstanceId:
        tags = dict(spec.tags)
        if attempt.place is None:
            tags[ATTEMPT] = attempt.client_token
        instance_id = self.stranger(tags)
        machine = self.machines[instance_id]
        machine.instance = replace(
            machine.instance,
            instance_type=place.instance_type,
            zone=place.zone,
            client_token=attempt.client_token,
            lifecycle=attempt.market,
            private_dns_name=f"ip-10-0-0-{len(self.machines)}.ec2.internal",
        )
        return instance_id

    def _free(self, market: Market) -> dict[tuple[str, str], int]:
        return self.spot_free if market is Market.SPOT and self.spot_free else self.free

    def _refusal(self, place: Place, market: Market) -> Refusal | None:
        refusal = self.refusals.get(place.instance_type)
        if refusal is None and market is Market.SPOT:
            refusal = self.spot_refusals.get(place.instance_type)
        free = self._free(market)
        if refusal is None and free.get((place.instance_type, place.zone), 1) < 1:
            refusal = Refusal(
                RefusalKind.CAPACITY, "InsufficientInstanceCapacity", "There is no capacity"
            )
        return refusal

    def _now(self, machine: Machine) -> Instance:
        now = self._clock.now()
        state = machine.history[-1] if machine.history else InstanceState.PENDING
        if state is InstanceState.PENDING and now >= machine.instance.launched_at + _BOOT:
            state = InstanceState.RUNNING
        changed_at = machine.changed_at or now
        if state is InstanceState.SHUTTING_DOWN and now >= changed_at + _SHUTDOWN:
            state = InstanceState.TERMINATED
        lease = machine.tags.get(LEASE)
        annex_id = machine.tags.get(ANNEX_ID)
        return replace(
            machine.instance,
            state=state,
            annex_id=AnnexId(annex_id) if annex_id else None,
            lease_tag=moment(lease) if lease else None,
        )
