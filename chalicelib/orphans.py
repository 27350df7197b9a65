"""Which machines and other things nobody answers for: a broken ledger cannot end everything."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from .model import AnnexState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from .model import Annex, Instance, Leftover

# Nothing younger is judged without its record, nothing within this of its own tag's lease: clocks
# differ, and the machine's own watcher goes first.
ORPHAN_GRACE = timedelta(minutes=5)


def is_orphan(
    instance: Instance, annex: Annex | None, marked_at: datetime | None, now: datetime
) -> bool:
    """Whether a machine of the deployment has nobody who answers for it.

    `annex` is the record its tag names, by a strongly consistent read made after EC2 showed the
    machine: records come before machines, so a missing record is no race. But the ledger is
    believed about absence only for machines younger than itself (`marked_at`, None for a ledger
    that never spoke for this deployment); all others are judged by the lease in their own tag, and
    one without a readable tag by nothing.
    """
    if not instance.state.is_endable or now < instance.launched_at + ORPHAN_GRACE:
        return False
    if annex is not None:
        return False  # alive, or finished: `plan` deals with both
    if marked_at is not None and marked_at <= instance.launched_at:
        return True
    return past_own_tag(instance, now)


def past_own_tag(instance: Instance, now: datetime) -> bool:
    """Whether a machine has outlived the lease in its own tag: what remains without a ledger."""
    lease = instance.lease_tag
    return instance.state.is_endable and lease is not None and now >= lease + ORPHAN_GRACE


class Verdict(Enum):
    """What becomes of a thing that no living annex is known to own."""

    KEEP = "somebody answers for it, or it is too young to tell"
    REMOVE = "nobody answers for it"
    DOUBT = "no record answers for it, and the ledger's silence proves nothing"


def verdict(
    thing: Leftover,
    annex: Annex | None,
    marked_at: datetime | None,
    machines: Sequence[Instance] | None,
    now: datetime,
) -> Verdict:
    """What becomes of a thing other than a machine: by the same rule as a machine.

    Args:
        thing: as EC2 or S3 showed it.
        annex: the record its tag names, by a consistent read made after the thing was shown.
        marked_at: since when the ledger's silence proves something; None for never, or where the
            record is there and cannot be read.
        machines: all of the deployment's; None if EC2 could not list them.
        now: aware UTC.
    """
    if now < thing.made_at + ORPHAN_GRACE:
        return Verdict.KEEP
    if annex is not None:
        # Whatever ledger says so: nothing leads back from `terminated`.
        return Verdict.REMOVE if annex.state is AnnexState.TERMINATED else Verdict.KEEP
    if marked_at is not None and marked_at <= thing.made_at:
        return Verdict.REMOVE
    return Verdict.REMOVE if _past_every_tag(thing, machines, now) else Verdict.DOUBT


def _past_every_tag(thing: Leftover, machines: Sequence[Instance] | None, now: datetime) -> bool:
    """Whether a thing has outlived its annex's lease, by tags alone.

    A renewal moves the tags of machines and of nothing else: the annex's lease is the latest that
    the thing or any of its annex's machines tells, and unknown while one of them tells none.
    """
    if machines is None or thing.lease_tag is None or now < thing.lease_tag + ORPHAN_GRACE:
        return False
    mine = (one for one in machines if one.annex_id == thing.annex_id and one.state.is_endable)
    return all(past_own_tag(one, now) for one in mine)
