"""GET /setup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chalicelib.errors import Forbidden, NotSetUp
from chalicelib.launch import Refusal, RefusalKind
from tests.fakes.world import told

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.world import World


def look(world: World) -> dict[str, Any]:
    answer = world.call("GET", "/setup", {})
    assert answer.status == 200
    return {one["name"]: one["detail"] for one in told(answer)["components"] if not one["ok"]}


def test_whole_deployment_is_ok(world: World) -> None:
    world.sweep()
    assert look(world) == {}
    report = told(world.call("GET", "/setup", {}))
    assert [one["name"] for one in report["components"]][:4] == [
        "configuration bucket",
        "Lambda functions",
        "instance profile",
        "security group",
    ]
    assert report["sweep_finished_at"] == "2026-11-24T12:01:00Z"
    assert world.configs.objects == {}


def no_functions(world: World) -> None:
    world.inventory.missing = ["htcondor-annex-dev-sweep"]


def no_profile(world: World) -> None:
    world.inventory.profile = None


def no_service_role(world: World) -> None:
    world.inventory.missing_role = "AWSServiceRoleForEC2SpotFleet"


def no_fleet_role(world: World) -> None:
    world.set(spot_fleet_role_arn="")


def open_group(world: World) -> None:
    world.inventory.rules = 2


def no_group(world: World) -> None:
    world.inventory.rules = None


def no_way_out(world: World) -> None:
    world.set(subnets=("subnet-0000000a", "subnet-0000000c"))


def launch_denied(world: World) -> None:
    world.compute.refusals["m7i.large"] = Refusal(
        RefusalKind.FATAL, "UnauthorizedOperation", "You are not authorized"
    )


def no_bucket(world: World) -> None:
    def watch(point: str) -> None:
        if point == "before configs.write":
            raise Forbidden("AWS does not let the control plane write the bucket.")

    world.faults.watch = watch


def sweep_late(world: World) -> None:
    world.clock.tick(600)


@pytest.mark.parametrize(
    ("spoil", "name", "word"),
    [
        (no_functions, "Lambda functions", "htcondor-annex-dev-sweep"),
        (no_profile, "instance profile", "setup"),
        (no_service_role, "roles for spot", "AWSServiceRoleForEC2SpotFleet"),
        (no_fleet_role, "roles for spot", "not the one in the settings"),
        (open_group, "security group", "lets something in"),
        (no_group, "security group", "setup"),
        (no_way_out, "network", "subnet-0000000c"),
        (launch_denied, "launch permission", "UnauthorizedOperation"),
        (no_bucket, "configuration bucket", "bucket"),
        (sweep_late, "schedule", "last finished"),
    ],
)
def test_each_fault_is_found_and_named(
    world: World, spoil: Callable[[World], None], name: str, word: str
) -> None:
    world.sweep()
    spoil(world)
    found = look(world)
    assert word in found[name]
    assert set(found) <= {name, "launch permission"}


def test_sweep_that_never_ran_is_told(world: World) -> None:
    assert "has not run yet" in look(world)["schedule"]


def test_missing_settings_spoil_no_other_look(world: World) -> None:
    def settings() -> Any:
        raise NotSetUp("There are no settings.")

    world.sweep()
    object.__setattr__(world.services, "settings", settings)
    assert set(look(world)) == {
        "instance profile",
        "roles for spot",
        "security group",
        "network",
        "launch permission",
    }
