"""The local account as the demo's stage: who types where."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

from demo.terminal import Terminal, say

ROOT = Path(__file__).resolve().parent.parent
LOCAL = (sys.executable, "-m", "local")


class Account:
    """The administrator's shell in the checkout, and the ordinary user's on the access point.

    `admin` has the environment of `python -m local env`; `user` is alice on the access point, where
    `annex-client` and HTCondor are installed and AWS is reached as the standard settings say.
    `other` is bob, whom the demo does not need.
    """

    def __init__(self) -> None:
        self.state = Path(os.environ.get("ANNEX_LOCAL_STATE", ROOT / ".local"))
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        # A home of its own: setup writes ~/.condor/user_config, and yours is none of its business.
        home = self.state / "administrator"
        env = {**os.environ, "PATH": path, "HOME": str(home), "PYTHONUNBUFFERED": "1"}
        self.admin = Terminal("administrator$", cwd=str(ROOT), env=env)
        self.user = Terminal("alice@ap$", (*LOCAL, "run"), cwd=str(ROOT), env=env)
        bob = (*LOCAL, "run", "--user", "bob")
        self.other = Terminal("bob@ap$", bob, cwd=str(ROOT), env=env)

    def up(self, *, hosts: bool = True) -> None:
        """Bring the account up and give the administrator its environment."""
        say(f"A local AWS account{', and an HTCondor pool of two hosts' if hosts else ''}")
        self.admin.type(f"python -m local up --detach{'' if hosts else ' --no-hosts'}")
        Path((self.admin.env or {})["HOME"]).mkdir(exist_ok=True)
        self.admin.type('eval "$(python -m local env)"')
        exports = self.admin.quiet('eval "$(python -m local env)"; export -p')
        self.admin.env = {**(self.admin.env or {}), **parse_exports(exports)}

    def down(self) -> None:
        """Take the account down; nothing is left of it."""
        say("The account goes down")
        self.admin.type("python -m local down")

    def session(self) -> dict[str, str]:
        """Return what makes a boto3 client of the administrator's."""
        env = self.admin.env or {}
        return {
            "endpoint_url": env["AWS_ENDPOINT_URL"],
            "region_name": env["AWS_REGION"],
            "aws_access_key_id": env["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"],
        }

    def on(self, host: str) -> Terminal:
        """Root's terminal on a host of the account: cm, ap, or an instance's console."""
        prefix = (*LOCAL, "run", "--host", host, "--user", "root")
        return Terminal(f"root@{host}#", prefix, cwd=self.admin.cwd, env=self.admin.env)


def parse_exports(text: str) -> dict[str, str]:
    """Return the variables of `export -p`, as any POSIX shell prints them."""
    found = {}
    for line in text.splitlines():
        if match := re.match(r"export ([A-Za-z_]\w*)=(.*)$", line):
            words = shlex.split(match[2])
            found[match[1]] = words[0] if words else ""
    return found
