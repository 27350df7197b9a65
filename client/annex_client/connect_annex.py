"""`connect_annex`: the tutorial's and condor_annex's own command lines, as they were typed.

What had a meaning has it still; what has none any more is accepted with a sentence; what would do
something else than it says is refused.
"""

from __future__ import annotations

import sys
import uuid
from typing import TYPE_CHECKING

from annex_client import inputs, user_files
from annex_client.cli import guarded
from annex_client.context import real_context
from annex_client.errors import BadInput
from annex_client.exits import Exit
from annex_client.old_words import PROGRAM, USAGE, Words, parse
from annex_client.render import Output
from annex_client.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from annex_client.context import Context
    from annex_client.session import Session

# So that any word makes a request id, and always the same one (uuid5).
_REQUESTS = uuid.UUID("6f0c2a0e-5d0d-4c39-9f5b-3b3f6f6f2f11")
# Any of them means a Spot Fleet, as of old; what else says about machines is in its own JSON.
_SPOT_FLEET = ("slots", "aws-spot-fleet", "aws-spot-fleet-config-file")
_NOT_FOR_SPOT_FLEET = (
    *("aws-on-demand-instance-type", "aws-on-demand-ami-id"),
    *("aws-on-demand-security-group-ids", "aws-on-demand-key-name"),
    *("aws-on-demand-instance-profile-arn", "aws-user-data", "aws-user-data-file"),
    *("aws-default-user-data", "aws-default-user-data-file"),
)
# All that status and off take; anything else would be said in vain.
_FOR_STATUS_AND_OFF = frozenset(
    {"annex-name", "annex", "status", "classad", "classads", "yes", "aws-region"}
    | {"aws-access-key-file", "aws-secret-key-file", "aws-on-demand", "aws-spot-fleet"}
)
_URLS = ("aws-ec2-url", "aws-events-url", "aws-lambda-url", "aws-s3-url")
_LEASES = "the deployment's own functions keep the leases."
_NO_MEANING = {
    "aws-s3-config-path": "each annex has a place of its own.",
    "aws-on-demand-lease-function-arn": _LEASES,
    "aws-spot-fleet-lease-function-arn": _LEASES,
}


def run(argv: Sequence[str], context: Context) -> int:
    """Carry out one of condor_annex's command lines; returns the exit status."""
    out = Output(context, program=PROGRAM)

    def command() -> Exit:
        words = parse(argv)
        if not argv or words.flags & {"help", "h"}:
            out.say(USAGE)
            return Exit.DONE
        if "version" in words.flags:
            from annex_client import __version__  # noqa: PLC0415 - only here

            out.say(f"{PROGRAM} {__version__}")
            return Exit.DONE
        _refuse(words)
        for name, why in _NO_MEANING.items():
            if words.given(name):
                out.warn(f"-{name} has no meaning any more: {why}")
        return _dispatch(words, _session(words, context, out))

    return guarded(command, context, out)


def _refuse(words: Words) -> None:
    if _is_spot_fleet(words):
        _refuse_beside_a_spot_fleet(words)
    for flag in _URLS:
        if words.given(flag):
            service = {"events": "EVENTBRIDGE"}.get(flag.split("-")[1], flag.split("-")[1].upper())
            raise BadInput(
                f"-{flag} was the way to another AWS endpoint; today set AWS_ENDPOINT_URL or"
                f" AWS_ENDPOINT_URL_{service} in the environment."
            )
    if words.verb or words.given("status"):
        said = [*words.values, *words.flags, *(["tag"] if words.tags else [])]
        odd = sorted({*said} - _FOR_STATUS_AND_OFF - {*_NO_MEANING})
        if odd:
            raise BadInput(
                f"-{odd[0]} has no meaning with {words.verb or '-status'}, which is about an annex"
                " as it is: leave it out."
            )
    if words.given("owner") and words.given("no-owner"):
        raise BadInput("-owner and -no-owner exclude one another.")


def _is_spot_fleet(words: Words) -> bool:
    return any(words.given(flag) for flag in _SPOT_FLEET)


def _refuse_beside_a_spot_fleet(words: Words) -> None:
    if words.given("count"):
        raise BadInput("-count is for on-demand machines; for a Spot Fleet give -slots N instead.")
    if words.given("aws-on-demand"):
        raise BadInput(
            "-aws-on-demand is for on-demand machines, and everything else here for a Spot Fleet:"
            " leave it out, or give -count N instead of -slots."
        )
    for flag in _NOT_FOR_SPOT_FLEET:
        if words.given(flag):
            raise BadInput(
                f"-{flag} is not for a Spot Fleet, whose own JSON says that: leave it out, or for"
                " on-demand machines give -count N instead of -slots."
            )
    if words.text("aws-spot-fleet-config-file") == "-" and not words.given("yes"):
        raise BadInput(
            "With the Spot Fleet's JSON on standard input nobody can answer the question there: add"
            " -yes, or name a file."
        )


def _session(words: Words, context: Context, out: Output) -> Session:
    from annex_client.session import Access, Session  # noqa: PLC0415 - `-help` needs none of it

    access, secret = words.text("aws-access-key-file"), words.text("aws-secret-key-file")
    if words.setup and len(words.setup) > 1 and words.setup[0].lower() != "from":
        access, secret = words.setup[:2]
    if (access is None) != (secret is None):
        raise BadInput("-aws-access-key-file and -aws-secret-key-file go together.")
    keys = (access, secret) if access and secret else None
    return Session(context, out, Access(region=words.text("aws-region"), key_files=keys))


def _dispatch(words: Words, session: Session) -> Exit:
    name = words.text("annex-name", "annex")
    if name is not None:
        name = inputs.annex_name(name)
    if words.setup is not None:
        return _setup(words.setup, session)
    if words.given("check-setup"):
        from annex_client.commands import check_setup  # noqa: PLC0415 - one command, one import

        return check_setup.run(session)
    if words.verb == "status" or words.given("status"):
        from annex_client.commands import status  # noqa: PLC0415

        classads = bool(words.flags & {"classad", "classads"})
        return status.run(session, status.StatusOptions(name=name, classads=classads))
    if name is None:
        raise BadInput(f"Give the annex's name: -annex-name NAME.  See '{PROGRAM} -help'.")
    if words.verb == "off":
        from annex_client.commands import stop  # noqa: PLC0415

        return stop.run(session, stop.StopOptions(name=name, yes=words.given("yes")))
    if words.given("count") or words.given("slots"):
        return _start(name, words, session)
    if words.given("duration"):
        from annex_client.commands import renew  # noqa: PLC0415

        seconds = inputs.seconds_of_hours(words.values["duration"], "The duration")
        return renew.run(session, renew.RenewOptions(name=name, duration_seconds=seconds))
    number = "-slots N" if _is_spot_fleet(words) else "-count N"
    raise BadInput(f"Give {number} to start an annex, or -duration HOURS to renew its lease.")


def _setup(arguments: list[str], session: Session) -> Exit:
    """`-setup [KEYFILES [CF-URL]]` and `-setup FROM INSTANCE [CF-URL]`."""
    from annex_client.commands import setup  # noqa: PLC0415

    if arguments and arguments[0].lower() == "from":
        if len(arguments) < 2 or arguments[1].lower() != "instance":  # noqa: PLR2004 - two words
            raise BadInput("-setup FROM INSTANCE it should be.")
    elif len(arguments) == 1:
        raise BadInput("-setup takes two key files: the access key's and the secret key's.")
    if len(arguments) > 2:  # noqa: PLR2004 - the same
        session.out.warn(
            "The CloudFormation URL has no meaning any more: AWS_ENDPOINT_URL_CLOUDFORMATION in the"
            " environment has."
        )
    return setup.run(session, setup.SetupOptions())


def _start(name: str, words: Words, session: Session) -> Exit:
    from annex_client.commands import start  # noqa: PLC0415
    from annex_client.start_request import StartOptions  # noqa: PLC0415

    profile = words.text("aws-on-demand-instance-profile-arn")
    ours = session.context.param("ANNEX_DEFAULT_ODI_INSTANCE_PROFILE_ARN")
    if profile is not None and profile != ours:
        raise BadInput(
            "-aws-on-demand-instance-profile-arn cannot be chosen any more: the machines' rights"
            " are those that 'annex-client setup' gave them.  Leave it out."
        )
    seconds, request_id = inputs.seconds_of_hours, words.text("request-id")
    duration, idle, data = words.text("duration"), words.text("idle"), words.text("aws-user-data")
    groups, ami = words.text("aws-on-demand-security-group-ids"), words.text("aws-on-demand-ami-id")
    file = words.text("aws-user-data-file")
    if data is None and file is None:
        data = words.text("aws-default-user-data")
        file = words.text("aws-default-user-data-file") if data is None else None
    return start.run(
        session,
        StartOptions(
            name=name,
            wanted=_wanted(words, session),
            duration_seconds=seconds(duration, "The duration") if duration is not None else None,
            idle_seconds=seconds(idle, "The idle time") if idle is not None else None,
            ami_id=inputs.ami_id(ami) if ami is not None else None,
            owners=words.text("owner"),
            any_owner=words.given("no-owner"),
            tags=tuple(words.tags),
            config_dir=words.text("config-dir"),
            user_data=data.encode() if data is not None else None,
            user_data_file=file,
            security_groups=tuple(inputs.security_groups(groups) if groups is not None else ()),
            key_name=words.text("aws-on-demand-key-name"),
            grow_if_live=True,
            yes=words.given("yes"),
            request_id=None if request_id is None else _request_id(request_id),
        ),
    )


def _wanted(words: Words, session: Session) -> Wanted:
    types, slots = words.text("aws-on-demand-instance-type"), words.text("slots")
    if slots is None:
        return Wanted(
            count=inputs.count(words.values["count"]),
            instance_types=() if types is None else tuple(inputs.instance_types(types)),
        )
    number = inputs.count(slots, "slots")
    file = words.text("aws-spot-fleet-config-file") or session.settings.spot_fleet_file
    if file is None:
        raise BadInput(
            "A Spot Fleet needs its JSON: -aws-spot-fleet-config-file F.  Without it,"
            " 'annex-client start NAME --spot --slots N' starts spot machines."
        )
    return Wanted(slots=number, spot_fleet=user_files.spot_fleet_file(file, session.context.stdin))


def _request_id(text: str) -> str:
    """The user's own request id: a UUID as it is, any other word as the UUID it always makes."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return str(uuid.uuid5(_REQUESTS, text))


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:], real_context()))
