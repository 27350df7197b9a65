"""`python -m local`: up, env, status, tick, down, and what a hard end leaves."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from local.processes import started_at
from local.state import State
from tests.account.support import PATIENCE, ROOT, LocalAccount, eventually, exports, local

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.account


@pytest.fixture
def state(tmp_path: Path) -> object:
    yield tmp_path
    assert local(tmp_path, "down").returncode == 0


def test_a_reader_who_has_enough_is_no_trouble() -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m local status | exec 0<&-"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


def test_it_comes_up_says_so_and_goes_down(state: Path) -> None:
    assert local(state, "status").returncode == 1
    up = local(state, "up", "--detach", "--no-hosts")
    assert up.returncode == 0
    assert "is up" in up.stdout
    again = local(state, "up", "--detach", "--no-hosts")
    assert (again.returncode, again.stdout) == (0, "The local account is already up.\n")
    foreground = local(state, "up", "--no-hosts")
    assert foreground.returncode == 1
    assert "already up" in foreground.stdout
    environment = exports(state)
    identity = LocalAccount(state, environment).client("sts").get_caller_identity()
    assert identity["Arn"] == "arn:aws:iam::123456789012:user/administrator"
    assert environment["AWS_EC2_METADATA_DISABLED"] == "true"
    assert local(state, "tick").stdout == "There is no enabled schedule.\n"
    assert "has no hosts" in local(state, "run", "true").stderr
    pid = json.loads((state / "account.json").read_text())["pid"]
    for _ in range(2):
        down = local(state, "down")
        assert (down.returncode, down.stdout) == (0, "The local account is down.\n")
    assert started_at(pid) is None
    assert not (state / "account.json").exists()


def test_who_looks_whether_it_is_up_does_not_keep_it_from_coming_up(tmp_path: Path) -> None:
    seen = threading.Event()

    def look() -> None:
        while not seen.is_set():
            State(tmp_path).taken()

    with ThreadPoolExecutor(1) as threads:
        looking = threads.submit(look)
        try:
            for _ in range(200):
                state = State(tmp_path)
                assert state.take()
                assert State(tmp_path).taken()
                state._lock.close()  # type: ignore[union-attr]  # as the end of its process does
        finally:
            seen.set()
        looking.result()


def test_without_it_commands_say_what_to_do(state: Path) -> None:
    for command in (["env"], ["run", "true"], ["tick"], ["fault"]):
        answer = local(state, *command)
        assert answer.returncode == 1
        assert answer.stdout == ""
        assert "python -m local up" in answer.stderr


def test_kills_are_set_shown_and_taken_away(state: Path) -> None:
    local(state, "up", "--detach", "--no-hosts")
    assert local(state, "fault").stdout == "No fault is set.\n"
    words = ("--kill", "after", "ec2:RunInstances", "--skip", "1", "--function", "*-sweep")
    told = "kill *-sweep after ec2:RunInstances (0 of 1 done, 1 to pass first)\n"
    assert local(state, "fault", *words).stdout == told
    assert local(state, "fault").stdout == told
    assert local(state, "fault", "--clear").stdout == "No fault is set.\n"
    assert local(state, "fault", "--kill", "during", "ec2:RunInstances").returncode == 2


def test_keys_are_for_their_owner_alone(state: Path) -> None:
    local(state, "up", "--detach", "--no-hosts")
    assert stat.S_IMODE((state / "account.json").stat().st_mode) == 0o600
    secret = exports(state)["AWS_SECRET_ACCESS_KEY"]
    logs = [path.read_text() for path in (state / "logs").rglob("*.log")]
    assert not any(secret in text for text in logs)


def test_killed_hard_it_takes_its_functions_along_and_comes_up_again(
    tmp_path: Path, state: Path
) -> None:
    local(state, "up", "--detach", "--no-hosts")
    account = LocalAccount(state, exports(state))
    zipped = tmp_path / "f.zip"
    import zipfile  # noqa: PLC0415

    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("app.py", "def handler(event, context):\n    return 1\n")
    role = account.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"][
        "Arn"
    ]
    client = account.client("lambda")
    client.create_function(
        FunctionName="f",
        Runtime="python3.13",
        Role=role,
        Timeout=60,
        Handler="app.handler",
        Code={"ZipFile": zipped.read_bytes()},
    )
    client.invoke(FunctionName="f")
    (pid,) = account.press("functions/f", method="GET")
    os.kill(json.loads((state / "account.json").read_text())["pid"], signal.SIGKILL)
    eventually(lambda: started_at(pid) is None)
    assert local(state, "status").returncode == 1
    assert local(state, "up", "--detach", "--no-hosts").returncode == 0
    assert exports(state)["AWS_ACCESS_KEY_ID"] != account.environment["AWS_ACCESS_KEY_ID"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_a_signal_ends_it_in_good_order(state: Path, number: int) -> None:
    command = [sys.executable, "-m", "local", "up", "--no-hosts"]
    environment = {**os.environ, "ANNEX_LOCAL_STATE": str(state)}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        eventually((state / "account.json").exists)
        process.send_signal(number)
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert output.endswith("Ending the local account\n")
    assert not (state / "account.json").exists()
