"""AWS credentials: the standard chain, and the tutorial's two key files.

Order: files named on the command line; environment and AWS's own configuration files; the
tutorial's files; instance and container roles, which are last because asking for them takes time.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annex_client.errors import Refused

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials
    from botocore.session import Session

    from annex_client.context import Context
    from annex_client.settings import Settings

_FROM_THE_NETWORK = ("container-role", "iam-role")

MISSING = (
    "No AWS credentials were found.  Put the access key's id into ~/.condor/publicKeyFile and the"
    " secret key into ~/.condor/privateKeyFile (chmod 600 both), or use any of AWS's own ways"
    " (AWS_PROFILE, ~/.aws/credentials, ...)."
)


def session(
    context: Context, settings: Settings, key_files: tuple[str, str] | None = None
) -> tuple[Session, ReadOnlyCredentials]:
    """A botocore session in the settings' region, and the credentials it will sign with.

    Raises:
        Refused: there are no credentials, they cannot be had now, or a key file is not private.
    """
    import botocore.exceptions  # noqa: PLC0415 - slow to import
    import botocore.session  # noqa: PLC0415

    made = botocore.session.Session()
    made.set_config_variable("region", settings.region)
    try:
        keys = _keys(context, settings, key_files, made)
        if keys is not None:
            made.set_credentials(*keys)
        found = made.get_credentials()
        if found is None:
            raise Refused(MISSING, code="NoCredentials")
        return made, found.get_frozen_credentials()
    except botocore.exceptions.BotoCoreError as error:
        raise Refused(f"AWS credentials cannot be had: {error}", code="NoCredentials") from None


def _keys(
    context: Context,
    settings: Settings,
    named: tuple[str, str] | None,
    made: Any,  # noqa: ANN401 - botocore has no types of its own
) -> tuple[str, str] | None:
    if named is not None:
        return _read(Path(named[0]).expanduser()), _read(Path(named[1]).expanduser())
    public = _expand(settings.access_key_file, context) or context.condor_dir / "publicKeyFile"
    private = _expand(settings.secret_key_file, context) or context.condor_dir / "privateKeyFile"
    if not (public.exists() and private.exists()) or _chain_has_some(made):
        return None
    return _read(public), _read(private)


def _chain_has_some(made: Any) -> bool:  # noqa: ANN401
    """Whether the chain finds credentials without asking the network."""
    import botocore.session  # noqa: PLC0415

    local = botocore.session.Session(profile=made.profile)
    resolver = local.get_component("credential_provider")
    for name in _FROM_THE_NETWORK:
        resolver.remove(name)
    return resolver.load_credentials() is not None


def _expand(path: str | None, context: Context) -> Path | None:
    if not path:
        return None
    return context.home / path[2:] if path.startswith("~/") else Path(path)


def _read(path: Path) -> str:
    """One key; refused where others may read it, as ssh does with its keys."""
    try:
        with path.open(encoding="utf-8") as file:
            status = os.fstat(file.fileno())
            if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise Refused(
                    f"{path} can be read by others.  Run 'chmod 600 {path}', and think about"
                    " making a new key, since this one may have been seen.",
                    code="KeyFileNotPrivate",
                )
            text = file.read().strip()
    except OSError as error:
        raise Refused(
            f"The key file {path} cannot be read: {error.strerror}.", code="NoCredentials"
        ) from None
    except UnicodeDecodeError:
        raise Refused(f"The key file {path} is not text.", code="NoCredentials") from None
    if not text or any(character.isspace() for character in text):
        raise Refused(f"{path} should hold one key and nothing else.", code="NoCredentials")
    return text
