"""`renew`: a new end for the lease, and fresh tokens that outlive it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from annex_client import admin_key, inputs, pending, tokens
from annex_client.errors import AwsTrouble, ClientError, Interrupted, NotFound, unsure
from annex_client.exits import Exit
from annex_client.render import plural

if TYPE_CHECKING:
    from annex_client.session import Session


@dataclass(frozen=True)
class RenewOptions:
    """The lease shall end `duration_seconds` from now; earlier than it does only with `shorten`."""

    name: str
    duration_seconds: int
    shorten: bool = False


def run(session: Session, options: RenewOptions) -> Exit:
    """Renew the lease and say which machines did not hear of it.

    Raises:
        ClientError: the lease is as it was, or (said so) it is not known whether it is.
    """
    context, name = session.context, options.name
    session.api  # noqa: B018 - credentials and address are checked before the pool is asked
    end = context.clock.now() + timedelta(seconds=options.duration_seconds)
    token = tokens.fetch_for_lease(context, key=session.settings.token_key, lease_end=end)
    body: dict[str, Any] = {
        "duration_seconds": options.duration_seconds,
        "shorten": options.shorten,
        "token": token.text,
        # Of this run only: the first answer to an earlier run would tell of an earlier end.
        "request_id": pending.new_id(context),
    }
    try:
        renewed = session.api.renew(name, body)
    except KeyboardInterrupt:
        raise Interrupted(
            f"Interrupted while {name} was being renewed; 'annex-client status {name}' shows its"
            " lease, and the same command may be given again."
        ) from None
    except NotFound as missing:
        raise NotFound(
            f"There is no annex {name} of yours to renew.  'annex-client status' lists those there"
            " are; 'annex-client start' starts one."
        ).about(missing) from None
    except AwsTrouble as trouble:
        raise unsure(
            trouble,
            f"It is not known whether {name} was renewed: the same command may be given again.",
        ) from None
    except ClientError as error:
        if "shorten" in error.message and not options.shorten:
            error.message += f"  'annex-client renew {name} --duration ... --shorten' does that."
        raise
    key = admin_key.key_of(context, name, make=False)
    if key is not None:
        lifetime = options.duration_seconds + tokens.MARGIN_SECONDS
        admin_key.write_token(context, key, lifetime_seconds=lifetime)
    annex, unreached = renewed.annex, renewed.unreached
    left = round((annex.lease_end - context.clock.now()).total_seconds())
    session.out.say(
        f"Lease updated: {name} ends at {annex.lease_end:%Y-%m-%d %H:%M:%S} UTC,"
        f" {inputs.hours_of_seconds(left)} hours from now."
    )
    if unreached:
        session.out.say(
            f"{plural(len(unreached), 'machine')} did not hear of it and may end as planned"
            f" before: {', '.join(unreached)}."
        )
    for note in renewed.notes:
        session.out.say(note)
    session.out.facts(
        {
            "name": annex.name,
            "annex_id": annex.annex_id,
            "lease_expires_at": annex.lease_expires_at,
            "unreached": [*unreached],
            "notes": [*renewed.notes],
        }
    )
    return Exit.PARTLY if unreached else Exit.DONE
