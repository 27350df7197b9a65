"""`python -m local`: an AWS account with an HTCondor pool on this machine.

up [--detach] [--no-hosts]   start it (in the foreground, or wait until it is up)
env                          shell exports: eval "$(python -m local env)"
run [--host H] [--user U] COMMAND...   on the access point (ap), cm or an instance
interrupt INSTANCE [--in SECONDS] [--rebalance]   EC2 takes a spot instance back, with notice
fault --kill before|after SERVICE:ACTION   kill -9 the function that makes this call
status, tick, down           what is up; fire the schedules now; end it and leave nothing
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from local.processes import started_at
from local.state import State, Up, folder

if TYPE_CHECKING:
    from collections.abc import Sequence

_UP_SECONDS = 1200.0  # the root file system is built at the first `up`
_DOWN_SECONDS = 180.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    state = State(folder())
    commands = {
        "up": _up,
        "env": _env,
        "run": _run,
        "down": _down,
        "status": _status,
        "tick": _tick,
        "interrupt": _interrupt,
        "fault": _fault,
    }
    try:
        return commands[options.command](state, options)
    except BrokenPipeError:  # whoever reads this has enough; the interpreter's last flush, too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start the account")
    up.add_argument("--detach", action="store_true", help="return when it is up")
    up.add_argument("--no-hosts", action="store_true", help="AWS alone: no root, no namespaces")
    commands.add_parser("env", help="print shell exports that lead to it")
    run = commands.add_parser("run", help="run a command on one of its hosts")
    run.add_argument("--host", default="ap", help="ap (default), cm or an instance id")
    run.add_argument("--user", help="alice (default on the access point), bob or root")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND...")
    interrupt = commands.add_parser("interrupt", help="let EC2 take a spot instance back")
    interrupt.add_argument("instance", metavar="INSTANCE")
    interrupt.add_argument("--in", dest="seconds", type=float, default=120.0, metavar="SECONDS")
    interrupt.add_argument("--rebalance", action="store_true", help="recommend to leave, no more")
    commands.add_parser("status", help="say what is up")
    commands.add_parser("tick", help="fire every enabled schedule now")
    fault = commands.add_parser("fault", help="kill a function at a call; alone: show what is set")
    fault.add_argument(
        "--kill",
        nargs=2,
        metavar=("before|after", "SERVICE:ACTION"),
        help="kill -9 whichever function makes this call, before or after it takes effect",
    )
    fault.add_argument("--function", default="*", help="of these functions alone (*-sweep)")
    fault.add_argument("--skip", type=int, default=0, help="let so many such calls pass first")
    fault.add_argument("--times", type=int, default=1, help="how often (default: once)")
    fault.add_argument("--clear", action="store_true", help="take every fault away")
    commands.add_parser("down", help="end it and leave nothing behind")
    return parser


def _up(state: State, options: argparse.Namespace) -> int:
    if options.detach:
        return _up_detached(state, hosts=not options.no_hosts)
    from local import supervisor  # noqa: PLC0415 (`env` and `run` are to be quick)

    try:
        supervisor.run(state, hosts=not options.no_hosts, say=_say)
    except supervisor.AlreadyUpError as error:
        _say(f"{error} `python -m local down` ends it.")
        return 1
    except (OSError, RuntimeError) as error:
        _complain(f"The local account could not come up: {error}")
        return 1
    return 0


def _up_detached(state: State, *, hosts: bool) -> int:
    up = state.read()
    if up is not None:
        _say("The local account is already up.")
        return 0
    (state.path / "logs").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "local", "up", *([] if hosts else ["--no-hosts"])]
    output = state.path / "logs" / "up.log"
    with output.open("wb") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    shown = 0
    end = time.monotonic() + _UP_SECONDS
    while time.monotonic() < end:
        done = child.poll() is not None
        text = output.read_text(errors="replace")
        print(text[shown:], end="", flush=True)
        shown = len(text)
        if done:
            return child.returncode or 1
        if state.read() is not None:
            return 0
        time.sleep(0.1)
    child.terminate()
    _complain(f"The local account did not come up within {_UP_SECONDS:.0f} s; see {state.log}.")
    return 1


def _env(state: State, _options: argparse.Namespace) -> int:
    up = _demand(state)
    if up is None:
        return 1
    for name, value in up.exports().items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _run(state: State, options: argparse.Namespace) -> int:
    up = _demand(state)
    if up is None:
        return 1
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not argv:
        _complain("Say which command to run: python -m local run COMMAND...")
        return 2
    if not up.hosts:
        _complain("The local account has no hosts; start it with `python -m local up`.")
        return 1
    from local import joining  # noqa: PLC0415 (the hosts' side)

    user = options.user or ("alice" if options.host == "ap" else "root")
    try:
        command = joining.enter_command(state.path, options.host, argv, user, up)
    except RuntimeError as error:
        _complain(f"{error}")
        return 1
    # Terminal, signals and exit status are the command's own from here on.
    os.execvp(command[0], command)  # noqa: S606 (no shell is wanted)
    raise AssertionError("exec returned")


def _status(state: State, _options: argparse.Namespace) -> int:
    up = state.read()
    if up is None:
        _say(
            "The local account is down." if not state.taken() else "The local account is starting."
        )
        return 1
    _say(f"The local account is up (process {up.pid}).")
    _say(f"AWS          {up.aws_url}")
    _say(f"API Gateway  {up.gateway_url}")
    _say(f"Hosts        {'yes' if up.hosts else 'no'}")
    _say(f"Logs         {state.path / 'logs'}")
    return 0


def _tick(state: State, _options: argparse.Namespace) -> int:
    up = _demand(state)
    if up is None:
        return 1
    fired: list[str] = _press(up, "POST", "tick")
    _say("\n".join(fired) if fired else "There is no enabled schedule.")
    return 0


def _interrupt(state: State, options: argparse.Namespace) -> int:
    up = _demand(state)
    if up is None:
        return 1
    body = {
        "instance_id": options.instance,
        "in": options.seconds,
        "rebalance": options.rebalance,
    }
    try:
        at = _press(up, "POST", "interrupt", body)
    except urllib.error.HTTPError as error:
        _complain(json.load(error)["error"])
        return 1
    told = "is recommended to be left since" if options.rebalance else "will be terminated at"
    _say(f"{options.instance} {told} {at}.")
    return 0


def _fault(state: State, options: argparse.Namespace) -> int:
    up = _demand(state)
    if up is None:
        return 1
    if options.clear:
        _press(up, "DELETE", "faults")
    if options.kill:
        when, call = options.kill
        service, _, action = call.partition(":")
        if when not in ("before", "after") or not action:
            _complain("Say --kill before SERVICE:ACTION, or after: --kill after ec2:RunInstances")
            return 2
        rule = {"kill": True, "after": when == "after", "service": service, "action": action}
        more = {"function": options.function, "skip": options.skip, "times": options.times}
        _press(up, "POST", "faults", {**rule, **more})
    rules = _press(up, "GET", "faults")
    _say("\n".join(_described(rule) for rule in rules) if rules else "No fault is set.")
    return 0


def _described(rule: dict[str, Any]) -> str:
    effect = f"kill {rule['function']}" if rule["kill"] else str(rule["code"])
    when = "after" if rule["after"] else "before"
    often = "always" if rule["times"] is None else f"{rule['struck']} of {rule['times']} done"
    skip = f", {rule['skip']} to pass first" if rule["skip"] else ""
    return f"{effect} {when} {rule['service']}:{rule['action']} ({often}{skip})"


def _down(state: State, _options: argparse.Namespace) -> int:
    if not state.taken():
        from local import supervisor  # noqa: PLC0415 (`env` and `run` are to be quick)

        if state.path.is_dir() and state.take():
            supervisor.clean(state)  # a killed account leaves processes at most
        _say("The local account is down.")
        return 0
    pid = _holder(state)
    if pid is None:
        _complain("Some process holds the local account's lock, but says nothing of itself.")
        return 1
    born = started_at(pid)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + _DOWN_SECONDS
    while started_at(pid) == born and born is not None:
        if time.monotonic() > end:
            _complain(f"Process {pid} does not end; kill it and run `python -m local down` again.")
            return 1
        time.sleep(0.05)
    _say("The local account is down.")
    return 0


def _holder(state: State) -> int | None:
    """The account's process, also while it is still coming up."""
    up = state.read()
    if up is not None:
        return up.pid
    with suppress(OSError, ValueError):
        return int((state.path / "lock").read_text())
    return None


def _press(up: Up, verb: str, button: str, body: Any = None) -> Any:  # noqa: ANN401 (JSON)
    data = None if body is None else json.dumps(body).encode()
    url = f"{up.gateway_url}/_account/{button}"
    request = urllib.request.Request(url, data=data, method=verb)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def _demand(state: State) -> Up | None:
    up = state.read()
    if up is None:
        _complain("The local account is not up; start it with `python -m local up`.")
    return up


def _say(text: str) -> None:
    print(text, flush=True)


def _complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
