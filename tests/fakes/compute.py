"""EC2's machines in memory: client tokens, capacity, states that take time, slow visibility."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from chalicelib.iso import iso, moment
from chalicelib.model import AnnexId, Instance, InstanceId, InstanceState, Refusal, RefusalKind
from chalicelib.tags import ANNEX_ID, DEPLOYMENT, LEASE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from chalicelib.model import Attempt, LaunchSpec
    from chalicelib.ports import Clock

_BOOT = timedelta(seconds=20)
_SHUTDOWN = timedelta(seconds=30)


@dataclass
class Machine:
    """One machine; `life` is what EC2 knows of its state, and since when."""

    instance: Instance
    tags: dict[str, str]
    history: list[InstanceState] = field(default_factory=list)
    changed_at: datetime | None = None


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
        self._tokens: dict[tuple[str, str], tuple[object, tuple[InstanceId, ...]]] = {}
        self.launches: list[tuple[InstanceId, ...]] = []
        self._made = 0

    # The port

    def launch(self, spec: LaunchSpec, attempt: Attempt) -> tuple[InstanceId, ...] | Refusal:
        # Client tokens are per zone, and a changed parameter is an error (EC2, 'Idempotency').
        key = (attempt.place.zone, attempt.client_token)
        asked = (spec, attempt.place, attempt.count)
        if key in self._tokens:
            before, ids = self._tokens[key]
            if before != asked:
                return Refusal(RefusalKind.SPENT, "IdempotentParameterMismatch", "changed")
            states = {self._now(self.machines[one]).state for one in ids}
            if states <= {InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED}:
                return Refusal(RefusalKind.SPENT, "IdempotentInstanceTerminated", "terminated")
            return ids
        refusal = self._refusal(attempt)
        if refusal is not None:
            return refusal
        where = (attempt.place.instance_type, attempt.place.zone)
        count = min(attempt.count, self.free.get(where, attempt.count))
        if where in self.free:
            self.free[where] -= count
        ids = tuple(self._start(spec, attempt) for _ in range(count))
        self._tokens[key] = (asked, ids)
        self.launches.append(ids)
        return ids

    def rehearse(self, spec: LaunchSpec, attempt: Attempt) -> Refusal | None:
        del spec
        return self._refusal(attempt)

    def instances(self, annex_id: AnnexId | None = None) -> list[Instance]:
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

    def _start(self, spec: LaunchSpec, attempt: Attempt) -> InstanceId:
        instance_id = self.stranger(dict(spec.tags))
        machine = self.machines[instance_id]
        machine.instance = replace(
            machine.instance,
            instance_type=attempt.place.instance_type,
            zone=attempt.place.zone,
            client_token=attempt.client_token,
            private_dns_name=f"ip-10-0-0-{len(self.machines)}.ec2.internal",
        )
        return instance_id

    def _refusal(self, attempt: Attempt) -> Refusal | None:
        refusal = self.refusals.get(attempt.place.instance_type)
        if (
            refusal is None
            and self.free.get((attempt.place.instance_type, attempt.place.zone), 1) < 1
        ):
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
