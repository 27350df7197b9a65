"""`start`: a new annex, or more machines for a live one. Checks come before money flows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from annex_client import admin_key, inputs, pending, tokens, user_files, waiting
from annex_client.errors import (
    AwsTrouble,
    BadInput,
    ClientError,
    Conflict,
    Interrupted,
    NotFound,
    Refused,
)
from annex_client.exits import Exit
from annex_client.render import plural

if TYPE_CHECKING:
    from annex_client.session import Session
    from annex_client.settings import Settings
    from annex_client.views import Annex, Started


@dataclass(frozen=True)
class StartOptions:
    """The command line, checked word by word (`inputs`); None is 'not given'."""

    name: str
    count: int = 1
    duration_seconds: int | None = None
    idle_seconds: int | None = None
    retire_seconds: int | None = None
    instance_types: tuple[str, ...] = ()
    ami_id: str | None = None
    owners: str | None = None
    any_owner: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    config_dir: str | None = None
    user_data_file: str | None = None
    user_data: bytes | None = None
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    key_name: str | None = None
    grow: bool = False  # --grow: a live annex is meant
    grow_if_live: bool = False  # connect_annex: as of old
    yes: bool = False
    dry_run: bool = False
    wait_seconds: int | None = None
    request_id: str | None = None


def run(session: Session, options: StartOptions) -> Exit:
    """Ask, start, and wait if told to.

    Raises:
        ClientError: nothing was started, or (said so) it is not known whether anything was.
    """
    admin_key.forget_expired(session.context)
    body = _checked(session, options)
    facts = session.pool.facts()
    body["pool"] = {"collector_host": facts.collector_host, "access_points": [*facts.access_points]}
    live = _live_annex(session, options)
    if live is None:
        _apply_lease(body, options, session.settings)
    token = _token(session, body, live)
    _apply_identity(body, options, session.settings, token)
    if options.dry_run:
        return _dry_run(session, body, token)
    if not options.yes and not session.out.ask(_question(session, body, live)):
        return _not_started(session, options)
    if token.expires_at and token.expires_at < _needed_until(session, body, live):
        token = _token(session, body, live)  # the answer took its time
    session.out.say("Starting annex...")
    answer = _send(session, body, token, live, options)
    return _told(session, options, answer, live)


def _checked(session: Session, options: StartOptions) -> dict[str, Any]:
    """What can be checked without asking anybody, as the request's body."""
    ami = options.ami_id or session.settings.image_id
    if ami == inputs.TUTORIAL_IMAGE:
        session.out.warn(
            f"{ami} is the tutorial's image of 2017, which no longer works; the default image is"
            " used instead."
        )
        ami = None
    body: dict[str, Any] = {
        "name": options.name,
        "count": options.count,
        "instance_types": [*(options.instance_types or [session.settings.instance_type])],
        "tags": inputs.tags([*options.tags]),
        "grow": options.grow,
    }
    groups = options.security_groups
    if not groups and session.settings.security_groups:
        groups = tuple(inputs.security_groups(session.settings.security_groups))
    optional: dict[str, Any] = {
        "ami_id": inputs.ami_id(ami) if ami else None,
        "duration_seconds": options.duration_seconds,
        "idle_seconds": options.idle_seconds,
        "subnets": [*options.subnets],
        "security_groups": [*groups],
        "key_name": options.key_name or session.settings.key_name,
    }
    if options.config_dir is not None:
        optional["config_files"] = user_files.config_dir(options.config_dir)
    if options.user_data_file is not None:
        optional["user_data"] = user_files.user_data_file(options.user_data_file)
    elif options.user_data is not None:
        optional["user_data"] = user_files.user_data(options.user_data)
    body.update({key: value for key, value in optional.items() if value})
    duration = options.duration_seconds or session.settings.lease_seconds
    if options.idle_seconds and options.idle_seconds > duration and not options.grow:
        raise BadInput(
            f"The idle time ({inputs.hours_of_seconds(options.idle_seconds)} hours) is longer than"
            f" the lease ({inputs.hours_of_seconds(duration)} hours), so it would never count."
            "  Give a longer duration or a shorter idle time."
        )
    return body


def _apply_lease(body: dict[str, Any], options: StartOptions, settings: Settings) -> None:
    """A new annex has a lease; defaults are cut to fit it."""
    duration = options.duration_seconds or settings.lease_seconds
    body["duration_seconds"] = duration
    body["idle_seconds"] = options.idle_seconds or min(settings.idle_seconds, duration)
    if options.retire_seconds is not None:
        body["retire_seconds"] = options.retire_seconds
        if options.retire_seconds >= duration:
            raise BadInput("With so long a --retire no machine would ever take a job; shorten it.")


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
        ) from None
    if annex is None or annex.over:
        if options.grow:
            raise NotFound(
                f"There is no live annex {options.name} to grow.  Leave out --grow to start one."
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


def _apply_identity(
    body: dict[str, Any], options: StartOptions, settings: Settings, token: tokens.Token
) -> None:
    """Whose jobs run there: the token's subject unless others are named."""
    body["identity"] = token.identity
    body["pool"]["trust_domain"] = token.trust_domain
    if options.any_owner:
        body["any_owner"] = True
        return
    domain = token.identity.split("@")[1] if settings.uid_domain == "localhost" else ""
    named = options.owners
    body["owners"] = (
        inputs.owners(named, domain or settings.uid_domain) if named else [token.identity]
    )


def _question(session: Session, body: dict[str, Any], live: Annex | None) -> str:
    """The predecessor's words for a new annex; for a live one what is there, and what is added."""
    number = body["count"]
    if live is not None:
        has = plural(len(live.alive), "machine")
        lease = ""
        if body.get("duration_seconds"):
            hours = inputs.hours_of_seconds(body["duration_seconds"])
            lease = f"  Its lease will end {hours} hours from now."
        session.out.say(f"{live.name} has {has}; add {number} more?{lease}")
        return "Is that OK?"
    kinds = " or ".join(body["instance_types"])
    session.out.say(
        f"Will request {number} {kinds} on-demand {'instance' if number == 1 else 'instances'} for"
        f" {inputs.hours_of_seconds(body['duration_seconds'])} hours.  Each instance will terminate"
        f" after being idle for {inputs.hours_of_seconds(body['idle_seconds'])} hours."
    )
    return "Is that OK?"


def _not_started(session: Session, options: StartOptions) -> Exit:
    session.out.say("Not starting an annex; you did not confirm.")
    if not options.instance_types:
        session.out.say("To change the instance type, use --instance-type.")
    if options.duration_seconds is None:
        session.out.say("To change the lease's duration, use --duration.")
    if options.idle_seconds is None:
        session.out.say("To change how long an instance may be idle, use --idle.")
    session.out.facts({"name": options.name, "started": 0, "confirmed": False})
    return Exit.UNEXPECTED  # as the predecessor: not done, and nothing wrong


def _dry_run(session: Session, body: dict[str, Any], token: tokens.Token) -> Exit:
    import uuid  # noqa: PLC0415 - only here

    request_id = str(uuid.UUID(bytes=session.context.random_bytes(16), version=4))
    answer = session.api.start(
        {**body, "token": token.text, "request_id": request_id, "dry_run": True}
    )
    session.out.say(
        f"Dry run: {plural(answer.asked, 'machine')} would be started for {body['name']}, and the"
        f" lease would end at {answer.annex.lease_expires_at}.  Nothing was started."
    )
    for note in answer.notes:
        session.out.say(note)
    session.out.facts(_facts(answer, dry_run=True))
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
        answer = session.api.start(body)
    except KeyboardInterrupt:
        raise Interrupted(
            f"Interrupted while {body['name']} was being started: it may have been, or not.  The"
            " same command within the hour asks for the answer and starts nothing twice; 'annex-"
            f"client status {body['name']}' shows what there is."
        ) from None
    except AwsTrouble as trouble:
        raise type(trouble)(
            f"{trouble.message}  It is not known whether {body['name']} was started: the same"
            " command within the hour asks for the answer and starts nothing twice.",
            code=trouble.code,
        ) from None
    except ClientError:
        request.answered()
        if key is not None and key.made:
            admin_key.forget(context, body["name"])
        raise
    request.answered()
    return answer


def _told(session: Session, options: StartOptions, answer: Started, live: Annex | None) -> Exit:
    """Say what was started, and wait for it if asked to."""
    out, name = session.out, options.name
    before = 0 if live is None else len(live.alive)
    status = Exit.DONE
    if answer.pending:
        out.say(
            f"Annex accepted.  {answer.started} of {plural(answer.asked, 'machine')} are started;"
            " AWS is asked again each minute, for five minutes at most.  See 'annex-client status"
            f" {name}'."
        )
    elif answer.started < answer.asked:
        status = Exit.PARTLY
        out.say(f"Annex started with {answer.started} of {plural(answer.asked, 'machine')} only.")
    else:
        out.say(
            "Annex started. It will take about three minutes for the new machines to join the pool."
        )
    for note in answer.notes:
        out.say(note)
    if options.wait_seconds is None:
        out.facts(_facts(answer))
        return status
    wanted = before + (answer.asked if answer.pending else answer.started)
    whole = waiting.for_machines(session, answer.annex, wanted, options.wait_seconds)
    out.say(f"{whole.joined} of {plural(wanted, 'machine')} of {name} are in the pool.")
    for machine in whole.machines:
        if not machine.joined:
            out.say(f"{machine.instance.instance_id}: {machine.reason}")
    out.facts({**_facts(answer), "annex": whole.as_json(), "joined": whole.joined})
    return status if whole.joined >= wanted else Exit.PARTLY


def _facts(answer: Started, *, dry_run: bool = False) -> dict[str, Any]:
    annex = answer.annex
    return {
        "name": annex.name,
        "annex_id": annex.annex_id,
        "state": annex.state,
        "lease_expires_at": annex.lease_expires_at,
        "asked": answer.asked,
        "started": answer.started,
        "pending": answer.pending,
        "notes": [*answer.notes],
        "dry_run": dry_run,
        "instances": [instance.instance_id for instance in annex.instances],
    }
