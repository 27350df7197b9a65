"""What goes over HTTP: one struct per body, validated here and nowhere else.

Unknown fields are refused, so that a misspelt field never silently means its default. Lengths and
ranges that do not depend on the deployment's settings are checked by the types themselves; caps are
checked where the settings are known. `schema/wire.json` is made from this module.
"""

from __future__ import annotations

import inspect
import json
import sys
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

# 1 to 64 of letters, digits, '.', '_', '-', starting with a letter or digit (docs/architecture.md).
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z", max_length=64)]
RequestId = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
# An HTCondor user, user@domain: the subject of the annex's token, and what TARGET.User shows.
Identity = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]+@[A-Za-z0-9._-]+\Z", max_length=128)]
# host or host:port, as COLLECTOR_HOST has them.
Address = Annotated[str, Meta(pattern=r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?\Z", max_length=255)]
# A year: no lease is longer, whatever the deployment allows.
Seconds = Annotated[int, Meta(ge=60, le=366 * 86400)]
Count = Annotated[int, Meta(ge=1, le=100_000)]


class Pool(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the machines report: the collector, and the access points whose jobs they run.

    Machines open TCP connections to each of these addresses (9618 where no port is given); nothing
    ever connects to a machine.
    """

    collector_host: Address
    trust_domain: Annotated[str, Meta(min_length=1, max_length=255)]
    access_points: Annotated[tuple[Address, ...], Meta(max_length=16)] = ()


class AdminKey(Struct, frozen=True, forbid_unknown_fields=True):
    """The signing key with which the annex's owner administers its machines, and no others."""

    key_name: Annotated[str, Meta(pattern=r"^annex-[A-Za-z0-9._-]{1,64}-admin\Z")]
    identity: Identity
    key: Annotated[str, Meta(min_length=32, max_length=256)]  # base64

    def __repr__(self) -> str:
        return f"AdminKey({self.key_name!r})"  # the key itself is never shown


class Requirements(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Types by what they have; the upper ends are included, and None is no limit."""

    cpus_min: Annotated[int, Meta(ge=1, le=1024)] = 1
    cpus_max: Annotated[int, Meta(ge=1, le=1024)] | None = None
    memory_mib_min: Annotated[int, Meta(ge=1, le=33_554_432)] = 1
    memory_mib_max: Annotated[int, Meta(ge=1, le=33_554_432)] | None = None


class StartRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Start an annex, or with `grow` add machines to a live one.

    Either `count` machines are asked for or `slots`: units of one vCPU each, or of the
    WeightedCapacity in `spot_fleet_config`, the user's own SpotFleetRequestConfig as JSON text,
    which then says all about image, types and network. `legacy` is for an AMI of condor_annex's,
    which fetches its configuration by itself. `max_price` is in USD per hour and unit.

    `duration_seconds` and `idle_seconds` may be left out only when growing: the annex's lease and
    idle time stay as they are. `user_data` is base64. `token` and `admin` are secrets.
    `on_rebalance` says whether a spot machine takes new jobs once EC2 recommends to rebalance; it
    is set for the whole annex, when it is started.
    """

    request_id: RequestId
    name: Name
    count: Count | None = None
    slots: Count | None = None
    duration_seconds: Seconds | None = None
    idle_seconds: Seconds | None = None
    retire_seconds: Annotated[int, Meta(ge=0, le=86400)] = 300
    instance_types: Annotated[
        tuple[Annotated[str, Meta(max_length=32)], ...], Meta(max_length=20)
    ] = ()
    requirements: Requirements | None = None
    market: Literal["on-demand", "spot"] = "on-demand"
    max_price: Annotated[str, Meta(pattern=r"^[0-9]{1,4}(\.[0-9]{1,6})?\Z")] | None = None
    fallback: Literal["on-demand"] | None = None
    legacy: bool = False
    spot_fleet_config: Annotated[str, Meta(max_length=200_000)] | None = None
    ami_id: Annotated[str, Meta(pattern=r"^ami-[0-9a-f]{8,17}\Z")] | None = None
    identity: Identity
    owners: Annotated[tuple[Identity, ...], Meta(max_length=50)] = ()
    any_owner: bool = False
    tags: dict[str, str] = {}
    subnets: Annotated[tuple[str, ...], Meta(max_length=20)] = ()
    security_groups: Annotated[tuple[str, ...], Meta(max_length=5)] = ()
    key_name: str | None = None
    user_data: Annotated[str, Meta(max_length=24_000)] | None = None
    config_files: dict[str, str] = {}
    pool: Pool
    token: Annotated[str, Meta(min_length=1, max_length=8192)]
    admin: AdminKey | None = None
    on_rebalance: Literal["record", "retire"] = "record"
    grow: bool = False
    dry_run: bool = False

    def __repr__(self) -> str:
        return f"StartRequest({self.request_id!r}, {self.name!r})"  # never the token


class RenewRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Move the lease's end to `duration_seconds` from now; earlier only with `shorten`."""

    request_id: RequestId
    duration_seconds: Seconds
    shorten: bool = False
    token: Annotated[str, Meta(min_length=1, max_length=8192)] | None = None

    def __repr__(self) -> str:
        return f"RenewRequest({self.request_id!r})"


class InstanceView(Struct, frozen=True, kw_only=True):
    """One machine as EC2 has it; `reason` is why it does not work, or empty.

    `phase` is the machine's own last report: see Reports in docs/architecture.md. `reclaim_at` is
    when EC2 takes a spot machine back and `rebalance_at` when it warned that it may; else empty.
    """

    instance_id: str
    instance_type: str
    zone: str
    lifecycle: str  # "on-demand" or "spot"
    state: str  # EC2's word
    launched_at: str
    private_dns_name: str = ""
    phase: str = ""
    reason: str = ""
    units: int = 1  # slots that it counts for, in an annex of slots
    reclaim_at: str = ""
    rebalance_at: str = ""


class AnnexView(Struct, frozen=True, kw_only=True):
    """One annex as ledger and EC2 have it; `state` is one of `model.AnnexState`'s words.

    `requested` and `started` count in `unit`s.
    `warning` (where annexes are shown) says that the sweep has not finished for some minutes.
    """

    name: str
    annex_id: str
    owner: str  # the HTCondor identity
    state: str
    created_at: str
    lease_expires_at: str
    idle_seconds: int
    requested: int
    started: int = 0
    unit: str = "machine"  # or "slot"
    reason: str = ""
    instances: tuple[InstanceView, ...] = ()
    warning: str = ""


class AnnexSummary(Struct, frozen=True, kw_only=True):
    """An annex in a list: no instances, but how many there are by EC2's state."""

    name: str
    annex_id: str
    owner: str
    state: str
    created_at: str
    lease_expires_at: str
    idle_seconds: int
    requested: int
    unit: str = "machine"
    reason: str = ""
    instance_counts: dict[str, int] = {}


class AnnexList(Struct, frozen=True):
    """The caller's annexes, newest first; `warning` as `AnnexView` has it."""

    annexes: tuple[AnnexSummary, ...]
    warning: str = ""


class StartAnswer(Struct, frozen=True, kw_only=True):
    """`started` of `asked` units, as asked for; `pending` says that the sweep goes on trying.

    `pending_seconds` is for how long at most, what this request waits for others included.
    `notes` are sentences for the user: which type or zone had nothing, what the check of the pool's
    ports from AWS found. On a dry run `annex` is what would have been made, and nothing was.
    """

    annex: AnnexView
    asked: int
    started: int
    pending: bool
    pending_seconds: int = 0
    notes: tuple[str, ...] = ()


class RenewAnswer(Struct, frozen=True, kw_only=True):
    """The renewed annex, and the machines that may not have heard of it (already leaving).

    `notes` are sentences for the user: what the new lease does not change.
    """

    annex: AnnexView
    unreached: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Component(Struct, frozen=True, kw_only=True):
    """One line of check-setup: `detail` says what is wrong and what to do, or is empty."""

    name: str
    ok: bool
    detail: str = ""


class SetupReport(Struct, frozen=True, kw_only=True):
    """What the functions find when they look at the deployment with their own roles."""

    deployment: str
    version: str
    caller: str
    sweep_finished_at: str | None
    components: tuple[Component, ...]


class ErrorBody(Struct, frozen=True, kw_only=True):
    """Every refusal: a code for scripts, a sentence that says what to do for people."""

    code: str
    message: str
    annex: str | None = None
    request_id: str | None = None


class ErrorAnswer(Struct, frozen=True):
    """The body of every answer that is not a success."""

    error: ErrorBody


def schema() -> dict[str, Any]:
    """The JSON Schema of every body, as `schema/wire.json` holds it."""
    asked = (StartRequest, RenewRequest)
    told = (StartAnswer, RenewAnswer, AnnexView, AnnexList, SetupReport, ErrorAnswer)
    _, components = msgspec.json.schema_components((*asked, *told), ref_template="#/$defs/{name}")
    for one in components.values():
        # Python 3.13 takes the indentation out of docstrings, and older ones leave it in.
        one["description"] = inspect.cleandoc(one["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": components}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=1, sort_keys=True) + "\n")
