"""Which machines nobody answers for: judged so that a broken ledger cannot end everything."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from .model import Annex, Instance

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
