"""`connect_annex`: the tutorial's and condor_annex's own command lines, as they were typed.

What had a meaning has it still; what has none any more is accepted with a sentence; what would do
something else than it says is refused.
"""

from __future__ import annotations

import sys
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from annex_client import inputs
from annex_client.cli import guarded
from annex_client.context import real_context
from annex_client.errors import BadInput
from annex_client.exits import Exit
from annex_client.render import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from annex_client.context import Context
    from annex_client.session import Session

PROGRAM = "connect_annex"
# So that any word makes a request id, and always the same one (uuid5).
_REQUESTS = uuid.UUID("6f0c2a0e-5d0d-4c39-9f5b-3b3f6f6f2f11")
_LATER = "Spot machines come with a later version; use on-demand machines: -count N without {flag}."
_ONE = (
    *("annex-name", "annex", "count", "slots", "duration", "idle", "config-dir", "owner"),
    *("request-id", "aws-region", "aws-user-data", "aws-user-data-file"),
    *("aws-default-user-data", "aws-default-user-data-file", "aws-s3-config-path"),
    *("aws-on-demand-instance-type", "aws-on-demand-ami-id", "aws-on-demand-security-group-ids"),
    *("aws-on-demand-key-name", "aws-on-demand-instance-profile-arn"),
    *("aws-on-demand-lease-function-arn", "aws-spot-fleet-config-file"),
    *("aws-spot-fleet-lease-function-arn", "aws-access-key-file", "aws-secret-key-file"),
    *("aws-ec2-url", "aws-events-url", "aws-lambda-url", "aws-s3-url"),
)
_NONE = (
    *("check-setup", "yes", "no-owner", "aws-on-demand", "aws-spot-fleet", "status"),
    *("classad", "classads", "help", "h", "version"),
)
_SPOT = (
    "aws-spot-fleet",
    "aws-spot-fleet-config-file",
    "aws-spot-fleet-lease-function-arn",
    "slots",
)
_URLS = ("aws-ec2-url", "aws-events-url", "aws-lambda-url", "aws-s3-url")
_NO_MEANING = {
    "aws-s3-config-path": "-aws-s3-config-path has no meaning any more: each annex has a place of"
    " its own.",
    "aws-on-demand-lease-function-arn": "-aws-on-demand-lease-function-arn has no meaning any more:"
    " the deployment's own functions keep the leases.",
}
USAGE = """\
usage: connect_annex -setup | -check-setup | -status [-annex-name NAME] [-classad]
       connect_annex -annex-name NAME -count N [-duration HOURS] [-idle HOURS] [-yes]
           [-tag KEY VALUE] [-config-dir DIR] [-owner A[,B] | -no-owner] [-request-id ID]
           [-aws-region R] [-aws-user-data S | -aws-user-data-file F]
           [-aws-on-demand-instance-type T] [-aws-on-demand-ami-id A]
           [-aws-on-demand-security-group-ids G[,G]] [-aws-on-demand-key-name K]
           [-aws-access-key-file F -aws-secret-key-file F]
       connect_annex -annex-name NAME -duration HOURS            (a new end for the lease)
       connect_annex status [[-annex-name] NAME] | off [-annex-name] NAME [-yes]
These are condor_annex's command lines; annex-client --help shows today's."""


@dataclass
class Words:
    """A command line taken apart; options without their dashes."""

    verb: str = ""  # "status" or "off", condor_annex's subcommands
    values: dict[str, str] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    tags: list[tuple[str, str]] = field(default_factory=list)
    setup: list[str] | None = None

    def text(self, *names: str) -> str | None:
        """The value of the first of these options that was given."""
        return next((self.values[name] for name in names if name in self.values), None)

    def given(self, name: str) -> bool:
        """Whether the option was given, with or without a value."""
        return name in self.values or name in self.flags


def parse(argv: Sequence[str]) -> Words:
    """Take a command line apart.

    Raises:
        BadInput: an option is unknown, or lacks its value.
    """
    words = Words()
    left = list(argv)
    if left and left[0] in ("status", "off"):
        words.verb = left.pop(0)
    while left:
        word = left.pop(0)
        name = word[2:] if word.startswith("--") else word[1:]
        if words.verb and word[:1] not in ("", "-") and "annex-name" not in words.values:
            words.values["annex-name"] = word  # `off NAME`
            continue
        if not word.startswith("-") or not name:
            raise BadInput(f"{word!r} is not understood.  See '{PROGRAM} -help'.")
        if name == "setup":
            words.setup = []
            while left and not left[0].startswith("-"):
                words.setup.append(left.pop(0))
        elif name == "tag":
            words.tags.append(inputs.tag_pair(_value(word, left), _value(word, left)))
        elif name in _ONE:
            words.values[name] = _value(word, left)
        elif name in _NONE:
            words.flags.add(name)  # -no-owner takes no argument with it, as it once did
        else:
            raise BadInput(f"There is no option {word}.  See '{PROGRAM} -help'.")
    return words


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
        for name, sentence in _NO_MEANING.items():
            if words.given(name):
                out.warn(sentence)
        return _dispatch(words, _session(words, context, out))

    return guarded(command, context, out)


def _refuse(words: Words) -> None:
    for flag in _SPOT:
        if words.given(flag):
            raise BadInput(_LATER.format(flag=f"-{flag}"))
    for flag in _URLS:
        if words.given(flag):
            service = {"events": "EVENTBRIDGE"}.get(flag.split("-")[1], flag.split("-")[1].upper())
            raise BadInput(
                f"-{flag} was the way to another AWS endpoint; today set AWS_ENDPOINT_URL or"
                f" AWS_ENDPOINT_URL_{service} in the environment."
            )
    if words.given("owner") and words.given("no-owner"):
        raise BadInput("-owner and -no-owner exclude one another.")


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
    if words.given("count"):
        return _start(name, words, session)
    if words.given("duration"):
        from annex_client.commands import renew  # noqa: PLC0415

        seconds = inputs.seconds_of_hours(words.values["duration"], "The duration")
        return renew.run(session, renew.RenewOptions(name=name, duration_seconds=seconds))
    raise BadInput("Give -count N to start an annex, or -duration HOURS to renew its lease.")


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
    types, groups = (
        words.text("aws-on-demand-instance-type"),
        words.text("aws-on-demand-security-group-ids"),
    )
    ami = words.text("aws-on-demand-ami-id")
    file = words.text("aws-user-data-file")
    if data is None and file is None:
        data = words.text("aws-default-user-data")
        file = words.text("aws-default-user-data-file") if data is None else None
    return start.run(
        session,
        StartOptions(
            name=name,
            count=inputs.count(words.values["count"]),
            duration_seconds=seconds(duration, "The duration") if duration is not None else None,
            idle_seconds=seconds(idle, "The idle time") if idle is not None else None,
            instance_types=tuple(inputs.instance_types(types) if types is not None else ()),
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


def _request_id(text: str) -> str:
    """The user's own request id: a UUID as it is, any other word as the UUID it always makes."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return str(uuid.uuid5(_REQUESTS, text))


def _value(option: str, left: list[str]) -> str:
    """An option's value; what begins with a dash and a letter is an option that came too early."""
    if not left or (left[0].startswith("-") and left[0].strip("-")[:1].isalpha()):
        raise BadInput(f"{option} needs a value.")
    return left.pop(0)


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:], real_context()))
