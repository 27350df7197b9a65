"""What the logic needs of the world. The adapters and the tests' fakes keep these promises alike.

Every method may raise `AwsUnavailable` (nothing is known of the outcome; repeating is safe) and
`Forbidden` (the function's role may not do it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from concurrent.futures import Future
    from datetime import datetime

    from .configuration import Configuration
    from .ids import AnnexId, AnnexName, CallerId, InstanceId, RequestId
    from .launch import Attempt, Launched, LaunchSpec, Refusal, Requirements
    from .model import (
        Annex,
        Image,
        Instance,
        InstanceType,
        Leftover,
        LeftoverKind,
        Report,
        RequestRecord,
        Subnet,
        SweepState,
    )


class Clock(Protocol):
    """The time; handed in, so that tests own it."""

    def now(self) -> datetime:
        """Aware UTC."""


class Journal(Protocol):
    """What happened, for the administrator: one event per fact, and the metrics alarms hang on."""

    def fact(self, event: str, **fields: object) -> None:
        """Log a fact; never a token, a key, or the name of a configuration object."""

    def trouble(self, event: str, error: Exception, **fields: object) -> None:
        """Log what went wrong, with its traceback."""

    def count(self, metric: str, value: float = 1) -> None:
        """Add to a metric."""


class Ledger(Protocol):
    """What was asked. Every read is strongly consistent."""

    def get(self, annex_id: AnnexId) -> Annex | None:
        """The record, or None. Raises Unreadable."""

    def find(self, name: AnnexName) -> Annex | None:
        """The newest annex of exactly this name, or None. Raises Unreadable."""

    def annexes(self, caller: CallerId | None = None) -> tuple[list[Annex], list[AnnexId]]:
        """All records kept (of one caller), and the ids of those that could not be read."""

    def request(self, caller: CallerId, request_id: RequestId) -> RequestRecord | None:
        """What a request id was used for."""

    def turn(self, caller: CallerId) -> int:
        """A number that every reservation of the caller's moves on: read it before counting."""

    def create(self, annex: Annex, request: RequestRecord, turn: int) -> Annex:
        """Record a new annex, its name, the request and the reservation, all or nothing.

        Raises Conflict when the name belongs to an annex that has not terminated, the request id
        is known, or another reservation of the caller's came between.
        """

    def save(
        self, annex: Annex, request: RequestRecord | None = None, turn: int | None = None
    ) -> Annex:
        """Replace the record if it is still the version that was read; returns the new version.

        With a request or a turn, these go into the same transaction. Raises Conflict.
        """

    def marked_at(self) -> datetime | None:
        """Since when this very table speaks for the deployment; None for one that never did.

        A table that was made anew or restored is another table: its silence proves nothing.
        """

    def mark(self, now: datetime) -> None:
        """Let this table speak for the deployment from now on, unless it does already."""

    def sweep_state(self) -> SweepState:
        """What the last sweep wrote."""

    def save_sweep_state(self, state: SweepState) -> None:
        """Write it; the last writer wins."""


class Compute(Protocol):
    """EC2's machines."""

    def launch(self, spec: LaunchSpec, attempt: Attempt) -> Launched | Refusal:
        """Make the one call of this attempt; repeating it starts nothing more (client token).

        What a fleet needs besides (launch templates) is made before, by name: once. A Refusal is a
        definite no to the whole of the call.
        """

    def rehearse(self, spec: LaunchSpec, attempt: Attempt) -> Refusal | None:
        """Ask EC2 whether it would let this launch happen (DryRun); starts nothing."""

    def instances(self, annex_id: AnnexId | None = None) -> list[Instance]:
        """The deployment's machines, or one annex's: exact tag, all pages, ended ones too.

        A machine launched seconds ago may be missing.
        """

    def instance(self, instance_id: InstanceId) -> Instance | None:
        """One machine, if it is there and the deployment's."""

    def by_id(self, instance_ids: Sequence[InstanceId]) -> list[Instance]:
        """Those of the machines that EC2 knows, whatever their tags; ended ones too."""

    def terminate(self, instance_ids: Iterable[InstanceId]) -> Mapping[InstanceId, str]:
        """End machines, as many as can be; returns those EC2 would not end, and why.

        Ids that EC2 does not know are not among them: there is nothing to end.
        """

    def tag_lease(self, instance_ids: Sequence[InstanceId], expires_at: datetime) -> None:
        """Write the lease's end into the tags of machines."""

    def cancel_requests(
        self, annex_id: AnnexId, known: Sequence[str], *, terminate: bool
    ) -> Mapping[str, tuple[Refusal, ...]]:
        """Cancel the annex's Spot Fleet requests: those of the ids, and those found by tag.

        From then on they start nothing; with `terminate` EC2 also ends what they have started.
        Returns the attempts' tokens of those found, `known` ones and others, and what EC2 said of
        the machines that it did not start.
        """

    def clear(self, annex: Annex) -> None:
        """Remove what the annex's launches needed besides machines: templates, fleets' receipts."""


class Catalog(Protocol):
    """What EC2 offers: types, images, networks. Read only."""

    def types(self, names: Sequence[str]) -> Mapping[str, InstanceType]:
        """What each type is; types that do not exist are left out."""

    def types_with(self, requirements: Requirements, architecture: str) -> Sequence[str]:
        """The types of the current generations that have what is required, in no order."""

    def image(self, image_id: str) -> Image | None:
        """An AMI the account can use, or None."""

    def launch_template(
        self, *, template_id: str = "", name: str = "", version: str
    ) -> Mapping[str, Any] | None:
        """The LaunchTemplateData of a version (a number, `$Latest`, `$Default`), or None."""

    def published_image(self, parameter: str) -> str:
        """The AMI id in a public SSM parameter. Raises NotSetUp when there is no such parameter."""

    def subnets(self, subnet_ids: Sequence[str]) -> Mapping[str, Subnet]:
        """Those of the subnets that exist, with their ways out."""


class ConfigStore(Protocol):
    """The configuration objects: the only place where tokens lie."""

    def read(self, key: str) -> tuple[Configuration, str] | None:
        """The object and its ETag, or None. Raises Unreadable."""

    def write(self, key: str, configuration: Configuration, etag: str | None = None) -> None:
        """Write it; with an ETag only over that very version. Raises Conflict."""

    def delete(self, key: str) -> None:
        """Remove it; no error when it is not there."""

    def listed(self) -> list[Leftover]:
        """Every object there is, not read: no annex's id, no lease."""


class Leftovers(Protocol):
    """What annexes need of EC2 beside machines, and may leave behind."""

    def found(self, kind: LeftoverKind) -> list[Leftover]:
        """All of a kind with this deployment's tag that still cost money or could launch machines.

        All pages; a thing made seconds ago may be missing. A volume is one that no machine has.
        What lies in S3 is `ConfigStore`'s and `LegacyStore`'s business.
        """

    def remove(self, thing: Leftover) -> None:
        """Cancel or delete it, and end no machine; no error when it is not there any more."""


class LegacyStore(Protocol):
    """Where condor_annex's own images find their configuration, one tarball an annex."""

    def is_on(self) -> bool:
        """Whether the administrator allows legacy images."""

    def write(self, configuration: Configuration) -> None:
        """Write the annex's tarball, over what is there."""

    def delete(self, annex_id: AnnexId) -> None:
        """Remove it; no error when it is not there."""

    def listed(self) -> list[Leftover]:
        """Every annex's tarball there is, without its lease; none where legacy images are off."""

    def lease(self, annex_id: AnnexId) -> datetime | None:
        """The lease for which the tarball was written; None if it is gone or does not say."""


class Reports(Protocol):
    """What machines say of themselves. Read for words only: no report ends or spares a machine."""

    def read(self, instance_ids: Sequence[InstanceId]) -> Mapping[InstanceId, Report]:
        """The reports that could be read in a bounded time; never raises."""


class PoolReach(Protocol):
    """Whether the pool's ports answer from here: advice, since the machines' addresses differ."""

    def check(self, addresses: Sequence[str]) -> Future[Sequence[str]]:
        """Begin to knock; the future gives a sentence for each address that did not answer."""


class Composer(Protocol):
    """Makes user data."""

    def __call__(
        self,
        *,
        annex_name: str,
        annex_id: str,
        key: str,
        role_id: str,
        lease_expires_at: datetime,
        dead_man_margin_seconds: int,
        boot_limit_seconds: int,
        user_part: bytes | None,
    ) -> bytes:
        """The user data as EC2 gets it. Raises BadRequest for a user's part that is no good."""


class Inventory(Protocol):
    """What the deployment consists of, for check-setup."""

    def missing_functions(self, names: Sequence[str]) -> Sequence[str]:
        """Those of the functions that are not there, or not ready."""

    def instance_profile(self, name: str) -> tuple[str, str] | None:
        """Its ARN and the unique id of its role, or None."""

    def missing_roles(self, names: Sequence[str]) -> Sequence[str]:
        """Those of the roles that are not there."""

    def ingress_rules(self, security_group: str) -> int | None:
        """How many rules let something in; None if there is no such group."""
