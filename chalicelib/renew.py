"""Renewing: ledger first, then the configuration object, then the tags.

The ledger's lease is the one that the sweep enforces; from there on any crash is repaired by
`lifecycle.plan`, and only the token needs the same request once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from . import transitions, views, wire
from .admission import check_lease
from .asking import RACES_BORNE, Asked, owned
from .delivery import kept_tokens
from .errors import AnnexEnding, AnnexError, AwsUnavailable, BadRequest, Conflict
from .iso import iso
from .model import InstanceState, RequestRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from .ids import AnnexName, InstanceId
    from .model import Annex, Instance, Report
    from .services import Services
    from .wire import RenewRequest

# The watcher looks for a new generation at least this often and leaves a minute early: with less
# left of the old lease a machine may be on its way out already.
_HEARD_WITHIN = timedelta(seconds=150)
_LEAVING = frozenset({"retiring", "ending"})


@dataclass(frozen=True)
class Renew:
    """Handles `PATCH /annexes/{name}`."""

    services: Services

    def __call__(self, asked: Asked, name: AnnexName, request: RenewRequest) -> wire.RenewAnswer:
        """Move the lease's end. Raises BadRequest, CapExceeded, AnnexEnding, AwsUnavailable."""
        old_end = owned(self.services.ledger, name, asked.caller).lease_expires_at
        annex = self._recorded(asked, name, request)
        failure: AnnexError | None = None
        try:
            annex = self.services.reconciler.deliver(annex, request.token)
        except AnnexError as error:
            # The tags carry the lease, too: they must not wait for the object.
            self.services.journal.trouble("not delivered", error, annex_id=annex.annex_id)
            failure = error
        seen = self.services.compute.instances(annex.annex_id)
        annex = self.services.reconciler.run(annex, seen).annex
        if failure is not None:
            raise AwsUnavailable(
                f"The lease of annex {name} is {iso(annex.lease_expires_at)} now, but its machines "
                f"have not got the new token: repeat the request. ({failure.message})",
                annex=name,
            ) from failure
        reports = self.services.reports.read([one.instance_id for one in seen])
        left = old_end - self.services.clock.now()
        return wire.RenewAnswer(
            annex=views.annex_view(annex, seen, reports),
            unreached=tuple(sorted(_unreached(annex, seen, reports, left))),
            notes=kept_tokens(annex, seen) if annex.lease_expires_at >= old_end else (),
        )

    def _recorded(self, asked: Asked, name: AnnexName, request: RenewRequest) -> Annex:
        ledger = self.services.ledger
        for _ in range(RACES_BORNE):
            known = asked.known_to(ledger)
            annex = ledger.get(known.annex_id) if known else None
            if annex is not None:
                return annex
            annex = owned(ledger, name, asked.caller)
            now = self.services.clock.now()
            expires_at = self._checked(annex, request, now)
            record = RequestRecord(
                asked.caller, asked.request_id, asked.fingerprint, annex.annex_id, now
            )
            try:
                saved = ledger.save(transitions.renewed(annex, expires_at), record)
            except Conflict:
                continue
            self.services.journal.fact(
                "lease renewed", annex_id=saved.annex_id, until=expires_at.isoformat()
            )
            return saved
        raise Conflict(f"Others keep changing annex {name}; ask again.", annex=name)

    def _checked(self, annex: Annex, request: RenewRequest, now: datetime) -> datetime:
        if not annex.state.is_living or annex.is_over(now):
            why = annex.reason or f"its lease ended at {iso(annex.lease_expires_at)}"
            raise AnnexEnding(
                f"Annex {annex.name} cannot be renewed any more: {why}. Start a new one.",
                annex=annex.name,
            )
        if annex.written_generation == 0:
            raise AwsUnavailable(
                f"Annex {annex.name} is just being started: ask again in a minute.",
                annex=annex.name,
            )
        check_lease(request.duration_seconds, self.services.settings())
        expires_at = now + timedelta(seconds=request.duration_seconds)
        if expires_at < annex.lease_expires_at and not request.shorten:
            raise BadRequest(
                f"That would shorten the lease of annex {annex.name}, which lasts until "
                f"{iso(annex.lease_expires_at)}: say that it shall be shortened, or ask for more.",
                annex=annex.name,
            )
        return expires_at


def _unreached(
    annex: Annex,
    seen: Sequence[Instance],
    reports: Mapping[InstanceId, Report],
    left: timedelta,
) -> Iterator[InstanceId]:
    """Machines that may leave at the old lease's end all the same."""
    # A legacy image knows no lease: the sweep alone ends its machines.
    lasting = annex.legacy_machines
    for one in seen:
        if one.state is InstanceState.TERMINATED:
            continue
        report = reports.get(one.instance_id)
        leaving = report is not None and report.phase in _LEAVING
        # A machine that is only pending reads its lease when it boots.
        booted = one.state is not InstanceState.PENDING
        late = left < _HEARD_WITHIN and booted and one.instance_id not in lasting
        going = one.state not in (InstanceState.PENDING, InstanceState.RUNNING)
        if leaving or late or going:
            yield one.instance_id
