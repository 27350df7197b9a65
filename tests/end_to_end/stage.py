"""The account as the tests' stage: people who type, machines that are looked at, buttons."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from local.host import running_pid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from demo.account import Account

BAKED = "ami-0deb13c0d000a0d64"  # Debian with HTCondor on it
# The router's address in the pool: what the pool sees of machines behind their masquerade.
OUTSIDE = "192.168.50.1"
MANAGER = "192.168.50.10"
LIVING = ("pending", "running")
# Seconds for what a machine, a sweep or HTCondor will do when its turn comes: many times what it
# takes on an idle computer. A slow one is no bug, and whoever is early waits for none of it.
PATIENCE = 400.0
# For what an ordered end frees. Of a machine that just vanishes, slots stay for a quarter of an
# hour and jobs for forty minutes.
AT_ONCE = 120.0
# The words for a start that waits; a command may take longer than that by what else it does.
WAITING = ("--wait", f"{PATIENCE:.0f}")
COMMAND_SECONDS = PATIENCE + 200


def wait_for(true: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """The first true answer; fails the test, saying what was waited for, when none comes."""
    deadline = time.monotonic() + seconds
    while True:
        answer = true()
        if answer:
            return answer
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.5)


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """What `--json` printed."""
        return json.loads(self.out)

    def refused(self, status: int, *sentences: str) -> None:
        """Assert the exit status, and that the sentences are there, in words for people."""
        assert self.status == status, self.out + self.err
        for sentence in sentences:
            assert sentence in " ".join(self.err.split()), self.err


class Running:
    """A command under way, whose output may be looked at."""

    def __init__(self, argv: list[str], folder: Path) -> None:
        self._out, self._err = folder / "out", folder / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=out, stderr=err)

    def printed(self) -> str:
        """Everything so far, standard error too."""
        return self._out.read_text() + self._err.read_text()

    def wait(self, seconds: float = COMMAND_SECONDS) -> Done:
        """Wait for its end."""
        status = self.process.wait(seconds)
        assert self.process.stdin is not None
        self.process.stdin.close()
        return people(Done(status, self._out.read_text(), self._err.read_text()))


def people(done: Done) -> Done:
    """Whatever went wrong, it was said in words."""
    for text in (done.out, done.err):
        assert "Traceback" not in text, text
        assert "Unexpected trouble" not in text, text
    return done


class Stage:
    """One account with its pool, deployed and set up; alice and bob have keys."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.state = account.state

    def note(self, what: str, done: Done) -> None:
        """Keep what was said while the stage was set."""
        (self.state / f"{what}.note").write_text(json.dumps(asdict(done)))

    def noted(self, what: str) -> Done:
        """What was said then."""
        return Done(**json.loads((self.state / f"{what}.note").read_text()))

    # People

    def argv(self, user: str, words: tuple[str, ...], env: Mapping[str, str] | None = None) -> Any:
        host = "cm" if user == "root@cm" else "ap"
        way = [sys.executable, "-m", "local", "run", "--host", host]
        way += ["--user", user.partition("@")[0], "--"]
        return [*way, *(["env", *(f"{k}={v}" for k, v in env.items())] if env else []), *words]

    def run(
        self,
        *words: str,
        user: str = "alice",
        stdin: str = "",
        env: Mapping[str, str] | None = None,
    ) -> Done:
        """Run a command on the access point (`root@cm`: on the central manager)."""
        done = subprocess.run(
            self.argv(user, words, env),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
        return people(Done(done.returncode, done.stdout, done.stderr))

    def annex(
        self,
        *words: str,
        user: str = "alice",
        stdin: str = "",
        env: Mapping[str, str] | None = None,
    ) -> Done:
        """`annex-client`, as an ordinary user types it."""
        return self.run("annex-client", *words, user=user, stdin=stdin, env=env)

    def begin(self, folder: Path, *words: str, user: str = "alice") -> Running:
        """Begin a command that is looked at while it runs."""
        folder.mkdir()
        return Running(self.argv(user, words), folder)

    def interrupt(self, pattern: str) -> None:
        """Ctrl-C for the command on the access point that matches: its process alone hears it."""
        kill = 'kill -INT "$(pgrep -n -u alice -f "$0")"'
        assert self.run("sh", "-c", kill, pattern, user="root").status == 0

    def admin(self, *words: str, timeout: float = 900.0) -> Done:
        """Run a command as the account's administrator, outside of any checkout."""
        env = dict(self.account.admin.env or {})
        done = subprocess.run(
            words,
            cwd=self.state,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        return people(Done(done.returncode, done.stdout, done.stderr))

    # What there is

    def client(self, service: str) -> Any:
        """A boto3 client of the administrator's."""
        return boto3.client(service, **self.account.session())

    def machines(self, annex: str, states: tuple[str, ...] = LIVING) -> list[str]:
        """Ids of an annex's machines, as EC2 has them; of any owner."""
        filters = [
            {"Name": "tag:htcondor:AnnexName", "Values": [annex]},
            {"Name": "instance-state-name", "Values": [*states]},
        ]
        pages = self.client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
        return [
            instance["InstanceId"]
            for page in pages
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
        ]

    def view(self, annex: str, user: str = "alice") -> Any:
        """`status NAME --json`."""
        done = self.annex("status", annex, "--json", user=user)
        assert done.status == 0, done.err
        return done.json()

    def slots(self, annex: str, *attributes: str) -> list[str]:
        """An annex's slots in the collector, a line of attributes each."""
        done = self.run("condor_status", "-annex", annex, "-af", *(attributes or ("Name",)))
        return done.out.splitlines()

    def joined(self, annex: str) -> list[str]:
        """Wait until a slot of the annex is in the collector."""
        found: list[str] = wait_for(lambda: self.slots(annex), f"a slot of {annex}")
        return found

    def events(self, instance_id: str) -> dict[str, str]:
        """What a machine has said of itself: when each phase began last, by phase."""
        s3 = self.client("s3")
        (bucket,) = (
            bucket["Name"]
            for bucket in s3.list_buckets()["Buckets"]
            if bucket["Name"].startswith("htcondor-annex-") and "legacy" not in bucket["Name"]
        )
        for found in s3.list_objects_v2(Bucket=bucket, Prefix="reports/").get("Contents", ()):
            if found["Key"].endswith(f":{instance_id}"):
                report = json.load(s3.get_object(Bucket=bucket, Key=found["Key"])["Body"])
                return {event["phase"]: event["at"] for event in report["events"]}
        return {}

    def on(self, instance_id: str, *words: str) -> Done:
        """Run a command as root on a machine's console."""
        way = [sys.executable, "-m", "local", "run", "--host", instance_id, "--user", "root", "--"]
        done = subprocess.run(
            [*way, *words], capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
        )
        return Done(done.returncode, done.stdout, done.stderr)

    # Buttons, and doors that close

    def press(self, verb: str, button: str, body: Any = None) -> Any:
        """One of the local account's own buttons."""
        url = (self.account.admin.env or {})["AWS_ENDPOINT_URL_EXECUTE_API"]
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{url}/_account/{button}", data=data, method=verb)
        with urllib.request.urlopen(request, timeout=AT_ONCE) as answer:
            return json.load(answer)

    def forget_settings(self) -> None:
        """The function keeps them for half a minute; one that begins anew reads them at once."""
        for pid in self.press("GET", "functions/htcondor-annex-dev"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @contextmanager
    def settings(self, **changes: Any) -> Iterator[None]:
        """Other settings, also such as setup does not allow, for the starts in between."""
        ssm, name = self.client("ssm"), "/htcondor-annex/settings"
        kept = ssm.get_parameter(Name=name)["Parameter"]

        def put(text: str) -> None:
            ssm.put_parameter(Name=name, Value=text, Type=kept["Type"], Overwrite=True)
            self.forget_settings()

        put(json.dumps({**json.loads(kept["Value"]), **changes}))
        try:
            yield
        finally:
            put(kept["Value"])

    @contextmanager
    def options(self, **values: Any) -> Iterator[None]:
        """Change capacity or quota for a while."""
        before = self.press("GET", "options")
        self.press("POST", "options", values)
        try:
            yield
        finally:
            self.press("POST", "options", {name: before[name] for name in values})

    @contextmanager
    def closed(self, hook: str, match: str) -> Iterator[None]:
        """New connections that match are dropped at the access point, as a firewall would."""
        chain = f"inet closed_{hook} it"
        rules = (
            f"add table inet closed_{hook}; add chain {chain} {{ type filter hook {hook} priority"
            f" -10; }}; add rule {chain} {match} tcp dport 9618 ct state new drop"
        )
        self._nft(rules)
        try:
            yield
        finally:
            self._nft(f"delete table inet closed_{hook}")

    def _nft(self, rules: str) -> None:
        pid = running_pid(self.state / "hosts" / "ap")
        command = ["nsenter", f"--target={pid}", "--net", "--", "nft", "-f", "-"]
        subprocess.run(command, input=rules, text=True, check=True, timeout=AT_ONCE)

    # The end

    def end(self, *annexes: str, user: str = "alice") -> None:
        """Stop annexes without waiting."""
        for annex in annexes:
            assert self.annex("stop", annex, "--yes", user=user).status == 0
