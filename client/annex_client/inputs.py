"""What people type, checked: names, numbers, lists. Pure; each refusal says what would be right."""

from __future__ import annotations

import math
import re

from annex_client.errors import BadInput
from annex_client.wanted import MIB_PER_GIB, Range

# As the wire has them (schema/wire.json); checked here so that nothing is sent in vain.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_IDENTITY = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9._-]+")
_INSTANCE_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
_AMI = re.compile(r"ami-[0-9a-f]{8,17}")
_PRICE = re.compile(r"[0-9]{1,4}(\.[0-9]{1,6})?|\.[0-9]{1,6}")
_NUMBER = r"[0-9]{1,7}(?:\.[0-9]{1,6})?"
_RANGE = re.compile(rf"(?P<least>{_NUMBER})(?P<dots>\.\.(?P<most>{_NUMBER})?)?")
# The metadata service shows tags only under such keys; EC2 fails launches with any other.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-tags-in-IMDS.html
_TAG_KEY = re.compile(r"[A-Za-z0-9+=.,_:@-]{1,128}")

MAX_COUNT = 100_000
MAX_CPUS = 1024
MAX_MEMORY_GIB = 32_768
MIN_SECONDS = 60
MAX_SECONDS = 366 * 86_400
MAX_TYPES = 20
_MAX_RETIRE_SECONDS = 86_400
MAX_OWNERS = 50
MAX_SUBNETS = 20
MAX_SECURITY_GROUPS = 5
MAX_TAGS = 40  # of EC2's 50; the annex's own need the rest

# The tutorial's OSG image of 2017: it does not boot on today's types and knows nothing of leases.
TUTORIAL_IMAGE = "ami-cd5f95b0"


def annex_name(text: str) -> str:
    """An annex's name: exact, never cut or changed."""
    if not _NAME.fullmatch(text):
        raise BadInput(
            f"{text!r} cannot be an annex's name: use 1 to 64 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit."
        )
    return text


def count(text: str, units: str = "machines") -> int:
    """How many machines, or slots."""
    try:
        number = int(text)
    except ValueError:
        raise BadInput(f"{text!r} is not a number of {units}; give a whole number.") from None
    if number < 1:
        raise BadInput(f"{number} {units} cannot be started; ask for at least 1.")
    if number > MAX_COUNT:
        raise BadInput(f"{number} {units} are too many for one annex; the most is {MAX_COUNT}.")
    return number


def cpus(text: str) -> Range:
    """A machine's vCPUs: `4`, `4..` or `4..8`."""
    asked = _range(text, "--cpus", "a number or a range, 4 or 4.. or 4..8")
    for end in asked:
        if end is not None and not end.is_integer():
            raise BadInput(f"--cpus takes whole numbers, not {text!r}.")
    return _within(asked, f"--cpus takes 1 to {MAX_CPUS}, not {text!r}.", 1, MAX_CPUS)


def memory_mib(text: str) -> Range:
    """A machine's memory, given in GiB as `8`, `8..` or `8..32`, and taken as MiB."""
    low, high = _range(text, "--memory", "GiB, a number or a range, 8 or 8.. or 8..32")
    in_mib = low * MIB_PER_GIB, None if high is None else high * MIB_PER_GIB
    words = f"--memory takes 0.001 to {MAX_MEMORY_GIB} GiB, not {text!r}."
    return _within(in_mib, words, 1, MAX_MEMORY_GIB * MIB_PER_GIB)


def price(text: str) -> str:
    """USD per machine or slot and hour, as EC2 takes them."""
    if not _PRICE.fullmatch(text):
        raise BadInput(
            f"{text!r} is not a price; give USD an hour, like 0.05: digits and a dot alone, below"
            " 10000, with six decimals at most."
        )
    if float(text) <= 0:
        raise BadInput(f"Nobody gives a machine away: --max-price {text} would start nothing.")
    return f"0{text}" if text.startswith(".") else text


def seconds_of_hours(text: str, what: str) -> int:
    """Hours, as the tutorial gives them (0.83), as whole seconds: a minute to a year."""
    try:
        hours = float(text)
    except ValueError:
        raise BadInput(f"{what} must be a number of hours like 0.83, not {text!r}.") from None
    if not math.isfinite(hours) or hours <= 0:
        raise BadInput(f"{what} must be a number of hours above 0, not {text}.")
    seconds = round(hours * 3600) if hours * 3600 <= MAX_SECONDS else MAX_SECONDS + 1
    if seconds < MIN_SECONDS:
        raise BadInput(f"{what} of {text} hours is less than a minute; give at least 0.017 hours.")
    if seconds > MAX_SECONDS:
        raise BadInput(f"{what} of {text} hours is more than a year; give at most 8784 hours.")
    return seconds


def hours_of_seconds(seconds: float) -> str:
    """Seconds as the tutorial shows them: '0.83'."""
    return f"{seconds / 3600:.2f}"


def wait_seconds(text: str) -> int:
    """How long to wait."""
    try:
        seconds = int(text)
    except ValueError:
        raise BadInput(f"{text!r} is not a number of seconds to wait.") from None
    if not 1 <= seconds <= MAX_SECONDS:
        raise BadInput(f"Waiting {text} seconds makes no sense; give 1 or more.")
    return seconds


def retire_seconds(text: str) -> int:
    """Minutes at the lease's end in which no job begins, as seconds: up to a day."""
    try:
        seconds = round(float(text) * 60)
    except (ValueError, OverflowError):
        raise BadInput(f"{text!r} is not a number of minutes for --retire.") from None
    if not 0 <= seconds <= _MAX_RETIRE_SECONDS:
        raise BadInput(f"--retire takes 0 to {_MAX_RETIRE_SECONDS // 60} minutes, not {text}.")
    return seconds


def words(text: str) -> list[str]:
    """A list with commas or blanks between, as HTCondor's configuration has them; each once."""
    return [*dict.fromkeys(word for word in re.split(r"[,\s]+", text) if word)]


def owners(text: str, uid_domain: str) -> list[str]:
    """HTCondor users; bare names get the access point's UID_DOMAIN."""
    names = words(text)
    if not names:
        raise BadInput("The list of owners is empty; name at least one, or use --no-owner.")
    full = [name if "@" in name else f"{name}@{uid_domain}" for name in names]
    for name in full:
        if not _IDENTITY.fullmatch(name):
            raise BadInput(f"{name!r} is not an HTCondor user; give names like alice or a@b.c.")
    return _at_most(full, MAX_OWNERS, "owners")


def instance_types(text: str) -> list[str]:
    """EC2 instance types, in the order in which they are tried."""
    types = words(text)
    for name in types:
        if not _INSTANCE_TYPE.fullmatch(name) or len(name) > 32:  # noqa: PLR2004 - the wire's
            raise BadInput(f"{name!r} is not an instance type; m7i.large would be.")
    if not types:
        raise BadInput("The list of instance types is empty; m7i.large would do.")
    return _at_most(types, MAX_TYPES, "instance types")


def ami_id(text: str) -> str:
    """An image's id."""
    if not _AMI.fullmatch(text):
        raise BadInput(f"{text!r} is not an image's id; they look like ami-0123456789abcdef0.")
    return text


def instance_id(text: str) -> str:
    """An EC2 instance's id."""
    if not re.fullmatch(r"i-[0-9a-f]{8,17}", text):
        raise BadInput(f"{text!r} is no instance's id; i-0123456789abcdef0 would be.")
    return text


def email(text: str) -> str:
    """An e-mail address, or nothing."""
    if text and not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise BadInput(f"{text!r} is not an e-mail address.")
    return text


def subnets(text: str) -> list[str]:
    """Subnet ids."""
    return _ids(text, "subnet", MAX_SUBNETS)


def security_groups(text: str) -> list[str]:
    """Security group ids."""
    return _ids(text, "sg", MAX_SECURITY_GROUPS)


def tag(text: str) -> tuple[str, str]:
    """KEY=VALUE, as EC2 and the machine's metadata service take it."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise BadInput(f"{text!r} is not a tag; give KEY=VALUE.")
    return tag_pair(key, value)


def tag_pair(key: str, value: str) -> tuple[str, str]:
    """A tag whose key and value come apart."""
    if key.lower().startswith(("aws:", "htcondor:")):
        raise BadInput(f"The tag {key!r} is not yours to set: aws: and htcondor: are reserved.")
    if not _TAG_KEY.fullmatch(key) or key in (".", "..", "_index"):
        raise BadInput(
            f"EC2 would fail every launch with the tag {key!r}: machines read their tags through "
            "the metadata service, which allows letters, digits and + - = . , _ : @ in keys only."
        )
    if len(value) > 256:  # noqa: PLR2004 - EC2's limit
        raise BadInput(f"The value of tag {key!r} is too long; EC2 takes 256 characters.")
    return key, value


def tags(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """All tags of an annex, each key once."""
    result: dict[str, str] = {}
    for key, value in pairs:
        if key in result:
            raise BadInput(f"The tag {key!r} is given twice.")
        result[key] = value
    if len(result) > MAX_TAGS:
        raise BadInput(f"{len(result)} tags are too many; {MAX_TAGS} is the most.")
    return result


def _range(text: str, flag: str, form: str) -> tuple[float, float | None]:
    """The two ends, the second None where there is no limit."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise BadInput(f"{flag} takes {form}, not {text!r}.")
    low = float(match["least"])
    if not match["dots"]:
        return low, low
    high = float(match["most"]) if match["most"] else None
    if high is not None and high < low:
        raise BadInput(f"{flag} {text} ends before it begins: give the smaller number first.")
    return low, high


def _within(asked: tuple[float, float | None], words: str, least: int, most: int) -> Range:
    low, high = asked
    if low < least or max(low, high or 0) > most:
        raise BadInput(words)
    return Range(round(low), None if high is None else round(high))


def _ids(text: str, kind: str, most: int) -> list[str]:
    names = words(text)
    for name in names:
        if not re.fullmatch(rf"{kind}-[0-9a-f]{{8,17}}", name):
            raise BadInput(f"{name!r} is not an id like {kind}-0123456789abcdef0.")
    if not names:
        raise BadInput(f"The list of {kind}-... ids is empty.")
    return _at_most(names, most, f"{kind}-... ids")


def _at_most(names: list[str], most: int, what: str) -> list[str]:
    if len(names) > most:
        raise BadInput(f"{len(names)} {what} are too many; the most is {most}.")
    return names
