"""A user's world for tests: home, streams, clock, pool and tools, all handed in."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from annex_client import cli, connect_annex
from annex_client.context import Completed, Context
from annex_client.errors import PoolTrouble
from annex_client.pool import Facts, Slot
from plane import NOW, FakePlane

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from annex_client.remains import Job

API_URL = "https://abc123.execute-api.us-east-1.amazonaws.com/api"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """So it says."""
        return True


class Typed(io.StringIO):
    """Standard input; `interrupt` is Ctrl-C at the first question."""

    interrupt = False

    def readline(self, size: int = -1) -> str:
        """What was typed."""
        if self.interrupt:
            raise KeyboardInterrupt
        return super().readline(size)


@dataclass
class FakeClock:
    """Time passes only by sleeping; `while_asleep` is called at each sleep."""

    moment: datetime = NOW
    while_asleep: Callable[[], None] = lambda: None
    slept: float = 0

    def now(self) -> datetime:
        """See `Clock`."""
        return self.moment

    def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        self.moment += timedelta(seconds=seconds)
        self.slept += seconds
        self.while_asleep()


@dataclass
class FakePool:
    """A pool whose collector may be out of reach."""

    machines: list[Slot] = field(default_factory=list)
    ads: list[Any] = field(default_factory=list)
    unreachable: str = ""
    jobs: list[Job] = field(default_factory=list)
    deaf: bool = False  # invalidations do nothing
    forgotten: list[tuple[str, str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def facts(self) -> Facts:
        """See `Pool`."""
        self._reach()
        return Facts("cm.pool.example:9618", ("ap.pool.example:9618",))

    def slots(self, annex_name: str | None = None) -> list[Slot]:
        """See `Pool`."""
        self._reach()
        return [s for s in self.machines if annex_name in (None, s.annex_name)]

    def execute_ads(self) -> list[Any]:
        """See `Pool`."""
        self._reach()
        return self.ads

    def jobs_on(self, instance_ids: Sequence[str]) -> list[Job]:
        """See `Pool`."""
        self._reach()
        return [job for job in self.jobs if job.instance_id in instance_ids]

    def invalidate(self, annex_id: str, instance_id: str, identity: str, token: str) -> None:
        """See `Pool`."""
        self._reach()
        self.forgotten.append((annex_id, instance_id, identity))
        self.tokens.append(token)
        if not self.deaf:
            self.machines = [s for s in self.machines if s.instance_id != instance_id]

    def _reach(self) -> None:
        if self.unreachable:
            raise PoolTrouble(self.unreachable)


def token(
    expires: datetime | None = None,
    *,
    lifetime: int = 3600,
    key: str = "annex",
    issuer: str = "pool.example",
    subject: str = "alice@pool.example",
    scope: str = "condor:/READ condor:/ADVERTISE_STARTD condor:/ADVERTISE_MASTER",
) -> str:
    """A JWT as the pool makes them (unsigned: nobody here checks)."""
    expiry = expires or NOW + timedelta(seconds=lifetime)
    payload = {"iss": issuer, "sub": subject, "exp": int(expiry.timestamp()), "scope": scope}

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256', 'kid': key})}.{part(payload)}.c2lnbmF0dXJl"


@dataclass
class FakeTools:
    """HTCondor's tools; `answers` replaces what one of them prints."""

    clock: FakeClock
    answers: dict[str, Completed] = field(default_factory=dict)
    calls: list[tuple[str, ...]] = field(default_factory=list)
    environs: list[dict[str, str]] = field(default_factory=list)
    token_options: dict[str, Any] = field(default_factory=dict)
    history: str = ""
    on_removal: Callable[[], None] = lambda: None

    def __call__(
        self,
        argv: Sequence[str],
        *,
        extra_environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float | None = None,
    ) -> Completed:
        """See `Runner`."""
        self.calls.append(tuple(argv))
        self.environs.append(dict(extra_environ or {}))
        if argv[0] == "condor_rm":
            self.on_removal()
        if argv[0] in self.answers:
            return self.answers[argv[0]]
        if argv[0] == "condor_token_fetch":
            lifetime = int(argv[argv.index("-lifetime") + 1])
            end = self.clock.now() + timedelta(seconds=lifetime)
            return Completed(0, token(**{"expires": end, **self.token_options}) + "\n", "")
        if argv[0] == "condor_token_create":
            lifetime = int(argv[argv.index("-lifetime") + 1])
            identity, key = argv[argv.index("-identity") + 1], argv[argv.index("-key") + 1]
            end = self.clock.now() + timedelta(seconds=lifetime)
            return Completed(0, token(end, key=key, subject=identity, scope="") + "\n", "")
        if argv[0] == "condor_history":
            return Completed(0, self.history, "")
        return Completed(127, "", f"{argv[0]}: no such program")


@dataclass(frozen=True)
class Result:
    """What a command did, as its user sees it."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output, read as JSON."""
        return json.loads(self.out)


@dataclass
class World:
    """Runs command lines; everything they touch is a field."""

    home: Path
    plane: FakePlane
    url: str
    clock: FakeClock = field(default_factory=FakeClock)
    pool: FakePool = field(default_factory=FakePool)
    macros: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    python: tuple[int, int] = (3, 13)
    terminal: bool = False
    columns: int = 80
    cwd: Path | None = None
    random: int = 0

    def __post_init__(self) -> None:
        self.tools = FakeTools(self.clock)
        self.macros = {
            "ANNEX_DEFAULT_API_URL": API_URL,
            "ANNEX_DEFAULT_AWS_REGION": "us-east-1",
            "COLLECTOR_HOST": "cm.pool.example",
            "UID_DOMAIN": "pool.example",
            **self.macros,
        }
        self.environ = {
            "AWS_ENDPOINT_URL_EXECUTE_API": self.url,
            "USER": "alice",
            **self.environ,
        }

    @property
    def condor(self) -> Path:
        """The user's `~/.condor`."""
        return self.home / ".condor"

    def annex_client(self, *argv: str, typed: str | None = "", **changes: Any) -> Result:
        """Run one command line; `changes` replace parts of the context."""
        return self._run(cli.run, argv, typed, changes)

    def connect_annex(self, *argv: str, typed: str | None = "", **changes: Any) -> Result:
        """The same for the old words."""
        return self._run(connect_annex.run, argv, typed, changes)

    def context(self, typed: str | None = "", **changes: Any) -> Context:
        """The context; `typed` None is Ctrl-C at the first question."""
        keyboard = Typed(typed or "")
        keyboard.interrupt = typed is None
        made = Context(
            stdin=keyboard,
            stdout=Terminal() if self.terminal else io.StringIO(),
            stderr=io.StringIO(),
            environ=self.environ,
            home=self.home,
            cwd=self.cwd or self.home,
            clock=self.clock,
            run=self.tools,
            param=self.macros.get,
            pool=lambda: self.pool,
            random_bytes=self._random_bytes,
            python=self.python,
            columns=lambda: self.columns,
        )
        return replace(made, **changes)

    def secrets_on_disk(self, text: str) -> list[Path]:
        """The files under the home that hold `text`."""
        files = [path for path in self.home.rglob("*") if path.is_file()]
        return [path for path in files if text.encode() in path.read_bytes()]

    def _random_bytes(self, number: int) -> bytes:
        self.random += 1
        return bytes([self.random % 256]) * number

    def _run(
        self,
        program: Callable[[Sequence[str], Context], int],
        argv: Sequence[str],
        typed: str | None,
        changes: dict[str, Any],
    ) -> Result:
        context = self.context(typed, **changes)
        status = program(list(argv), context)
        out, err = context.stdout, context.stderr
        assert isinstance(out, io.StringIO)
        assert isinstance(err, io.StringIO)
        result = Result(int(status), out.getvalue(), err.getvalue())
        assert "Traceback" not in result.out + result.err
        return result


def slot(instance_id: str, annex: str = "demo", **more: Any) -> Slot:
    """One slot of alice's."""
    values: dict[str, Any] = {
        "name": f"slot1@ip-172-31-0-4.ec2.internal@{instance_id}.alice.annex",
        "annex_name": annex,
        "annex_id": "",
        "instance_id": instance_id,
        "identity": "alice@pool.example",
        "state": "Unclaimed",
        "activity": "Idle",
        "activity_since": int(NOW.timestamp()),
        **more,
    }
    return Slot(**values)
