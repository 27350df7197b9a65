"""Files of the user's that travel with a request: configuration folder, user data, Spot Fleet."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from annex_client.errors import BadInput

if TYPE_CHECKING:
    from typing import TextIO

MAX_CONFIG_BYTES = 256 * 1024
# The wire takes 24,000 characters of base64. EC2's own limit (16 KB, compressed, with the machine
# program in it) is checked by the control plane, which composes the whole.
MAX_USER_DATA_BYTES = 18_000
# What the wire takes; the console's own files have some 2,000 to 20,000 characters.
MAX_SPOT_FLEET_CHARACTERS = 200_000
_STANDARD_INPUT = "-"
# What HTCondor itself passes over in its configuration folders (LOCAL_CONFIG_DIR_EXCLUDE_REGEXP).
_PASSED_OVER = re.compile(r"(\..*)|(.*~)|(#.*)|(.*\.rpmsave)|(.*\.rpmnew)")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def config_dir(path: str) -> dict[str, str]:
    """Every file of an HTCondor configuration folder: name to text.

    Raises:
        BadInput: it is no folder, holds a folder or something unreadable, or is too large.
    """
    folder = _named(path)
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise BadInput(
            f"The configuration folder {path} cannot be read: {error.strerror}."
        ) from None
    files: dict[str, str] = {}
    total = 0
    for entry in entries:
        if _PASSED_OVER.fullmatch(entry.name):
            continue
        if not _FILE_NAME.fullmatch(entry.name):
            raise BadInput(f"{entry}: use letters, digits, '.', '_' and '-' in file names.")
        if not entry.is_file():
            raise BadInput(f"{entry} is not a plain file; a configuration folder holds files only.")
        data = _read(entry, MAX_CONFIG_BYTES - total + 1)
        total += len(data)
        if total > MAX_CONFIG_BYTES:
            raise BadInput(
                f"The configuration folder {path} is too large: at most {MAX_CONFIG_BYTES // 1024}"
                " KiB can be sent.  Put large files elsewhere and let your jobs fetch them."
            )
        try:
            files[entry.name] = data.decode("utf-8")
        except UnicodeDecodeError:
            raise BadInput(f"{entry} is not text (UTF-8); HTCondor configuration is.") from None
    return files


def user_data_file(path: str) -> str:
    """A user data file as base64."""
    return user_data(_read(_named(path), MAX_USER_DATA_BYTES + 1), path)


def user_data(data: bytes, origin: str = "The user data") -> str:
    """User data as base64, if it can fit.

    Raises:
        BadInput: it is empty or too large.
    """
    if not data:
        raise BadInput(f"{origin} is empty; leave it out if the machines need none.")
    if len(data) > MAX_USER_DATA_BYTES:
        raise BadInput(
            f"{origin} is too large for user data: at most {MAX_USER_DATA_BYTES} bytes fit."
            "  Let it fetch the rest itself."
        )
    return base64.b64encode(data).decode("ascii")


def spot_fleet_file(path: str, stdin: TextIO) -> str:
    """The JSON of a Spot Fleet request, as it is; '-' is standard input.

    What it means is the control plane's to judge. Messages never quote it: user data is in it.

    Raises:
        BadInput: it cannot be read, is too large, or is not a JSON object.
    """
    name, text = path, ""
    try:
        if path == _STANDARD_INPUT:
            name = "The Spot Fleet's JSON on standard input"
            text = stdin.read(MAX_SPOT_FLEET_CHARACTERS + 1)
        else:
            data = _read(_named(path), MAX_SPOT_FLEET_CHARACTERS + 1)
            whole = len(data) <= MAX_SPOT_FLEET_CHARACTERS  # else a character may be cut through
            text = data.decode("utf-8", "strict" if whole else "replace")
    except UnicodeDecodeError:
        raise BadInput(f"{name} is not text (UTF-8), as JSON is.") from None
    if len(text) > MAX_SPOT_FLEET_CHARACTERS:
        raise BadInput(
            f"{name} is too large: a Spot Fleet's JSON may have {MAX_SPOT_FLEET_CHARACTERS}"
            " characters."
        )
    text = text.removeprefix("\ufeff")  # a byte order mark, as some editors write it
    _check_json_object(text, name)
    return text


def _check_json_object(text: str, name: str) -> None:
    if not text.strip():
        raise BadInput(f"{name} is empty; the console's button 'JSON config' makes what is needed.")

    def no_json(word: str) -> NoReturn:
        raise BadInput(f"{name} is not JSON: {word} is no number there.")

    try:
        found = json.loads(text, parse_constant=no_json)
    except json.JSONDecodeError as error:
        raise BadInput(
            f"{name} is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from None
    except (RecursionError, ValueError):
        raise BadInput(f"{name} is not JSON that anything of AWS would make.") from None
    if not isinstance(found, dict):
        raise BadInput(
            f"{name} is no Spot Fleet's JSON: that is an object, {{...}}, as the console's button"
            " 'JSON config' makes it."
        )


def _named(path: str) -> Path:
    """A file or folder that the user has named; nothing at all would mean the current folder."""
    if not path.strip():
        raise BadInput("A file or folder without a name cannot be read: is a variable empty?")
    return Path(path).expanduser()


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from None
