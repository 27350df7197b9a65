"""condor_annex's own command lines, taken apart: the grammar of `connect_annex`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from annex_client import inputs
from annex_client.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "connect_annex"
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
USAGE = """\
usage: connect_annex -setup | -check-setup | -status [-annex-name NAME] [-classad]
       connect_annex -annex-name NAME -count N [-duration HOURS] [-idle HOURS] [-yes]
           [-tag KEY VALUE] [-config-dir DIR] [-owner A[,B] | -no-owner] [-request-id ID]
           [-aws-region R] [-aws-user-data S | -aws-user-data-file F]
           [-aws-on-demand-instance-type T] [-aws-on-demand-ami-id A]
           [-aws-on-demand-security-group-ids G[,G]] [-aws-on-demand-key-name K]
           [-aws-access-key-file F -aws-secret-key-file F]
       connect_annex -annex-name NAME -slots N -aws-spot-fleet-config-file F   (JSON; '-': standard
           input; else ANNEX_DEFAULT_SFR_CONFIG_FILE)   and -duration to -aws-region as above
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


def _value(option: str, left: list[str]) -> str:
    """An option's value; what begins with a dash and a letter is an option that came too early."""
    if not left or (left[0].startswith("-") and left[0].strip("-")[:1].isalpha()):
        raise BadInput(f"{option} needs a value.")
    return left.pop(0)
