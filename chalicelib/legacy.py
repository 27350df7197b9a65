"""What condor_annex's own images fetch at boot: a tarball that is unpacked into config.d.

Such an image knows nothing of leases, reads its configuration when it boots, and finds it by its
own client token and its role's policy (Debian's package condor-annex-ec2). So it hears of no
renewal, and every machine of the deployment's legacy role could read every legacy annex's tarball.
"""

from __future__ import annotations

import base64
import io
import tarfile
from typing import TYPE_CHECKING

from .machine.configure import CONFIG_D, USERS, condor

if TYPE_CHECKING:
    from .machine.configuration import Configuration

# Sorted after the image's own 50ec2.config.
_NAME = "60-annex.config"
# The package's default security, which `use security:strong` must not be mixed with.
_DEFAULTS = "00-htcondor-9.0.config"


def tarball(configuration: Configuration) -> bytes:
    """The files of one annex, as tar.gz. Raises `BadConfiguration`."""
    secret = {"tokens.d/annex": configuration.token.strip().encode() + b"\n"}
    if configuration.admin:
        key = base64.b64decode(configuration.admin.key)
        secret["passwords.d/" + configuration.admin.key_name] = key
    public = {
        _DEFAULTS: b"",
        _NAME: _condor(configuration).encode(),
        **{USERS + name: text.encode() for name, text in configuration.config_files.items()},
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for folder in ("tokens.d", "passwords.d"):
            made = tarfile.TarInfo(folder)
            made.type, made.mode = tarfile.DIRTYPE, 0o700
            archive.addfile(made)
        for name, content in {**public, **secret}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o600 if name in secret else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _condor(configuration: Configuration) -> str:
    lines = [
        # The image knows its instance's id, but not without quotes: hosts' names are unique, too.
        *condor(configuration, "$(HOSTNAME)", {"EC2Lifecycle": '"on-demand"'}),
        # The image asks for its public address, which nothing can reach: CCB needs none.
        "TCP_FORWARDING_HOST =",
        # HTCondor reads files of this folder, and no folders in it.
        f"SEC_TOKEN_SYSTEM_DIRECTORY = {CONFIG_D}tokens.d",
        f"SEC_PASSWORD_DIRECTORY = {CONFIG_D}passwords.d",
        # The image wants ecryptfs for it, and where that is missing no job ever starts. The disk is
        # encrypted anyway.
        "ENCRYPT_EXECUTE_DIRECTORY = False",
        # The image's master follows its startd, and the image its master.
        f"STARTD_NOCLAIM_SHUTDOWN = {configuration.idle_seconds}",
    ]
    return "\n".join(lines) + "\n"
