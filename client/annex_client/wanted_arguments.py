"""`start`'s arguments for what is wanted, each checked; what makes no sense together is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annex_client import inputs, user_files
from annex_client.errors import BadInput
from annex_client.wanted import Wanted

if TYPE_CHECKING:
    import argparse
    from typing import TextIO

# What a Spot Fleet's own JSON says already; attributes of the parsed command line.
_SAID_IN_THE_FILE = (
    *("instance_type", "cpus", "memory", "max_price", "fallback", "ami_id", "subnet"),
    *("security_group", "key_name", "user_data_file"),
)

SET_AT_THE_START = "--on-rebalance is set when an annex is started: leave it out to add to one."


def wanted(parsed: argparse.Namespace, stdin: TextIO) -> Wanted:
    """Read them, and the Spot Fleet's file if one is named.

    Raises:
        BadInput: something cannot be read, or makes no sense beside something else.
    """
    _refuse_nonsense(parsed)
    count, slots, types = parsed.count, parsed.slots, parsed.instance_type
    file = parsed.spot_fleet_config_file
    return Wanted(
        count=None if count is None else inputs.count(count),
        slots=None if slots is None else inputs.count(slots, "slots"),
        spot=parsed.spot,
        instance_types=() if types is None else tuple(inputs.instance_types(types)),
        cpus=None if parsed.cpus is None else inputs.cpus(parsed.cpus),
        memory_mib=None if parsed.memory is None else inputs.memory_mib(parsed.memory),
        max_price=None if parsed.max_price is None else inputs.price(parsed.max_price),
        fallback=parsed.fallback is not None,
        spot_fleet=None if file is None else user_files.spot_fleet_file(file, stdin),
    )


def _refuse_nonsense(parsed: argparse.Namespace) -> None:
    if parsed.legacy:
        _refuse_for_legacy(parsed)
    if parsed.spot_fleet_config_file is not None:
        _refuse_beside_the_file(parsed)
    if parsed.count is not None and parsed.slots is not None:
        raise BadInput("--count is machines, and --slots is what runs on them: give one of them.")
    if parsed.instance_type is not None and (parsed.cpus, parsed.memory) != (None, None):
        raise BadInput(
            "--instance-type names the types, --cpus and --memory let them be found: give one or"
            " the other."
        )
    for flag, given in (("--max-price", parsed.max_price), ("--fallback", parsed.fallback)):
        if given is not None and not parsed.spot:
            raise BadInput(f"{flag} is for spot machines: add --spot, or leave it out.")
    if parsed.on_rebalance is None:
        return
    if parsed.grow:
        raise BadInput(SET_AT_THE_START)
    if not parsed.spot and parsed.spot_fleet_config_file is None:
        raise BadInput(
            "--on-rebalance is for spot machines, the only ones that EC2 warns of so: add --spot,"
            " or leave it out."
        )


def _refuse_for_legacy(parsed: argparse.Namespace) -> None:
    for name in ("spot", "slots", "cpus", "memory", "spot_fleet_config_file"):
        if getattr(parsed, name):
            raise BadInput(
                f"--{name.replace('_', '-')}: machines of a --legacy image are on-demand machines,"
                " asked for by --count and of types that are named.  Leave it out."
            )


def _refuse_beside_the_file(parsed: argparse.Namespace) -> None:
    if parsed.slots is None or parsed.count is not None:
        raise BadInput(
            "A Spot Fleet counts in slots, the units of WeightedCapacity in its file: give --slots"
            " N, and no --count."
        )
    for name in _SAID_IN_THE_FILE:
        if getattr(parsed, name) is not None:
            raise BadInput(
                f"--{name.replace('_', '-')}: a Spot Fleet's own file says that.  Leave it out, and"
                " change the file if need be."
            )
    if parsed.spot_fleet_config_file == "-" and not (parsed.yes or parsed.dry_run):
        raise BadInput(
            "With the Spot Fleet's file on standard input nobody can answer the question there: add"
            " --yes, or name a file."
        )
