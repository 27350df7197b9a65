"""The process that everything with a process in this account hangs on, and the broom.

All hosts run in one PID namespace. Its first process, the keeper, reads from a pipe that the
supervisor holds: when the supervisor ends, in whatever way, the keeper ends, and the kernel kills
the rest. What a kernel does not end by itself are control groups; they carry the account's prefix,
so that `cleanup` finds them, and any process still in them, without a record of any kind.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

HOSTS = "hosts"  # the folder of the hosts, below the state folder
_GONE_SECONDS = 60.0


class AccountError(RuntimeError):
    """This machine cannot hold the account; the message says what is missing and what to do."""


def prefix(state: Path) -> str:
    """The name of everything that an account with this state folder makes on the machine."""
    return "annex-" + hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:8]


def cgroup_root() -> Path:
    """Where the cgroup2 hierarchy is mounted, alone or beside version 1.

    Raises:
        AccountError: there is none, or it cannot be written.
    """
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, filesystem = line.partition(" - ")
        if filesystem.startswith("cgroup2 "):
            root = Path(fields.split()[4])
            if os.access(root / "cgroup.procs", os.W_OK):
                return root
            raise AccountError(
                f"{root} is read-only: systemd needs a control group of its own in each host; "
                "run as root, in a container with --privileged"
            )
    raise AccountError(
        "no cgroup2 hierarchy is mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"
    )


def environment() -> dict[str, str]:
    """This process's environment, with the folders of root's tools, which `su` leaves out."""
    path = os.environ.get("PATH", "/usr/bin:/bin")
    return {**os.environ, "PATH": f"{path}:/usr/sbin:/sbin"}


class Keeper:
    """Owns the PID namespace and the control groups of one account."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.cgroup = cgroup_root() / prefix(state)
        self.pid = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, network_namespace: int) -> None:
        """Start the keeper in a network namespace, which others may then find through its pid."""
        process = subprocess.Popen(
            [
                *self.in_cgroup("keeper"),
                "nsenter",
                f"--net=/proc/self/fd/{network_namespace}",
                "--",
                *("unshare", "--pid", "--fork", "--kill-child=SIGKILL", "--"),
                # /proc is still the machine's: the shell's own entry there is its pid outside.
                *("sh", "-c", 'read -r pid _ </proc/self/stat; echo "$pid"; read -r _ || :'),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(network_namespace,),
            start_new_session=True,
        )
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - for the type checker
        line = process.stdout.readline()
        if not line:
            reason = process.stderr.read().decode(errors="replace").strip()
            raise AccountError(f"no namespaces can be made here: {reason}")
        self.pid = int(line)
        self._process = process

    def in_cgroup(self, name: str) -> list[str]:
        """A command prefix that runs a command in the control group `name` of the account."""
        group = self.cgroup / name
        group.mkdir(parents=True, exist_ok=True)
        return ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(group / "cgroup.procs")]

    def in_pid_namespace(self) -> list[str]:
        """A command prefix that runs a command where it ends with the keeper."""
        return ["nsenter", f"--target={self.pid}", "--pid", "--"]

    def remove_cgroup(self, name: str) -> None:
        """Remove one control group and all below it, ending what is still in it."""
        _sweep_cgroup(self.cgroup / name)

    def close(self) -> None:
        """End every process of the account, hard, and remove its control groups."""
        if self._process is not None:
            assert self._process.stdin is not None  # noqa: S101 - for the type checker
            self._process.stdin.close()
            self._process.wait()
            self._process = None
        _sweep_cgroup(self.cgroup)


def cleanup(state: Path) -> None:
    """Remove whatever an account with this state folder left on the machine; safe to repeat.

    Never call it while a supervisor of the same state folder lives: it ends that one's hosts.
    """
    with contextlib.suppress(AccountError):
        _sweep_cgroup(cgroup_root() / prefix(state))
    for host in (state / HOSTS).glob("*"):
        forget_disk(host)


def forget_disk(host: Path) -> None:
    """Remove the disk of a host that is off; its console log stays."""
    for name in ("merged", "upper", "work", "pid"):
        path = host / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _sweep_cgroup(group: Path) -> None:
    deadline = time.monotonic() + _GONE_SECONDS
    while group.exists():
        for pid in _pids(group):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # os.walk: a folder that vanishes under our hands, swept by another thread, is no error.
        for folder, _, _ in os.walk(group, topdown=False):
            # A group is busy until its last process is really gone: then the next round gets it.
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        if group.exists():
            if time.monotonic() > deadline:
                raise AccountError(f"{group} cannot be emptied: see its cgroup.procs")
            time.sleep(0.02)


def _pids(group: Path) -> list[int]:
    pids = []
    for folder, _, _ in os.walk(group):
        with contextlib.suppress(OSError):
            # 0 stands for a process of another PID namespace's ancestors: not ours to end.
            listed = Path(folder, "cgroup.procs").read_text().split()
            pids += [int(pid) for pid in listed if pid != "0"]
    return pids
