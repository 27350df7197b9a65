"""A real HTCondor pool on two hosts: a central manager and an access point.

Configured as a sane site would have it before anybody spoke of annexes; what annexes need is the
administrator's to add, by `annex-client setup --pool`.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from local.disk import File, put_file
from local.host import Host, HostPlan, enter
from local.interfaces import ACCESS_POINT, CENTRAL_MANAGER
from local.keeper import AccountError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence

    from local.network import Network

Intervals = Literal["stock", "quick"]
PoolHost = Literal["cm", "ap"]

DOMAIN = "pool.example"
_CONFIG = "/etc/condor/config.d"
_HOSTS: dict[PoolHost, tuple[str, str]] = {"cm": CENTRAL_MANAGER, "ap": ACCESS_POINT}
_UP_SECONDS = 300.0

_COMMON = f"""\
CONDOR_HOST = {CENTRAL_MANAGER[0]}
use security:strong
TRUST_DOMAIN = {DOMAIN}
UID_DOMAIN = {DOMAIN}
FILESYSTEM_DOMAIN = {DOMAIN}
SEC_DEFAULT_AUTHENTICATION_METHODS = IDTOKENS, FS
# Anybody may look; what changes something needs a name.
SEC_READ_AUTHENTICATION = OPTIONAL
SEC_READ_ENCRYPTION = OPTIONAL
SEC_READ_INTEGRITY = OPTIONAL
ALLOW_READ = *
ALLOW_WRITE = *@$(UID_DOMAIN)
ALLOW_ADMINISTRATOR = root@$(UID_DOMAIN) condor@$(UID_DOMAIN)
ALLOW_DAEMON = condor@$(UID_DOMAIN)
ALLOW_NEGOTIATOR = condor@$(UID_DOMAIN)
"""

_ROLES: dict[PoolHost, str] = {
    "cm": "use role:CentralManager\n",
    # FS works within one host only: without the rest users could not even run condor_status.
    "ap": """\
use role:Submit
SEC_CLIENT_AUTHENTICATION = OPTIONAL
SEC_CLIENT_ENCRYPTION = OPTIONAL
SEC_CLIENT_INTEGRITY = OPTIONAL
""",
}

# For tests that would otherwise wait for a minute's or five minutes' round.
_QUICK = """\
NEGOTIATOR_INTERVAL = 5
NEGOTIATOR_CYCLE_DELAY = 2
SCHEDD_INTERVAL = 5
SCHEDD_MIN_INTERVAL = 1
UPDATE_INTERVAL = 10
"""

# All that a site opens to the world for annexes, and it is open already.
_FIREWALL = """
table inet firewall {
  chain input {
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state established,related accept
    tcp dport 9618 accept
    counter
  }
}
"""


class Pool:
    """The pool of the account; `up` once, then it lives until the network is closed.

    Args:
        network: up already.
        layers: the root file system `pool` (`Images.layers`), with further layers above it.
        intervals: "stock" leaves HTCondor's own; "quick" makes rounds of seconds, for tests.
    """

    def __init__(
        self, network: Network, layers: tuple[Path, ...], *, intervals: Intervals = "stock"
    ) -> None:
        self._network = network
        self._layers = layers
        self._intervals = intervals
        self._hosts: dict[PoolHost, Host] = {}

    def up(self) -> None:
        """Boot both hosts; returns when the access point's schedd is in the collector.

        Raises:
            AccountError: it did not come within five minutes.
        """
        key = File(secrets.token_bytes(64), 0o600)
        self._boot("cm", {"/etc/condor/passwords.d/POOL": key})
        token = self._token()
        path = f"/etc/condor/tokens.d/condor@{DOMAIN}"
        self._boot("ap", {path: File(token, 0o600)})
        self.install_secret("cm", path, token)
        self.wait()

    def run(
        self,
        host: PoolHost,
        argv: Sequence[str],
        *,
        user: str = "root",
        environment: Mapping[str, str] | None = None,
        stdin: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a host of the pool and collect what it printed."""
        return enter(
            self._network.state, host, argv, user=user, environment=environment, stdin=stdin
        )

    def install_config(self, host: PoolHost, name: str, text: str) -> None:
        """Put a file into /etc/condor/config.d; it counts after `reconfig` or `restart`."""
        self._put(host, f"{_CONFIG}/{name}", File(text.encode()))

    def install_secret(self, host: PoolHost, path: str, content: bytes) -> None:
        """Put a file that root alone may read, such as a signing key, anywhere on a host."""
        self._put(host, path, File(content, 0o600))

    def reconfig(self, host: PoolHost) -> None:
        """Make the running daemons of a host read their configuration again."""
        # By FS, or root would present the pool's token, whose identity is no administrator's.
        self._must(host, ["condor_reconfig"], {"_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "FS"})

    def restart(self, host: PoolHost) -> None:
        """Restart HTCondor on a host; `wait` tells when the pool is whole again."""
        self._must(host, ["systemctl", "restart", "condor"])

    def wait(self) -> None:
        """Wait until the collector answers and knows the access point's schedd.

        Raises:
            AccountError: it does not within five minutes.
        """
        ask = ["condor_status", "-schedd", "-af", "Name"]
        self._until(
            lambda: ACCESS_POINT[0] in self.run("ap", ask).stdout.split(),
            "the access point's schedd is not in the collector after five minutes",
        )

    def close(self) -> None:
        """End both hosts, hard."""
        for host in self._hosts.values():
            host.kill()
        self._hosts.clear()

    def _boot(self, name: PoolHost, secret_files: Mapping[str, File]) -> None:
        hostname, address = _HOSTS[name]
        quick = _QUICK if self._intervals == "quick" else ""
        wire = self._network.attach("pool", address)
        self._network.firewall(wire, _FIREWALL)
        files = {
            # The package's own idea of security; an administrator decides here.
            f"{_CONFIG}/00-htcondor-9.0.config": File(b"# see 10-pool.config\n"),
            f"{_CONFIG}/10-pool.config": File((_COMMON + _ROLES[name] + quick).encode()),
            **secret_files,
        }
        host = Host(self._network, HostPlan(name, hostname, address, self._layers, files), wire)
        host.boot()
        self._hosts[name] = host

    def _token(self) -> bytes:
        """The daemons' token; the pool's key that signs it never leaves the central manager."""
        done = self._must(
            "cm", ["condor_token_create", "-key", "POOL", "-identity", f"condor@{DOMAIN}"]
        )
        return done.stdout.encode()

    def _put(self, host: PoolHost, path: str, file: File) -> None:
        # Through the kernel's door into the host's own mounts.
        put_file(Path(f"/proc/{self._hosts[host].pid}/root"), (), path, file)

    def _must(
        self, host: PoolHost, argv: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = self.run(host, argv, environment=environment)
        if done.returncode != 0:
            raise AccountError(f"{argv[0]} failed on {host}: {done.stderr.strip()}")
        return done

    def _until(self, true: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _UP_SECONDS
        while not true():
            if time.monotonic() > deadline:
                raise AccountError(otherwise)
            time.sleep(0.1)
