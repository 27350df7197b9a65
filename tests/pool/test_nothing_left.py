"""Whatever ends the supervisor, nothing of the account is left on the machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cloud import PATIENCE, wait_for

from local import keeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cloud import Cloud

pytestmark = pytest.mark.pool

# A supervisor in a process of its own: one host, then it says which process is the host's first.
_SUPERVISOR = """
import sys, threading
from pathlib import Path
from local import host, image, network, state

net = network.Network(Path(sys.argv[1]))
net.up()
layers = image.Images(image.cache_folder(state.folder())).layers("pool")
plan = host.HostPlan("one", "one.pool.example", "192.168.50.20", layers)
one = host.Host(net, plan, net.attach("pool", "192.168.50.20"))
one.boot()
try:
    print(one.pid, flush=True)  # from here on the test may interrupt
    threading.Event().wait()
except KeyboardInterrupt:
    net.close()
"""


@pytest.fixture
def supervisor(
    cloud: Cloud, tmp_path: Path
) -> Iterator[Callable[[], tuple[subprocess.Popen[str], int]]]:
    """Start a supervisor with one host: the process, and the pid of the host's first process."""
    root = Path(__file__).parent.parent.parent

    def start() -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [sys.executable, "-c", _SUPERVISOR, str(tmp_path)],
            cwd=root,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the supervisor did not come up"
        return process, int(line)

    yield start
    keeper.cleanup(tmp_path)


def machine() -> set[tuple[str, str]]:
    """What an account could leave on this machine, as it is seen from outside."""
    folders = {"interface": Path("/sys/class/net"), "named namespace": Path("/run/netns")}
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return {("mount", line) for line in mounts} | {
        (what, path.name)
        for what, folder in folders.items()
        if folder.exists()
        for path in folder.iterdir()
    }


def account_processes(folder: Path) -> list[int]:
    group = keeper.cgroup_root() / keeper.prefix(folder)
    pids: list[int] = []
    for file in group.rglob("cgroup.procs"):
        try:
            pids += [int(pid) for pid in file.read_text().split()]
        except OSError:
            continue
    return pids


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_hosts_die_with_a_killed_supervisor_and_the_rest_is_swept(
    supervisor: Callable[[], tuple[subprocess.Popen[str], int]], tmp_path: Path, number: int
) -> None:
    before = machine()
    process, host = supervisor()
    assert host in account_processes(tmp_path)
    # What others undo meanwhile, such as a mount, is nobody's leftover.
    assert machine() <= before, "an account shows in the machine's own namespaces"
    process.send_signal(number)
    process.wait()
    wait_for(lambda: not account_processes(tmp_path), "the end of every process")
    keeper.cleanup(tmp_path)
    assert not (keeper.cgroup_root() / keeper.prefix(tmp_path)).exists()
    assert not (tmp_path / "hosts" / "one" / "upper").exists()
    assert machine() <= before


def test_an_interrupted_supervisor_leaves_nothing_to_sweep(
    supervisor: Callable[[], tuple[subprocess.Popen[str], int]], tmp_path: Path
) -> None:
    process, _ = supervisor()
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 0
    assert not (keeper.cgroup_root() / keeper.prefix(tmp_path)).exists()


def test_a_killed_account_can_come_up_again_at_once(
    supervisor: Callable[[], tuple[subprocess.Popen[str], int]], tmp_path: Path
) -> None:
    first, _ = supervisor()
    first.kill()
    first.wait()
    keeper.cleanup(tmp_path)
    second, host = supervisor()
    assert host in account_processes(tmp_path)
    second.kill()
    second.wait()


def test_sweeping_one_account_leaves_another_alone(
    supervisor: Callable[[], tuple[subprocess.Popen[str], int]], tmp_path: Path
) -> None:
    process, host = supervisor()
    keeper.cleanup(tmp_path / "other")
    assert host in account_processes(tmp_path)
    process.kill()
    process.wait()


def test_groups_that_another_thread_removes_meanwhile_are_no_error(tmp_path: Path) -> None:
    group = keeper.cgroup_root() / keeper.prefix(tmp_path)
    for number in range(50):
        (group / f"host{number}" / "system.slice").mkdir(parents=True)
    errors: list[BaseException] = []

    def sweep() -> None:
        try:
            keeper.cleanup(tmp_path)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test shows it
            errors.append(error)

    threads = [threading.Thread(target=sweep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert not group.exists()


def test_sweeping_where_nothing_was_is_no_error(tmp_path: Path) -> None:
    keeper.cleanup(tmp_path / "never was")
