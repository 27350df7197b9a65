"""From the user data to the whole program: it comes with the annex's configuration object.

This module and those that it imports are all that the user data has room for.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from pathlib import Path

from .files import File, write
from .metadata import Metadata, MetadataError
from .parameters import Parameters
from .paths import PROGRAM
from .report import Reporter
from .s3 import S3, S3Error
from .shell import log

# How a zip file begins: once in place, a program is run, not fetched again.
ZIP = b"PK"


def main(arguments: list[str]) -> int:
    """Run the program with `arguments`, once it is there; the dead man's timer bounds the wait."""
    given = Parameters.load()
    metadata = Metadata()
    whole = program(given)
    while not whole.exists():
        try:
            machine = connect(given, metadata)
        except MetadataError as error:
            log(error)
        else:
            if fetched(given, *machine):
                break
        time.sleep(5)
    os.execv(sys.executable, [sys.executable, str(whole), *arguments])  # noqa: S606 - no shell wanted
    return 1


def program(given: Parameters, root: str = "/") -> Path:
    """Where this annex's program is, or will be."""
    return Path(root + PROGRAM.format(given.annex_id))


def connect(given: Parameters, metadata: Metadata, root: str = "/") -> tuple[S3, Reporter]:
    """The annex's bucket, and this machine's report in it; raises `MetadataError`."""
    instance_id = metadata.need("meta-data/instance-id").strip()
    domain = (metadata.get("meta-data/services/domain") or "amazonaws.com").strip()
    s3 = S3(given.bucket, given.region, metadata, domain=domain)
    # The instance role may write this one object of reports/ and no other.
    key = f"reports/{given.role_id}:{instance_id}"
    return s3, Reporter(instance_id, lambda body: s3.put(key, body), root=root)


def fetched(given: Parameters, s3: S3, reporter: Reporter, root: str = "/") -> bool:
    """Put the program in its place; where that cannot be, the report says why."""
    try:
        found = s3.get(given.key)
        content = _program(found.body if found else b"")
        if content:
            write(File(str(program(given)), content), root)
            return True
        problem = "The configuration object holds no program."
    except (S3Error, OSError) as error:
        problem = str(error)
    reporter.say("booting", "It could not get its configuration: " + problem)
    return False


def _program(body: bytes) -> bytes:
    """The program in a configuration object, or nothing."""
    try:
        program = base64.b64decode(json.loads(body)["program"], validate=True)
    except (ValueError, TypeError, KeyError):
        return b""
    return program if program.startswith(ZIP) else b""
