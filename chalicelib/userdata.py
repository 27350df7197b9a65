"""What an instance is given at launch: the dead man's timer, the fetcher, the user's own part.

A gzip'd MIME multipart, as cloud-init reads it. Its parts:

    00-dead-man.sh  a boothook: runs first, at every boot, and asks nothing of the network
    10-annex.sh     unpacks what fetches the machine program, and starts it as a service
    50-user         the user's own part, of whatever kind cloud-init knows

The same parameters and the same user's part give the same bytes, always: a launch that is repeated
must repeat its request to the letter.
"""

from __future__ import annotations

import base64
import gzip
import json
import lzma
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.resources import files

from chalicelib import program, user_part

# Amazon EC2 User Guide, 'Run commands when you launch an EC2 instance with user data input':
# 16 KB in raw form, before it is encoded as base64.
LIMIT_BYTES = 16_384

ANNEX_SCRIPT, DEAD_MAN_SCRIPT = "annex.sh", "dead-man.sh"


class UserDataTooLarge(ValueError):
    """The whole is larger than EC2 takes; the text says by how much the user's part must shrink."""


@dataclass(frozen=True)
class MachineParameters:
    """What the machine program must know before it has its configuration; no secret but `key`.

    `role_id` is the unique id of the instance role (`AROA...`), of which the name of the machine's
    report is made: the metadata service does not tell it.
    """

    annex_name: str
    annex_id: str
    bucket: str
    key: str
    region: str
    role_id: str
    lease_expires_at: datetime
    dead_man_margin_seconds: int
    boot_limit_seconds: int


def compose(parameters: MachineParameters, user: bytes | None) -> bytes:
    """The user data of one launch.

    Raises `UserDataTooLarge`, and `user_part.NotUserData` for a user's part that cloud-init would
    ignore.
    """
    parts = [
        user_part.Part("00-dead-man.sh", "text/cloud-boothook", dead_man_script(parameters)),
        user_part.Part("10-annex.sh", "text/x-shellscript", annex_script(parameters)),
        *(user_part.parts(user) if user else ()),
    ]
    whole = gzip.compress(user_part.multipart(parts), compresslevel=9, mtime=0)
    if len(whole) > LIMIT_BYTES:
        raise UserDataTooLarge(
            f"The user data is {len(whole)} bytes when compressed, and EC2 takes {LIMIT_BYTES}:"
            f" make your own part at least {len(whole) - LIMIT_BYTES} bytes smaller (packed), or"
            " let it fetch what it needs with #include."
        )
    return whole


def dead_man_script(parameters: MachineParameters) -> bytes:
    """The first part: powers off after the lease's end, or if the machine does not join in time."""
    end = int(parameters.lease_expires_at.timestamp()) + parameters.dead_man_margin_seconds
    return _filled(DEAD_MAN_SCRIPT, LEASE=str(end), BOOT=str(parameters.boot_limit_seconds))


def annex_script(parameters: MachineParameters) -> bytes:
    """The second part: what fetches the machine program, its parameters, and its service."""
    given = {
        **asdict(parameters),
        "lease_expires_at": f"{parameters.lease_expires_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    packed = lzma.compress(program.fetcher(), preset=9 | lzma.PRESET_EXTREME)
    return _filled(
        ANNEX_SCRIPT,
        PARAMETERS=json.dumps(given, sort_keys=True),
        PROGRAM=base64.b64encode(packed).decode(),
    )


def _filled(name: str, **values: str) -> bytes:
    text = (files("chalicelib") / "machine" / "boot" / name).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("# ")]
    text = "\n".join(lines) + "\n"
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text.encode()
