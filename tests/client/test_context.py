"""Where the client looks for the user's files."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from annex_client.context import home_folder


def test_roots_folder_follows_home() -> None:
    """Root's files are this client's alone: HTCondor reads none of them."""
    assert home_folder(0, {"HOME": "/elsewhere"}) == Path("/elsewhere")


def test_an_ordinary_users_folder_is_where_htcondor_looks() -> None:
    """Whatever HOME says."""
    user = next(entry for entry in pwd.getpwall() if entry.pw_uid not in (0, os.geteuid()))
    assert home_folder(user.pw_uid, {"HOME": "/elsewhere"}) == Path(user.pw_dir)
