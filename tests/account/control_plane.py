"""The control plane on the local account as users have it: Chalice's zip, the stack, the API."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.credentials import Credentials

from chalicelib.dynamodb_ledger import DynamoDBLedger
from chalicelib.ec2_compute import EC2Compute
from chalicelib.model import InstanceState
from chalicelib.s3_config import S3ConfigStore
from tests.account.support import PATIENCE, ROOT, LocalAccount, deploy, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.configuration import Configuration
    from chalicelib.model import Annex, Instance

API, SWEEP, INTERRUPTION = (f"htcondor-annex-dev{part}" for part in ("", "-sweep", "-interruption"))
LEDGER = "htcondor-annex-ledger"
# What changes something, of all that the functions call; a death between two reads is like one
# before the next of these.
CHANGES = {
    *("dynamodb:TransactWriteItems", "dynamodb:PutItem", "s3:PutObject", "s3:DeleteObject"),
    *("ec2:RunInstances", "ec2:CreateTags", "ec2:TerminateInstances"),
    *("ec2:CreateLaunchTemplate", "ec2:CreateFleet"),
    *("ec2:DeleteLaunchTemplate", "ec2:DeleteFleets"),
}


@dataclass(frozen=True)
class Place:
    """Where a function is killed: before or after a call, of which `skip` like it pass first."""

    call: str
    skip: int
    after: bool

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} {self.call} no. {self.skip + 1}"


class ControlPlane:
    """Deployed and set up, and nothing happens by itself: schedule and events are off."""

    def __init__(self, account: LocalAccount) -> None:
        self.account = account
        self._numbers = itertools.count(1)
        self._install()
        self._me = Credentials(
            account.environment["AWS_ACCESS_KEY_ID"], account.environment["AWS_SECRET_ACCESS_KEY"]
        )
        (api,) = account.client("apigateway").get_rest_apis()["items"]
        self._path = f"/{api['id']}/api"
        self.ledger = DynamoDBLedger(account.client("dynamodb"), LEDGER)
        bucket = account.client("s3").list_buckets()["Buckets"][0]["Name"]
        self._configs = S3ConfigStore(account.client("s3"), bucket, "123456789012")
        self._compute = EC2Compute(account.client("ec2"), "htcondor-annex")

    def _install(self) -> None:
        folder = self.account.state / "control-plane"
        folder.mkdir()
        for name in ("app.py", "requirements.txt"):
            shutil.copy(ROOT / name, folder)
        shutil.copytree(ROOT / "chalicelib", folder / "chalicelib")
        shutil.copytree(ROOT / ".chalice", folder / ".chalice")
        shutil.rmtree(folder / ".chalice" / "deployed", ignore_errors=True)
        deploy(self.account, folder)
        subprocess.run(
            [str(Path(sys.executable).with_name("annex-client")), "setup"],
            cwd=folder,
            env={**os.environ, **self.account.environment, "HOME": str(folder)},
            check=True,
            capture_output=True,
            timeout=PATIENCE,
        )
        events = self.account.client("events")
        for rule in events.list_rules()["Rules"]:
            events.disable_rule(Name=rule["Name"])

    # What people and AWS do

    def new_name(self) -> str:
        """A name that no annex has yet."""
        return f"annex{next(self._numbers)}"

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request; the same body has the same request id."""
        data = None if body is None else json.dumps(body).encode()
        status, answer, _ = self.account.call_api(method, self._path + path, self._me, data)
        return status, answer

    def start(self, body: dict[str, Any]) -> tuple[int, Any]:
        return self.ask("POST", "/annexes", body)

    def sweep(self) -> Any:
        """What the schedule does each minute; None for a sweep that died."""
        shape = {"version": "0", "account": "1", "region": "us-east-1", "id": "1", "time": "t"}
        event = {**shape, "source": "aws.events", "resources": [], "detail": {}}
        return self._invoke(SWEEP, {**event, "detail-type": "Scheduled Event"})

    def hear(self, instance_id: str, state: str) -> Any:
        """What EC2's event of a machine does."""
        shape = {"version": "0", "account": "1", "region": "us-east-1", "id": "1", "time": "t"}
        detail = {"instance-id": instance_id, "state": state}
        event = {**shape, "source": "aws.ec2", "resources": [], "detail": detail}
        kind = "EC2 Instance State-change Notification"
        return self._invoke(INTERRUPTION, {**event, "detail-type": kind})

    def _invoke(self, function: str, event: dict[str, Any]) -> Any:
        answer = self.account.client("lambda").invoke(
            FunctionName=function, Payload=json.dumps(event).encode()
        )
        return None if "FunctionError" in answer else json.load(answer["Payload"])

    # Time

    def age(self, name: str, seconds: float) -> None:
        """Let time go by for one annex: what its record says of the past moves back.

        The lease stays where it is, so an annex may well be older than its lease allows.
        """
        span = timedelta(seconds=seconds)
        annex = self.annex(name)
        if annex is None:
            return
        launches = tuple(
            replace(
                launch,
                opened_at=launch.opened_at - span,
                attempts=tuple(
                    replace(one, called_at=one.called_at - span) for one in launch.attempts
                ),
            )
            for launch in annex.launches
        )
        self.ledger.save(replace(annex, created_at=annex.created_at - span, launches=launches))

    def end_lease(self, name: str) -> None:
        """Let the lease have ended a minute ago."""
        annex = self.annex(name)
        assert annex is not None
        ended = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
        self.ledger.save(replace(annex, lease_expires_at=ended))

    def two_sweeps(self) -> None:
        """Two minutes of the schedule, with machines that come and go in between."""
        for _ in range(2):
            self.settle()
            assert self.sweep()["problems"] == []
        self.settle()

    def settle(self) -> None:
        """Wait until no machine is on its way up or down."""
        changing = (InstanceState.PENDING, InstanceState.SHUTTING_DOWN)
        eventually(lambda: not any(one.state in changing for one in self._compute.instances()))

    def forget(self, name: str) -> None:
        """Leave nothing of an annex that later sweeps would have to look at."""
        annex = self.annex(name)
        if annex is None:
            return
        if annex.living:
            self.account.client("ec2").terminate_instances(InstanceIds=[*annex.living])
        key = {"pk": {"S": "annex"}, "sk": {"S": annex.annex_id}}
        self.account.client("dynamodb").delete_item(TableName=LEDGER, Key=key)

    # Where a function can be killed

    def places(self, function: str, act: Callable[[], Any]) -> list[Place]:
        """After each changing call of an act that nobody breaks, and before each of EC2's."""
        self.account.press("calls", method="DELETE")
        act()
        found: list[Place] = []
        for call in self.account.press("calls", method="GET"):
            name = f"{call['service']}:{call['action']}"
            if name not in CHANGES or not call["caller"].endswith(f"/{function}"):
                continue
            skip = sum(one.call == name and one.after for one in found)
            found += [Place(name, skip, after) for after in (False, True) if after or "ec2" in name]
        return found

    def killed(self, function: str, place: Place, act: Callable[[], Any]) -> Any:
        """The answer to an act in which the function is killed at a place."""
        service, _, action = place.call.partition(":")
        fault = {"kill": True, "function": function, "service": service, "action": action}
        place_of = {"after": place.after, "skip": place.skip, "times": 1}
        self.account.press("faults", {**fault, **place_of})
        try:
            answer = act()
            (rule,) = self.account.press("faults", method="GET")
        finally:
            self.account.press("faults", method="DELETE")
        assert rule["struck"] == 1, "nobody was killed"
        return answer

    # What is there

    def annex(self, name: str) -> Annex | None:
        """The ledger's record."""
        found = self.ledger.annexes()[0]
        return next((one for one in found if one.name == name), None)

    def configuration(self, annex: Annex) -> Configuration | None:
        """What S3 has for the machines."""
        found = self._configs.read(annex.config_key)
        return found and found[0]

    def machines(self, annex: Annex | None) -> list[Instance]:
        """Every machine that there ever was for an annex, as EC2 has them."""
        return [] if annex is None else self._compute.instances(annex.annex_id)
