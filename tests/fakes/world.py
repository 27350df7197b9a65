"""A deployment in memory: the handlers over fakes, and a clock that tests move."""

from __future__ import annotations

import json
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from chalicelib.api import Api, HttpAnswer, HttpRequest
from chalicelib.ids import AnnexName, InstanceId
from chalicelib.model import Image, InstanceType, Report, Subnet
from chalicelib.services import Services
from chalicelib.settings import Deployment, Settings

from .compute import FakeCompute
from .configs import FakeConfigs
from .faults import Faults, Watched
from .ledger import FakeLedger
from .leftovers import FakeLeftovers
from .legacy import FakeLegacyStore
from .spot_fleets import ROLE, templates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chalicelib.configuration import Configuration
    from chalicelib.launch import Requirements
    from chalicelib.model import Annex, SweepState

ALICE, BOB = "AIDAALICE", "AIDABOB"


class FakeClock:
    """`ports.Clock`."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 24, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def tick(self, seconds: float) -> None:
        """Time passes."""
        self.time += timedelta(seconds=seconds)


class FakeReports:
    """`ports.Reports`."""

    def __init__(self) -> None:
        self.told: dict[InstanceId, Report] = {}

    def read(self, instance_ids: Sequence[InstanceId]) -> Mapping[InstanceId, Report]:
        return {one: self.told[one] for one in instance_ids if one in self.told}


class FakeCatalog:
    """`ports.Catalog`."""

    def __init__(self) -> None:
        self.known = {
            "m7i.large": frozenset({"x86_64"}),
            "m7i.xlarge": frozenset({"x86_64"}),
            "m7g.large": frozenset({"arm64"}),
        }
        self.images = {
            "ami-0123456789abcdef0": Image("ami-0123456789abcdef0", "x86_64", "/dev/xvda", 8),
            "ami-0123456789abcdef1": Image("ami-0123456789abcdef1", "arm64", "/dev/xvda", 8),
        }
        self.published = {
            "/image/amd64": "ami-0123456789abcdef0",
            "/image/arm64": "ami-0123456789abcdef1",
        }
        self.templates: dict[tuple[str, str], Mapping[str, Any]] = {
            ("mine", "1"): {"ImageId": "ami-0123456789abcdef0", "InstanceType": "m7i.large"}
        }
        self.networks = {
            "subnet-0000000a": Subnet("subnet-0000000a", "us-east-1a", "public"),
            "subnet-0000000b": Subnet("subnet-0000000b", "us-east-1b", "nat"),
            "subnet-0000000c": Subnet("subnet-0000000c", "us-east-1c", None),
        }

    def types(self, names: Sequence[str]) -> Mapping[str, InstanceType]:
        sizes = {"large": 2, "xlarge": 4, "2xlarge": 8}
        return {
            one: InstanceType(self.known[one], sizes[one.split(".")[1]])
            for one in names
            if one in self.known
        }

    def types_with(self, requirements: Requirements, architecture: str) -> Sequence[str]:
        low, high = requirements.cpus
        return [
            name
            for name, kind in self.types(list(self.known)).items()
            if architecture in kind.architectures and low <= kind.vcpus <= (high or 1024)
        ]

    def image(self, image_id: str) -> Image | None:
        return self.images.get(image_id)

    def launch_template(
        self, *, template_id: str = "", name: str = "", version: str
    ) -> Mapping[str, Any] | None:
        return self.templates.get((template_id or name, version))

    def published_image(self, parameter: str) -> str:
        return self.published[parameter]

    def subnets(self, subnet_ids: Sequence[str]) -> Mapping[str, Subnet]:
        return {one: self.networks[one] for one in subnet_ids if one in self.networks}


class FakeReach:
    """`ports.PoolReach`: what it is told to find."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def check(self, addresses: Sequence[str]) -> Future[Sequence[str]]:
        del addresses
        answer: Future[Sequence[str]] = Future()
        answer.set_result(self.notes)
        return answer


class FakeInventory:
    """`ports.Inventory`: all is there."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.profile: tuple[str, str] | None = ("arn:profile", "AROAROLE")
        self.rules: int | None = 0
        self.missing_role = ""

    def missing_functions(self, names: Sequence[str]) -> Sequence[str]:
        return [one for one in names if one in self.missing]

    def instance_profile(self, name: str) -> tuple[str, str] | None:
        del name
        return self.profile

    def missing_roles(self, names: Sequence[str]) -> Sequence[str]:
        return [one for one in names if one == self.missing_role]

    def ingress_rules(self, security_group: str) -> int | None:
        del security_group
        return self.rules


class FakeJournal:
    """`ports.Journal`, kept for tests to read."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []
        self.metrics: dict[str, float] = {}

    def fact(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    def trouble(self, event: str, error: Exception, **fields: object) -> None:
        self.lines.append((event, {**fields, "error": str(error)}))

    def count(self, metric: str, value: float = 1) -> None:
        self.metrics[metric] = self.metrics.get(metric, 0) + value


def compose(**parameters: Any) -> bytes:
    """`ports.Composer`: not what a machine could read, but as different as its parameters."""
    return json.dumps(parameters, default=str, sort_keys=True).encode()


SETTINGS = Settings(
    subnets=("subnet-0000000a", "subnet-0000000b"),
    security_group="sg-00000001",
    instance_profile_arn="arn:profile",
    instance_role_id="AROAROLE",
    image_parameter="/image/{arch}",
    spot_fleet_role_arn=ROLE,
    max_lease_seconds=86400,
    max_instances_per_annex=10,
    max_instances_per_owner=15,
)


class World:
    """Everything, with the handlers as callers reach them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.faults = Faults()
        self.ledger = FakeLedger()
        self.compute = FakeCompute(self.clock, "htcondor-annex")
        self.catalog = FakeCatalog()
        self.configs = FakeConfigs(self.clock)
        self.leftovers = FakeLeftovers(self.clock)
        self.legacy = FakeLegacyStore(self.clock)
        self.reports = FakeReports()
        self.reach = FakeReach()
        self.inventory = FakeInventory()
        self.journal = FakeJournal()
        self.settings = SETTINGS
        self.services = Services(
            deployment=Deployment("htcondor-annex", "aws", "123456789012", "us-east-1"),
            settings=lambda: self.settings,
            ledger=Watched(self.ledger, "ledger", self.faults),
            compute=Watched(self.compute, "compute", self.faults),
            catalog=Watched(self.catalog, "catalog", self.faults),
            leftovers=Watched(self.leftovers, "leftovers", self.faults),
            configs=Watched(self.configs, "configs", self.faults),
            legacy=Watched(self.legacy, "legacy", self.faults),
            reports=Watched(self.reports, "reports", self.faults),
            reach=self.reach,
            compose=compose,
            program=lambda: "cHJvZ3JhbQ==",
            clock=self.clock,
            journal=self.journal,
            inventory=self.inventory,
        )
        self._requests = 0

    # As callers do it

    def new_request_id(self) -> str:
        """As the client makes one."""
        self._requests += 1
        return f"00000000-0000-4000-8000-{self._requests:012x}"

    def body(self, name: str = "foo", **changes: Any) -> dict[str, Any]:
        """A start request, changed as told; None leaves a field out."""
        body: dict[str, Any] = {
            "request_id": self.new_request_id(),
            "name": name,
            "count": 2,
            "duration_seconds": 3600,
            "idle_seconds": 900,
            "identity": "alice@pool.example",
            "pool": {
                "collector_host": "cm.pool.example",
                "trust_domain": "pool.example",
                "access_points": ["ap.pool.example"],
            },
            "token": "the-annex-token",
            **changes,
        }
        return {key: value for key, value in body.items() if value is not None}

    def spot_fleet(self, slots: int = 3, **config: Any) -> dict[str, Any]:
        """The fields of a request for a Spot Fleet of the launch template `mine`."""
        asked = templates({"SubnetId": "subnet-0000000a"}, **config)
        return {"count": None, "slots": slots, "spot_fleet_config": json.dumps(asked)}

    def post(self, body: Mapping[str, Any], caller: str = ALICE) -> HttpAnswer:
        """POST /annexes."""
        return self.call("POST", "/annexes", body, caller)

    def start(self, name: str = "foo", caller: str = ALICE, **changes: Any) -> HttpAnswer:
        """Start an annex."""
        return self.post(self.body(name, **changes), caller)

    def grow(self, name: str = "foo", caller: str = ALICE, **changes: Any) -> HttpAnswer:
        """Grow one; lease and idle time as they are, unless told."""
        plain: dict[str, Any] = {"duration_seconds": None, "idle_seconds": None}
        return self.post(self.body(name, **{"grow": True, **plain, **changes}), caller)

    def renew(
        self, name: str = "foo", seconds: int = 7200, caller: str = ALICE, **changes: Any
    ) -> HttpAnswer:
        """PATCH /annexes/NAME."""
        body = {"request_id": self.new_request_id(), "duration_seconds": seconds, **changes}
        return self.call("PATCH", "/annexes/{name}", body, caller, name)

    def stop(self, name: str = "foo", caller: str = ALICE) -> HttpAnswer:
        """DELETE /annexes/NAME."""
        return self.call("DELETE", "/annexes/{name}", {}, caller, name)

    def show(self, name: str = "foo", caller: str = ALICE) -> HttpAnswer:
        """GET /annexes/NAME."""
        return self.call("GET", "/annexes/{name}", {}, caller, name)

    def call(
        self,
        method: str,
        resource: str,
        body: Mapping[str, Any],
        caller: str = ALICE,
        name: str | None = None,
    ) -> HttpAnswer:
        """Any request, as API Gateway hands it on."""
        parameters = {} if name is None else {"name": name}
        return Api(self.services).answer(
            HttpRequest(method, resource, parameters, json.dumps(body).encode(), caller, "gw-1")
        )

    def sweep(self, seconds: float = 60) -> SweepState:
        """A minute later the schedule runs."""
        self.clock.tick(seconds)
        return self.services.sweep.run()

    # What tests look at

    def annex(self, name: str = "foo") -> Annex:
        """The newest annex of that name."""
        annex = self.ledger.find(AnnexName(name))
        assert annex is not None
        return annex

    def running(self, name: str = "foo") -> list[InstanceId]:
        """Machines of the annex that cost money."""
        found = self.compute.running(self.annex(name).annex_id)
        return [one.instance_id for one in found]

    def configuration(self, name: str = "foo") -> Configuration | None:
        """What its machines read."""
        found = self.configs.objects.get(self.annex(name).config_key)
        return found[0] if found else None

    def set(self, **changes: Any) -> None:
        """Change the deployment's settings."""
        fields = {name: getattr(self.settings, name) for name in Settings.__struct_fields__}
        self.settings = Settings(**{**fields, **changes})


def told(answer: HttpAnswer) -> Any:
    """The body of an answer."""
    return json.loads(answer.body)


def code(answer: HttpAnswer) -> str:
    """The code of a refusal."""
    return str(told(answer)["error"]["code"])


__all__ = ["ALICE", "BOB", "World", "code", "told"]
