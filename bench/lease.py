"""When each layer ended a machine, against the end of its lease: the demo's own last part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo import lease

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.account import Account


def measure(account: Account) -> Iterator[str]:
    """Let three short leases end, with fewer and fewer layers left."""
    for ending in lease.three_endings(account):
        yield lease.described(ending)
