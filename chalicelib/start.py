"""Starting and growing: record, configuration, attempt, EC2, outcome, in this order.

A crash after any of these costs at most what the record says, and the same request, sent again,
goes on where the first one stopped.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from . import transitions, views, wire
from .admission import check_caps, check_idle, check_start, units
from .asking import INLINE_BUDGET, RACES_BORNE, Asked
from .delivery import kept_tokens
from .errors import (
    AlreadyThere,
    AnnexEnding,
    AnnexError,
    AwsUnavailable,
    BadRequest,
    Conflict,
    NameTaken,
    NoSuchAnnex,
    NotSetUp,
    Unreadable,
)
from .first_configuration import first_configuration
from .ids import AnnexId, AnnexName
from .launch import Attempt, Launch
from .launching import late_token, next_ask, notes
from .launchspec import SpecMaker
from .model import Annex, AnnexState, RequestRecord
from .record_room import check_room
from .turns import gives_up_at, turn_note
from .why_not import why_not

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from .reconcile import Result
    from .services import Services
    from .settings import Settings
    from .wire import StartRequest


@dataclass(frozen=True)
class Start:
    """Handles `POST /annexes`."""

    services: Services

    def __call__(self, asked: Asked, request: StartRequest) -> wire.StartAnswer:
        """Start or grow; the answer's `pending` says that the sweep goes on.

        Raises any of `errors`; on NoCapacity and its like nothing is left of a new annex, and a
        grown one is as it was.
        """
        deadline = self.services.clock.now() + INLINE_BUDGET
        pool = request.pool
        knocking = self.services.reach.check((pool.collector_host, *pool.access_points))
        if request.dry_run:
            return self._rehearsed(asked, request, knocking.result())
        annex = self._recorded(asked, request)
        annex, undelivered = self._configured(annex, request)
        # Nothing was ever asked of EC2 for an annex without an attempt.
        seen = self.services.machines(annex) if annex.attempts or not annex.state.is_living else []
        result = self.services.reconciler.run(annex, seen, deadline)
        return self._answer(asked, result, (*undelivered, *knocking.result()))

    def _recorded(self, asked: Asked, request: StartRequest) -> Annex:
        """The annex with this request's launch in it, whoever wrote it."""
        for _ in range(RACES_BORNE):
            known = asked.known_to(self.services.ledger)
            if known is not None:
                annex = self.services.ledger.get(known.annex_id)
                if annex is None:
                    raise AnnexEnding(
                        f"Request {asked.request_id} was for an annex that has ended since: "
                        "make a new request.",
                        annex=request.name,
                    )
                return annex
            try:
                return self._record(asked, request)
            except Conflict:
                continue
        raise Conflict(f"Others keep changing annex {request.name}; ask again.", annex=request.name)

    def _record(self, asked: Asked, request: StartRequest) -> Annex:
        ledger = self.services.ledger
        turn = ledger.turn(asked.caller)
        annex = self._planned(asked, request)
        record = RequestRecord(
            asked.caller,
            asked.request_id,
            asked.fingerprint,
            annex.annex_id,
            self.services.clock.now(),
        )
        if annex.version == 0:
            saved = ledger.create(annex, record, turn)
        else:
            saved = ledger.save(annex, record, turn)
        self.services.journal.fact(
            "machines asked for",
            annex_id=saved.annex_id,
            annex=saved.name,
            units=units(request),
            lease_expires_at=saved.lease_expires_at.isoformat(),
        )
        return saved

    def _planned(self, asked: Asked, request: StartRequest) -> Annex:
        """The record as it would be written, after every check there is; nothing is written."""
        settings = self.services.settings()
        check_start(request, settings)
        if request.legacy and not self.services.legacy.is_on():
            raise NotSetUp(
                "Images of condor_annex's own are not allowed in this account: the administrator "
                "runs annex-client setup --legacy."
            )
        now = self.services.clock.now()
        before = self._before(asked, request, now)
        mine, _ = self.services.ledger.annexes(asked.caller)
        annex = before or self._new(asked, request, now)
        lease = _asked_lease(request, now)
        if before is not None and request.idle_seconds is not None:
            ends = max(annex.lease_expires_at, lease or annex.lease_expires_at)
            check_idle(request.idle_seconds, ends - now)
        spec = self._maker(settings).make(
            request,
            annex.annex_id,
            annex.identity,
            annex.config_key,
            max(annex.lease_expires_at, lease or annex.lease_expires_at),
            now,
        )
        launch = Launch(
            request_id=asked.request_id,
            number=1 + max((one.number for one in annex.launches), default=0),
            asked=units(request),
            opened_at=now,
            spec=spec,
            lease_expires_at=lease if before else None,
            idle_seconds=request.idle_seconds if before else None,
        )
        check_room(annex, launch)
        more = spec.machines(launch.asked)
        check_caps(mine, before.annex_id if before else None, more, settings)
        if before is None:
            return replace(annex, launches=(launch,))
        return transitions.with_launch(annex, launch)

    def _before(self, asked: Asked, request: StartRequest, now: datetime) -> Annex | None:
        """The annex to be grown, or None for a new one; every other case is a refusal."""
        name = request.name
        try:
            annex = self.services.ledger.find(AnnexName(name))
        except Unreadable as error:
            raise NameTaken(f"The name {name} is taken.", annex=name) from error
        if annex is not None and annex.state is AnnexState.TERMINATED:
            annex = None
        if annex is None:
            if request.grow:
                raise NoSuchAnnex(f"There is no annex {name} to grow.", annex=name)
            return None
        if annex.caller != asked.caller:
            raise NameTaken(f"The name {name} is taken: choose another.", annex=name)
        if not annex.state.is_living or annex.is_over(now):
            raise AnnexEnding(
                f"Annex {name} is ending; its name is free when its last machine is gone.",
                annex=name,
            )
        if not request.grow:
            raise AlreadyThere(
                f"There is an annex {name} already, with machines: {len(annex.living)}. Ask for "
                f"grow to add {units(request)}.",
                annex=name,
            )
        if annex.written_generation == 0:
            raise AwsUnavailable(
                f"Annex {name} is just being started: ask again in a minute.", annex=name
            )
        return annex

    def _new(self, asked: Asked, request: StartRequest, now: datetime) -> Annex:
        lease = _asked_lease(request, now)
        if lease is None or request.idle_seconds is None:
            raise BadRequest("A new annex needs a duration and an idle time.")
        return Annex(
            annex_id=AnnexId(f"annex-{secrets.token_hex(8)}"),
            name=AnnexName(request.name),
            caller=asked.caller,
            identity=request.identity,
            created_at=now,
            lease_expires_at=lease,
            idle_seconds=request.idle_seconds,
            retire_seconds=request.retire_seconds,
            config_key=f"config/{secrets.token_hex(16)}.json",
        )

    def _configured(self, annex: Annex, request: StartRequest) -> tuple[Annex, tuple[str, ...]]:
        """Put the token where the machines find it; a note if that failed and will be missed."""
        reconciler = self.services.reconciler
        if not annex.state.is_living:
            return annex, ()
        if annex.written_generation == 0:
            configuration = first_configuration(
                annex, request, self.services.settings(), self.services.program()
            )
            if annex.legacy:
                self.services.legacy.write(configuration)
            self.services.configs.write(annex.config_key, configuration)
            annex = reconciler.change(
                annex, lambda a: transitions.configuration_written(a, configuration.generation)
            )
            if annex.state is AnnexState.TERMINATED:
                # The sweep was faster, and has deleted what was not there yet.
                self.services.configs.delete(annex.config_key)
                if annex.legacy:
                    self.services.legacy.delete(annex.annex_id)
        elif annex.written_generation < annex.generation:
            try:
                annex = reconciler.deliver(annex, request.token)
            except AnnexError as error:
                # The launch is recorded and the old token still good: growing goes on.
                self.services.journal.trouble("not delivered", error, annex_id=annex.annex_id)
                return annex, late_token(annex)
        return annex, ()

    def _answer(self, asked: Asked, result: Result, knocked: Sequence[str]) -> wire.StartAnswer:
        annex = result.annex
        launch = annex.launch_of(asked.request_id)
        if launch is None:
            raise Unreadable(
                f"Annex {annex.name} has lost request {asked.request_id}.", annex=annex.name
            )
        if launch.closed and not launch.started:
            raise why_not(annex, launch)
        # A first start needs no look at EC2: the ledger has just heard of every machine.
        seen = [] if len(annex.launches) == 1 else self.services.machines(annex) or []
        troubles = () if launch.closed else tuple(one.message for one in result.failures)
        left = gives_up_at(annex, launch) - self.services.clock.now()
        return wire.StartAnswer(
            annex=views.annex_view(annex, seen),
            asked=launch.asked,
            started=launch.got,
            pending=not launch.closed,
            pending_seconds=0 if launch.closed else max(0, round(left.total_seconds())),
            notes=(
                *launch.spec.notes,
                *turn_note(annex, launch),
                *notes(launch),
                *kept_tokens(annex, seen, launch),
                *troubles,
                *knocked,
            ),
        )

    def _rehearsed(
        self, asked: Asked, request: StartRequest, knocked: Sequence[str]
    ) -> wire.StartAnswer:
        annex = self._planned(asked, request)
        launch = annex.launches[-1]
        ask = next_ask(launch)
        if ask is None:
            raise BadRequest("There is no type and subnet to try.")
        attempt = Attempt(
            f"rehearsal-{secrets.token_hex(8)}",
            ask.place,
            launch.asked,
            self.services.clock.now(),
            market=ask.market,
        )
        refusal = self.services.compute.rehearse(launch.spec, attempt)
        if refusal is not None:
            refused = replace(attempt, settled=True, refusal=refusal)
            raise why_not(annex, replace(launch, attempts=(refused,), closed="dry run"))
        return wire.StartAnswer(
            annex=views.annex_view(annex, []),
            asked=launch.asked,
            started=0,
            pending=False,
            notes=(*launch.spec.notes, *knocked),
        )

    def _maker(self, settings: Settings) -> SpecMaker:
        return SpecMaker(
            self.services.catalog,
            self.services.compose,
            settings,
            self.services.deployment,
        )


def _asked_lease(request: StartRequest, now: datetime) -> datetime | None:
    if request.duration_seconds is None:
        return None
    return now + timedelta(seconds=request.duration_seconds)
