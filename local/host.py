"""One host: namespaces around a root file system, with systemd as its first process."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from local.disk import File, put_file
from local.interfaces import ACCESS_POINT, CENTRAL_MANAGER
from local.keeper import HOSTS, AccountError, forget_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from local.network import Network, Wire

_POWER_OFF = signal.SIGRTMIN + 4  # systemd(1): start poweroff.target
_ASK_AGAIN_SECONDS = 2.0  # systemd misses what comes before it listens
_KILL_AGAIN_SECONDS = 0.2  # it may be rebooting, with no process to kill for a moment
# reboot(2): inside a PID namespace, a restart ends its first process by this signal.
_REBOOTED = -signal.SIGHUP
_INIT = Path(__file__).with_name("host-init.sh")


@dataclass(frozen=True)
class HostPlan:
    """What a host is made of."""

    name: str  # its folder below the state folder's hosts/: an instance id, or cm, ap
    hostname: str
    address: str
    layers: tuple[Path, ...]  # root file system, uppermost layer first
    files: Mapping[str, File] = field(default_factory=dict)  # by absolute path inside


class Host:
    """Boots, powers off and ends one host; its disk is new and goes with it."""

    def __init__(self, network: Network, plan: HostPlan, wire: Wire) -> None:
        """Take over the wire: it is detached when the host is gone."""
        self.plan = plan
        self.folder = network.state / HOSTS / plan.name
        self.pid = 0
        self._network = network
        self._wire = wire
        self._gone = threading.Event()
        self._unwanted = False

    @property
    def console_log(self) -> Path:
        """What the host printed on its console, kept after its end."""
        return self.folder / "console.log"

    def boot(self, off: Callable[[], None] = lambda: None) -> None:
        """Boot the host; returns when its first process is systemd, some 0.2 s later.

        `off` is called once from another thread when the host is gone, and everything of it too.

        Raises:
            AccountError: it cannot boot; the wire is detached, `off` is not called.
        """
        forget_disk(self.folder)
        for name in ("upper", "work", "merged"):
            (self.folder / name).mkdir(parents=True)
        for path, file in {**self._identity(), **self.plan.files}.items():
            put_file(self.folder / "upper", self.plan.layers, path, file)
        master, terminal = pty.openpty()
        threading.Thread(
            target=_copy_console, args=(master, self.console_log), daemon=True, name="console"
        ).start()
        process = self._power_on(terminal)
        if process is None:
            self._clean(terminal)
            raise AccountError(f"{self.plan.name} does not boot: see {self.console_log}")
        threading.Thread(
            target=self._watch,
            args=(process, terminal, off),
            daemon=True,
            name=f"host {self.plan.name}",
        ).start()

    def shut_down(self, patience_seconds: float) -> None:
        """Ask the operating system to power off, then end it hard; returns when it is gone."""
        deadline = time.monotonic() + patience_seconds
        while not self._gone.is_set() and time.monotonic() < deadline:
            self._signal(_POWER_OFF)
            self._gone.wait(min(_ASK_AGAIN_SECONDS, max(0.0, deadline - time.monotonic())))
        self.kill()

    def kill(self) -> None:
        """Pull the plug; returns when the host is gone."""
        self._unwanted = True
        while not self._gone.is_set():
            self._signal(signal.SIGKILL)
            self._gone.wait(_KILL_AGAIN_SECONDS)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if not self._gone.is_set() and running_pid(self.folder) == self.pid:
                os.kill(self.pid, number)

    def _identity(self) -> dict[str, File]:
        plan = self.plan
        lines = [
            "127.0.0.1 localhost",
            f"{plan.address} {plan.hostname} {plan.hostname.partition('.')[0]}",
        ]
        for name, address in (CENTRAL_MANAGER, ACCESS_POINT):
            if address != plan.address:
                lines.append(f"{address} {name} {name.partition('.')[0]}")
        return {
            "/etc/hostname": File(f"{plan.hostname}\n".encode()),
            "/etc/hosts": File(("\n".join(lines) + "\n").encode()),
            # Empty on purpose: with a name server out of reach every look-up takes minutes.
            "/etc/resolv.conf": File(b""),
            "/etc/machine-id": File(b""),
            # As new as /usr, so that systemd rebuilds no caches: the image is as it should be.
            "/etc/.updated": File(b""),
            "/var/.updated": File(b""),
        }

    def _start(self, terminal: int, tell: int) -> subprocess.Popen[bytes]:
        keeper, wire = self._network.keeper, self._wire.namespace
        layers = [str(layer) for layer in self.plan.layers]
        command = [
            *keeper.in_cgroup(self.plan.name),
            *("nsenter", f"--target={keeper.pid}", "--pid"),
            *(f"--net=/proc/self/fd/{wire}", "--"),
            *("unshare", "--mount", "--propagation=private", "--pid", "--fork", "--uts", "--ipc"),
            *("--cgroup", "--kill-child=SIGKILL", "--"),
            # bash, as dash knows no descriptor above 9.
            *("bash", "-c", f'exec sh "$0" 9>&{tell} {tell}>&- {wire}>&-', str(_INIT)),
        ]
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LAYERS": ":".join(layers),
            "FQDN": self.plan.hostname,
            "CONSOLE": os.ttyname(terminal),
        }
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
            pass_fds=(wire, tell),
            start_new_session=True,
        )

    def _power_on(self, terminal: int) -> subprocess.Popen[bytes] | None:
        """Start the first process; None if it did not become systemd."""
        reading, writing = os.pipe()
        process = self._start(terminal, writing)
        os.close(writing)
        with open(reading, encoding="ascii") as told:  # noqa: PTH123 - a descriptor
            # No reading to the end: whoever waits for the host holds the other end as well.
            identity, up = told.readline().strip(), told.readline().strip()
        if up != "up":
            process.wait()
            return None
        self.pid = int(identity.split()[0])
        (self.folder / "pid").write_text(identity)
        return process

    def _watch(
        self, process: subprocess.Popen[bytes] | None, terminal: int, off: Callable[[], None]
    ) -> None:
        while process is not None and process.wait() == _REBOOTED and not self._unwanted:
            self._network.keeper.remove_cgroup(self.plan.name)
            process = self._power_on(terminal)
        self._clean(terminal)
        off()

    def _clean(self, terminal: int) -> None:
        os.close(terminal)  # the console's reader ends with the last writer
        self._gone.set()
        self._network.detach(self._wire)
        self._network.keeper.remove_cgroup(self.plan.name)
        forget_disk(self.folder)


def running_pid(folder: Path) -> int | None:
    """The pid, on the machine, of the first process of the host in this folder; None if it is off.

    Compares the time it was started at: pids come round again.
    """
    try:
        pid, started = (folder / "pid").read_text().split()
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(pid) if stat.rpartition(")")[2].split()[19] == started else None


def enter_command(
    state: Path,
    name: str,
    argv: Sequence[str],
    *,
    user: str = "root",
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """The command line that runs `argv` inside a running host, in the user's home.

    Works from any process of root on the machine, not only from the supervisor. Standard streams
    and terminal are the caller's; the exit status is that of `argv`.

    Raises:
        AccountError: no such host is running, or it has no such user.
    """
    pid = running_pid(state / HOSTS / name)
    if pid is None:
        raise AccountError(f"the host {name} is not running")
    home = _home(pid, user)
    if home is None:
        raise AccountError(f"there is no user {user} on the host {name}")
    variables = {
        "HOME": home,
        "USER": user,
        "LOGNAME": user,
        "SHELL": "/bin/bash",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "TERM": os.environ.get("TERM", "dumb"),
        **(environment or {}),
    }
    return [
        *("nsenter", f"--target={pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"),
        *("--root", "--wd", "--"),  # without values: those of the host's first process
        *("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"),
        *("env", "-i", *(f"{key}={value}" for key, value in variables.items())),
        *("sh", "-c", 'cd && exec "$0" "$@"', *argv),
    ]


def enter(
    state: Path,
    name: str,
    argv: Sequence[str],
    *,
    user: str = "root",
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command inside a host and collect what it printed; see `enter_command`."""
    return subprocess.run(
        enter_command(state, name, argv, user=user, environment=environment),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        check=False,
    )


def _home(pid: int, user: str) -> str | None:
    for line in Path(f"/proc/{pid}/root/etc/passwd").read_text().splitlines():
        fields = line.split(":")
        if fields[0] == user:
            return fields[5]
    return None


def _copy_console(master: int, log: Path) -> None:
    with log.open("ab") as sink, contextlib.suppress(OSError):  # EIO: the last writer is gone
        while data := os.read(master, 4096):
            sink.write(data.replace(b"\r\n", b"\n"))
            sink.flush()
    os.close(master)
