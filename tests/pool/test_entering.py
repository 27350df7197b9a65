"""Commands run on a host as its users would run them, and at the router as AWS would."""

from __future__ import annotations

import os
import pty
import subprocess
from typing import TYPE_CHECKING

import pytest
from cloud import PATIENCE

from local.host import enter_command
from local.interfaces import AWS_ADDRESS
from local.keeper import AccountError

if TYPE_CHECKING:
    from cloud import Cloud

    from local.pool import Pool

pytestmark = pytest.mark.pool


def test_a_user_is_at_home(cloud: Cloud, pool: Pool) -> None:
    script = 'id -un; id -gn; pwd; echo "$HOME $USER $LOGNAME $SHELL"; hostname; echo "$SUDO_USER"'
    done = pool.run("ap", ["sh", "-c", script], user="alice")
    home = "/home/alice alice alice /bin/bash"
    expected = ["alice", "alice", "/home/alice", home, "ap.pool.example", ""]
    assert done.stdout.splitlines() == expected, done.stderr


def test_words_and_exit_status_pass_unchanged(cloud: Cloud, pool: Pool) -> None:
    words = ["two words", "$HOME", "'", "", "-n", "a*"]
    script = ["python3", "-c", "import sys; print(sys.argv[1:]); sys.exit(7)", *words]
    done = pool.run("ap", script, user="bob")
    assert (done.stdout.strip(), done.returncode) == (repr(words), 7)


def test_the_environment_is_clean_but_for_what_is_given(
    cloud: Cloud, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTSIDE", "leaks")
    done = pool.run("ap", ["env"], user="alice", environment={"GIVEN": "a b"})
    lines = done.stdout.splitlines()
    assert "GIVEN=a b" in lines
    assert not any(line.startswith("OUTSIDE") for line in lines)


def test_a_users_files_are_the_users(cloud: Cloud, pool: Pool) -> None:
    assert pool.run("ap", ["cat", "/etc/shadow"], user="alice").returncode != 0
    assert pool.run("ap", ["ls", "/home/bob"], user="alice").returncode != 0
    pool.install_secret("ap", "/etc/condor/passwords.d/other", b"key")
    assert pool.run("ap", ["cat", "/etc/condor/passwords.d/other"], user="alice").returncode != 0


def test_a_terminal_is_passed_on(cloud: Cloud, pool: Pool) -> None:
    master, terminal = pty.openpty()
    ask = 'test -t 0 && read -r answer && echo "got $answer"'
    command = enter_command(cloud.folder, "ap", ["sh", "-c", ask], user="alice")
    process = subprocess.Popen(command, stdin=terminal, stdout=subprocess.PIPE, text=True)
    os.write(master, b"yes\n")
    assert process.communicate(timeout=PATIENCE)[0] == "got yes\n"
    os.close(master)
    os.close(terminal)


def test_unknown_hosts_and_users_are_named(cloud: Cloud, pool: Pool) -> None:
    with pytest.raises(AccountError, match="i-none is not running"):
        enter_command(cloud.folder, "i-none", ["true"])
    with pytest.raises(AccountError, match="no user mallory"):
        enter_command(cloud.folder, "ap", ["true"], user="mallory")


def test_a_function_at_the_router_reaches_the_pool_and_no_instance(
    cloud: Cloud, pool: Pool
) -> None:
    instance = cloud.boot().booted()

    def knock(address: str, port: int, seconds: float) -> bool:
        script = f"</dev/tcp/{address}/{port}"
        limit = ["timeout", f"{seconds}", "bash", "-c", script]
        command = [*cloud.network.command_prefix(), *limit]
        return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0

    assert knock("192.168.50.10", 9618, PATIENCE)
    assert not knock("192.168.50.10", 22, 2)
    assert not knock(instance.spec.private_ip, 80, 2)


def test_a_socket_at_the_router_is_reached_from_instances(cloud: Cloud) -> None:
    instance = cloud.boot().booted()
    with cloud.network.listen(AWS_ADDRESS, 4566) as listening:
        knock = f"timeout {PATIENCE} bash -c '</dev/tcp/{AWS_ADDRESS}/4566'"
        assert instance.run("sh", "-c", knock).returncode == 0
        connection, peer = listening.accept()
        connection.close()
    assert peer[0] == instance.spec.private_ip
