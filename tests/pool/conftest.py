"""One cloud and one pool for all tests of real hosts; a test that cannot have them is skipped."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from cloud import Cloud

from local import keeper
from local.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="session")
def whole_cloud(folder: Path) -> Iterator[Cloud]:
    try:
        made = Cloud(folder)
    except keeper.AccountError as error:
        pytest.skip(str(error))
    yield made
    made.close()


@pytest.fixture
def cloud(whole_cloud: Cloud) -> Iterator[Cloud]:
    """The cloud, for one test, whose instances end with it."""
    yield whole_cloud
    whole_cloud.end_all()


@pytest.fixture(scope="session")
def pool(whole_cloud: Cloud) -> Pool:
    """A pool of quick rounds, to which an administrator has added what an annex needs."""
    made = Pool(whole_cloud.network, whole_cloud.images.layers("pool"), intervals="quick")
    made.up()
    made.install_config(
        "cm",
        "60-annex.config",
        "ALLOW_ADVERTISE_STARTD = $(ALLOW_DAEMON) alice@pool.example\n"
        "ALLOW_ADVERTISE_MASTER = $(ALLOW_DAEMON) alice@pool.example\n",
    )
    made.install_config("ap", "60-annex.config", "SEC_TOKEN_FETCH_ALLOWED_SIGNING_KEYS = annex\n")
    for host in ("cm", "ap"):
        made.install_secret(host, "/etc/condor/passwords.d/annex", b"not so secret here" * 4)
    made.reconfig("cm")
    made.reconfig("ap")
    return made


_EXECUTE_POINT = """\
#!/bin/sh
set -eu
{first}
umask 077
mkdir -p /etc/condor/tokens.d
printf '%s\\n' '{token}' >/etc/condor/tokens.d/annex
umask 022
cat >/etc/condor/config.d/50-annex.config <<'EOF'
CONDOR_HOST = cm.pool.example
use role:Execute
use feature:PartitionableSlot
use security:strong
TRUST_DOMAIN = pool.example
UID_DOMAIN = $(FULL_HOSTNAME)
SEC_DEFAULT_AUTHENTICATION_METHODS = IDTOKENS, FS
ALLOW_READ = *
ALLOW_WRITE = root@$(UID_DOMAIN) condor@$(UID_DOMAIN)
ALLOW_DAEMON = root@$(UID_DOMAIN) condor@$(UID_DOMAIN)
ALLOW_ADMINISTRATOR = root@$(UID_DOMAIN) condor@$(UID_DOMAIN)
CCB_ADDRESS = $(COLLECTOR_HOST)
UPDATE_INTERVAL = 10
RunBenchmarks = False
START = TARGET.Only =?= "{only}"
STARTER_ALLOW_RUNAS_OWNER = False
EOF
rm -f /etc/condor/config.d/00-htcondor-9.0.config
systemctl restart --no-block condor
"""


@pytest.fixture
def execute_point(pool: Pool) -> Callable[..., bytes]:
    """User data that makes an execute point with a token of alice's, for jobs that ask for it."""

    def compose(only: str, first: str = "") -> bytes:
        scopes = ("READ", "ADVERTISE_STARTD", "ADVERTISE_MASTER")
        authz = [word for scope in scopes for word in ("-authz", scope)]
        fetch = ["condor_token_fetch", "-key", "annex", "-lifetime", "3600", *authz]
        fetched = pool.run("ap", fetch, user="alice")
        assert fetched.returncode == 0, fetched.stderr
        text = _EXECUTE_POINT.format(first=first, token=fetched.stdout.strip(), only=only)
        return gzip.compress(text.encode())

    return compose
