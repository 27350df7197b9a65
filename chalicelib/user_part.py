"""The user's own user data, taken apart and put together again as parts of a MIME message.

What each kind begins with: cloud-init's documentation, 'User-data formats'.
"""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from email.message import Message

# The longest first, where one begins as another does.
KINDS = {
    b"#!": "text/x-shellscript",
    b"#cloud-config-archive": "text/cloud-config-archive",
    b"#cloud-config": "text/cloud-config",
    b"#cloud-boothook": "text/cloud-boothook",
    b"#include-once": "text/x-include-once-url",
    b"#include": "text/x-include-url",
    b"#part-handler": "text/part-handler",
    b"## template: jinja": "text/jinja2",
}
GZIP = b"\x1f\x8b"
# What a part may unpack to; cloud-init has no use for more, and a hostile one must not fill memory.
UNPACKED_BYTES = 1_000_000
NAME = "50-user"
UNKNOWN_TYPES = {"text/plain", "application/octet-stream"}


class NotUserData(ValueError):
    """Nothing that cloud-init would do anything with; the text says what it does know."""


@dataclass(frozen=True)
class Part:
    """One part of the message: `name` decides the order in which scripts run."""

    name: str
    content_type: str
    content: bytes = field(repr=False)


def parts(user: bytes) -> list[Part]:
    """The user's own part as parts named `50-user...`; raises `NotUserData`.

    A MIME message is taken apart: its parts keep their order and kinds, and get names of ours in
    front of their own, so that none takes the place of the annex's.
    """
    content = _unpacked(user).lstrip(b"\xef\xbb\xbf")
    if _is_message(content):
        found = [
            Part(f"{NAME}-{number:02}-{name}".rstrip("-"), kind, body)
            for number, (name, kind, body) in enumerate(_leaves(content), 1)
        ]
        if not found:
            raise NotUserData("The MIME message given as user data has no parts.")
        return found
    return [Part(NAME, _kind(content), content)]


def multipart(parts: list[Part]) -> bytes:
    """The parts as one MIME message; equal parts make equal messages."""
    digest = hashlib.sha256(b"\0".join(part.content for part in parts)).hexdigest()
    boundary = f"==annex-{digest[:32]}=="
    lines = [
        b"MIME-Version: 1.0",
        f'Content-Type: multipart/mixed; boundary="{boundary}"'.encode(),
    ]
    for part in parts:
        lines += [
            b"",
            f"--{boundary}".encode(),
            f'Content-Type: {part.content_type}; charset="utf-8"'.encode(),
            b"Content-Transfer-Encoding: " + (b"7bit" if _is_plain(part.content) else b"base64"),
            f'Content-Disposition: attachment; filename="{part.name}"'.encode(),
            b"",
            part.content if _is_plain(part.content) else base64.encodebytes(part.content),
        ]
    return b"\n".join([*lines, f"--{boundary}--".encode(), b""])


def _unpacked(data: bytes) -> bytes:
    """What is inside a gzip, and inside that one."""
    while data.startswith(GZIP):
        unpacker = zlib.decompressobj(wbits=31)
        try:
            data = unpacker.decompress(data, UNPACKED_BYTES)
        except zlib.error:
            raise NotUserData("The gzip'd user data is damaged.") from None
        if not unpacker.eof:
            raise NotUserData(
                f"The gzip'd user data is cut off or larger than {UNPACKED_BYTES} bytes unpacked."
            )
    return data


def _is_message(content: bytes) -> bool:
    head = re.split(rb"\r?\n\r?\n", content, maxsplit=1)[0].lower()
    return bool(re.match(rb"[a-z0-9-]+:", head)) and b"content-type: multipart/" in head


def _leaves(content: bytes) -> list[tuple[str, str, bytes]]:
    message = email.message_from_bytes(content, policy=email.policy.compat32)
    return [_leaf(part) for part in message.walk() if part.get_content_maintype() != "multipart"]


def _leaf(part: Message) -> tuple[str, str, bytes]:
    payload = part.get_payload(decode=True)
    body = _unpacked(payload if isinstance(payload, bytes) else b"")
    kind = part.get_content_type()
    if kind in UNKNOWN_TYPES or "gzip" in kind:
        kind = _kind(body)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", part.get_filename() or "")[:60], kind, body


def _kind(content: bytes) -> str:
    for start, kind in KINDS.items():
        if content.startswith(start):
            return kind
    raise NotUserData(
        "The user data is of no kind that cloud-init knows: it must begin with one of "
        + ", ".join(start.decode() for start in KINDS)
        + ", or be a MIME message, as it is or gzip'd."
    )


def _is_plain(content: bytes) -> bool:
    return content.isascii() and b"\0" not in content and b"\r" not in content
