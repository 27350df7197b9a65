"""From the command to all slots in the collector: an annex of ten machines, against one of one."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench import stage
from local.images import BAKED_AMD64

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.account import Account

ROUNDS = 2
MANY = 10


def measure(account: Account) -> Iterator[str]:
    """Start them in turn, on the baked image: installing packages ten times is another matter."""
    image = f"--ami-id {BAKED_AMD64.ami_id}"
    taken: dict[int, list[tuple[float, float]]] = {1: [], MANY: []}
    for turn in range(ROUNDS):
        for count, found in taken.items():
            name = f"Many{count}x{turn}"
            request = stage.start(account, name, count=count, more=image)
            came = stage.slots_came(account, f'AnnexName =?= "{name}"', count)
            found.append((request.seconds, came - request.began))
            stage.stop(account, name)
    for count, found in taken.items():
        accepted, there = zip(*found, strict=True)
        machines = "1 machine" if count == 1 else f"{count} machines"
        yield f"{machines}: accepted {stage.spread(accepted)}, in the pool {stage.spread(there)}"
    for which, what in enumerate(("accepted", "in the pool")):
        pairs = zip(taken[MANY], taken[1], strict=True)
        ratio = statistics.median(many[which] / one[which] for many, one in pairs)
        yield f"ratio, {what}: {ratio:.2f}, median of {ROUNDS} pairs"
