"""`python -m tests.explorer`: all of it; `--part N` an N-th; `--quick` what `make check` does."""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.explorer.scenes import FULL, QUICK, SCENES, Round, Scene
from tests.explorer.search import Explorer
from tests.explorer.story import story

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.explorer.actors import Operation


@dataclass
class Sum:
    """What searches came to; `cut` are the depths that those reached which did not end."""

    searches: int = 0
    states: int = 0
    transitions: int = 0
    depth: int = 0
    cut: list[int] = field(default_factory=list)
    seconds: float = 0
    broken: list[list[str]] = field(default_factory=list)

    def __str__(self) -> str:
        far = "all to the end"
        if self.cut:
            far = f"{self.searches - len(self.cut)} to the end, others to depth {min(self.cut)}"
        return (
            f"{self.searches:3} searches, {far + ',':37} "
            f"{self.states:9,} states, {self.transitions:9,} transitions, depth {self.depth:2}, "
            f"{self.seconds:3.0f} CPU s, {len(self.broken)} broken"
        )


def summed(sums: Iterable[Sum]) -> Sum:
    """All of them in one; of what is broken the shortest story comes first."""
    total = Sum()
    for one in sums:
        total.searches += one.searches
        total.states += one.states
        total.transitions += one.transitions
        total.depth = max(total.depth, one.depth)
        total.cut += one.cut
        total.seconds += one.seconds
        total.broken += one.broken
    total.broken.sort(key=len)
    return total


def _explored(numbers: tuple[bool, int, int, int]) -> Sum:
    quick, part, rounds, scene = numbers  # operations cannot be sent to another process
    return explored(SCENES[scene], (QUICK if quick else FULL)[rounds].part(part))


def explored(scene: Scene, rounds: Round) -> Sum:
    """All searches of one round in one scene."""
    explorer = Explorer(scene.given)
    return summed(
        _searched(explorer, scene, (*requests, *rounds.others), rounds)
        for requests in rounds.requests(scene)
    )


def _searched(
    explorer: Explorer, scene: Scene, operations: tuple[Operation, ...], rounds: Round
) -> Sum:
    began = time.process_time()
    found = explorer.search(operations, rounds.bounds, most=rounds.most)
    who = ", ".join(map(str, operations))
    return Sum(
        1,
        found.states,
        found.transitions,
        found.depth,
        [] if found.whole else [found.depth],
        time.process_time() - began,
        [[f"Given {scene}; {who}:", *story(found)]] if found.broken else [],
    )


def main(arguments: list[str]) -> int:
    """Explore and tell; returns 1 if a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.explorer", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds of it")
    parser.add_argument("--part", type=int, default=1, help="an N-th of each search's states")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    began = time.monotonic()
    rounds = QUICK if options.quick else FULL
    every = []
    with ProcessPoolExecutor(options.jobs) as pool:
        work = [
            (options.quick, options.part, number, scene)
            for number in range(len(rounds))
            for scene in range(len(SCENES))
        ]
        sums = pool.map(_explored, work)
        for one in rounds:
            print(one.part(options.part), flush=True)
            for scene in SCENES:
                every.append(next(sums))
                print(f"  {scene!s:17} {every[-1]}", flush=True)
    total = summed(every)
    print(f"{total!s}; it took {time.monotonic() - began:.0f} s")
    if total.broken:
        print("\nThe shortest way:", *total.broken[0], sep="\n")
    return bool(total.broken)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
