"""What annexes need of EC2 beside machines, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.errors import AwsUnavailable
from chalicelib.ids import AnnexId
from chalicelib.model import Leftover, LeftoverKind
from chalicelib.tags import ANNEX_ID, LEASE, lease_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chalicelib.ports import Clock

IN_S3 = (LeftoverKind.CONFIGURATION, LeftoverKind.TARBALL)
IN_EC2 = tuple(one for one in LeftoverKind if one not in IN_S3)


class FakeLeftovers:
    """`ports.Leftovers`. `protected` are the ids of things that EC2 will not remove."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.things: dict[str, Leftover] = {}
        self.protected: set[str] = set()

    def found(self, kind: LeftoverKind) -> list[Leftover]:
        return [one for one in self.things.values() if one.kind is kind]

    def remove(self, thing: Leftover) -> None:
        if thing.resource_id in self.protected:
            raise AwsUnavailable(f"AWS could not remove {thing} (OperationNotPermitted).")
        self.things.pop(thing.resource_id, None)

    def make(self, kind: LeftoverKind, tags: Mapping[str, str]) -> str:
        """Something of the deployment's, with these tags of an annex's; returns its id."""
        resource_id = f"{kind.name.lower()}-{len(self.things)}"
        annex_id = tags.get(ANNEX_ID)
        self.things[resource_id] = Leftover(
            kind=kind,
            resource_id=resource_id,
            made_at=self._clock.now(),
            annex_id=AnnexId(annex_id) if annex_id else None,
            lease_tag=lease_of(tags.get(LEASE)),
        )
        return resource_id
