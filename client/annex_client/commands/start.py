"""`start`: a new annex, or more machines for a live one. Checks come before money flows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from annex_client import admin_key, pending, start_request, start_words, tokens, waiting
from annex_client.errors import (
    AwsTrouble,
    BadInput,
    ClientError,
    Conflict,
    Interrupted,
    NotFound,
    Refused,
    unsure,
)
from annex_client.exits import Exit
from annex_client.render import plural
from annex_client.wanted_arguments import SET_AT_THE_START

if TYPE_CHECKING:
    from annex_client.session import Session
    from annex_client.start_request import StartOptions
    from annex_client.views import Annex, Started
    from annex_client.wanted import Wanted


def run(session: Session, options: StartOptions) -> Exit:
    """Ask, start, and wait if told to.

    Raises:
        ClientError: nothing was started, or (said so) it is not known whether anything was.
    """
    admin_key.forget_expired(session.context)
    body = start_request.checked(session.out, options, session.settings)
    facts = session.pool.facts()
    body["pool"] = {"collector_host": facts.collector_host, "access_points": [*facts.access_points]}
    live = _live_annex(session, options)
    if live is None:
        start_request.apply_lease(body, options, session.settings)
    token = _token(session, body, live)
    start_request.apply_identity(body, options, session.settings, token)
    if live is not None and not options.grow:
        first = _as_new(session, options, body)
        if pending.unanswered(session.context, "start", body["name"], first):
            # The annex is this command's own: it asks for the lost answer, not for more machines.
            body, live = first, None
            token = _token(session, body, live)
    if live is not None and options.on_rebalance is not None:
        raise BadInput(SET_AT_THE_START)
    if options.dry_run:
        body["grow"] = live is not None
        return _dry_run(session, options, body, token)
    if not options.yes:
        kind = session.settings.instance_type
        session.out.say(start_words.what_will_be(options.wanted, kind, body, live))
        if not session.out.ask("Is that OK?"):
            return _not_started(session, options)
    if token.expires_at and token.expires_at < _needed_until(session, body, live):
        token = _token(session, body, live)  # the answer took its time
    session.out.say("Starting annex...")
    answer = _send(session, body, token, live, options)
    return _told(session, options, answer)


def _live_annex(session: Session, options: StartOptions) -> Annex | None:
    """The annex to grow, if growing is meant."""
    if options.yes and not (options.grow or options.grow_if_live):
        session.api  # noqa: B018 - credentials and address are checked before anything is asked
        return None  # the control plane refuses a taken name itself
    try:
        annex = session.api.find(options.name)
    except Refused as refused:
        if refused.code != "NotOwner":
            raise
        raise Conflict(
            f"The name {options.name} is taken by somebody else's annex; choose another.",
            code="NameTaken",
        ).about(refused) from None
    if annex is None or annex.over:
        if options.grow:
            raise NotFound(
                f"There is no live annex {options.name} to grow.  'annex-client start"
                f" {options.name}', without --grow, starts one."
            )
        return None
    if not annex.live:
        raise Conflict(
            f"The annex {options.name} is ending.  Wait until 'annex-client status {options.name}'"
            " says 'terminated', or choose another name.",
            code="AnnexEnding",
        )
    return annex


def _token(session: Session, body: dict[str, Any], live: Annex | None) -> tokens.Token:
    return tokens.fetch_for_lease(
        session.context,
        key=session.settings.token_key,
        lease_end=_lease_end(session, body, live),
    )


def _as_new(session: Session, options: StartOptions, body: dict[str, Any]) -> dict[str, Any]:
    """The request with which this command would have started the annex that it finds alive."""
    first = {**body, "grow": False}
    start_request.apply_lease(first, options, session.settings)
    return first


def _lease_end(session: Session, body: dict[str, Any], live: Annex | None) -> Any:  # noqa: ANN401
    new_end = None
    if body.get("duration_seconds"):
        new_end = session.context.clock.now() + timedelta(seconds=body["duration_seconds"])
    if live is None:
        return new_end
    return max(live.lease_end, new_end) if new_end else live.lease_end


def _needed_until(session: Session, body: dict[str, Any], live: Annex | None) -> Any:  # noqa: ANN401
    margin = timedelta(seconds=tokens.LEAST_MARGIN_SECONDS)
    return _lease_end(session, body, live) + margin


def _not_started(session: Session, options: StartOptions) -> Exit:
    session.out.say("Not starting an annex; you did not confirm.")
    if options.wanted.types("") == ("",):
        session.out.say("To change the instance type, use --instance-type.")
    if options.duration_seconds is None:
        session.out.say("To change the lease's duration, use --duration.")
    if options.idle_seconds is None:
        session.out.say("To change how long an instance may be idle, use --idle.")
    session.out.facts({"name": options.name, "started": 0, "confirmed": False})
    return Exit.UNEXPECTED  # as the predecessor: not done, and nothing wrong


def _dry_run(
    session: Session, options: StartOptions, body: dict[str, Any], token: tokens.Token
) -> Exit:
    request_id = pending.new_id(session.context)
    answer = session.api.start(
        {**body, "token": token.text, "request_id": request_id, "dry_run": True}
    )
    units = plural(answer.asked, options.wanted.unit)
    session.out.say(
        f"Dry run: {units} would be started for {body['name']}, and the lease"
        f" would end at {answer.annex.lease_expires_at}.  Nothing was started."
    )
    for note in answer.notes:
        session.out.say(note)
    session.out.facts(_facts(answer, options.wanted, dry_run=True))
    return Exit.DONE


def _send(
    session: Session,
    body: dict[str, Any],
    token: tokens.Token,
    live: Annex | None,
    options: StartOptions,
) -> Started:
    """Send the request; the admin key is on disk before, so that no live annex is without."""
    context = session.context
    if live is not None:
        body["grow"] = True
    request = pending.open_request(context, "grow" if body["grow"] else "start", body["name"], body)
    key = admin_key.key_of(context, body["name"], make=live is None)
    try:
        if key is not None:
            end = _needed_until(session, body, live)
            left = round((end - context.clock.now()).total_seconds()) + tokens.MARGIN_SECONDS
            admin_key.write_token(context, key, lifetime_seconds=left)
            body["admin"] = key.wire()
        body["token"] = token.text
        body["request_id"] = options.request_id or request.request_id
        answer = _asked(session, body, live, options)
    except KeyboardInterrupt:
        raise Interrupted(
            f"Interrupted while {body['name']} was being started: it may have been, or not.  The"
            " same command within the hour asks for the answer and starts nothing twice; 'annex-"
            f"client status {body['name']}' shows what there is."
        ) from None
    except AwsTrouble as trouble:
        raise unsure(
            trouble,
            f"It is not known whether {body['name']} was started: the same command within the hour"
            " asks for the answer and starts nothing twice.",
        ) from None
    except ClientError as error:
        # Nothing sent, or refused on the way, says nothing about what an earlier run sent.
        if error.told or not request.repeated:
            request.answered()
            if key is not None and key.made:
                admin_key.forget(context, body["name"])
        if error.code == "AlreadyThere":
            error.message += "  With --grow the machines are added to it."
        raise
    request.answered()
    return answer


def _asked(
    session: Session, body: dict[str, Any], live: Annex | None, options: StartOptions
) -> Started:
    """The control plane's answer.

    A request id of the user's own (`-request-id`) that is given again may be the one with which the
    annex was started, when there was nothing to grow.
    """
    try:
        return session.api.start(body)
    except Conflict as conflict:
        if conflict.code != "RequestMismatch" or options.request_id is None or live is None:
            raise
        return session.api.start(_as_new(session, options, body))


def _told(session: Session, options: StartOptions, answer: Started) -> Exit:
    """Say what was started, and wait for it if asked to."""
    out, wanted = session.out, options.wanted
    status = Exit.DONE
    if not answer.annex.live and not answer.pending:
        # The answer that was lost came so late that the annex is over, or soon will be.
        out.say(start_words.what_ended(wanted, answer))
        status = Exit.CONFLICT
    else:
        out.say(start_words.what_became(wanted, answer))
        if answer.started < answer.asked and not answer.pending:
            status = Exit.PARTLY
    for note in answer.notes:
        out.say(note)
    if options.wait_seconds is None or status is Exit.CONFLICT:
        out.facts(_facts(answer, wanted))
        return status
    goal = waiting.goal(answer, wanted.unit)
    whole = waiting.for_machines(session, answer.annex, goal, options.wait_seconds)
    are = "is" if goal.joined(whole) == 1 else "are"
    out.say(f"{goal.told(whole)} of {options.name} {are} in the pool.")
    for machine in whole.machines:
        if not machine.joined:
            out.say(f"{machine.instance.instance_id}: {machine.reason}")
    facts = {**_facts(answer, wanted), "annex": whole.as_json(), "joined": goal.joined(whole)}
    out.facts(facts)
    return status if whole.units_joined >= goal.number else Exit.PARTLY


def _facts(answer: Started, wanted: Wanted, *, dry_run: bool = False) -> dict[str, Any]:
    annex = answer.annex
    return {
        "name": annex.name,
        "annex_id": annex.annex_id,
        "state": annex.state,
        "lease_expires_at": annex.lease_expires_at,
        "asked": answer.asked,
        "started": answer.started,
        "unit": wanted.unit,
        "pending": answer.pending,
        "notes": [*answer.notes],
        "dry_run": dry_run,
        "instances": [instance.instance_id for instance in annex.instances],
    }
