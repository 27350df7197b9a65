"""`python -m tests.explorer [--quick]`: all of it, or what every `make check` does."""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.explorer.scenes import FULL, QUICK, SCENES, Round, Scene
from tests.explorer.search import Explorer
from tests.explorer.story import story


@dataclass
class Sum:
    """What the searches of one scene in one round came to."""

    states: int = 0
    transitions: int = 0
    depth: int = 0
    searches: int = 0
    broken: list[list[str]] = field(default_factory=list)


def _explored(numbers: tuple[bool, int, int]) -> Sum:
    quick, rounds, scene = numbers  # operations cannot be sent to another process
    return explored(SCENES[scene], (QUICK if quick else FULL)[rounds])


def explored(scene: Scene, rounds: Round) -> Sum:
    """All searches of one round in one scene; of what is broken the shortest story comes first."""
    explorer = Explorer(scene.given)
    total = Sum()
    for requests in rounds.requests(scene):
        operations = (*requests, *rounds.others)
        found = explorer.search(operations, rounds.bounds, rounds.depth)
        total.searches += 1
        total.states += found.states
        total.transitions += found.transitions
        total.depth = max(total.depth, found.depth)
        if found.broken:
            who = ", ".join(map(str, operations))
            total.broken.append([f"Given {scene}; {who}:", *story(found)])
    total.broken.sort(key=len)
    return total


def main(arguments: list[str]) -> int:
    """Explore and tell; returns 1 if a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.explorer", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds of it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    began = time.monotonic()
    total = Sum()
    with ProcessPoolExecutor(options.jobs) as pool:
        for number, one in enumerate(QUICK if options.quick else FULL):
            print(one, flush=True)
            work = [(options.quick, number, scene) for scene in range(len(SCENES))]
            sums = pool.map(_explored, work)
            for scene, found in zip(SCENES, sums, strict=True):
                print(
                    f"  {scene!s:18} {found.searches:3} searches {found.states:9,} states "
                    f"{found.transitions:10,} transitions, depth {found.depth:2}, "
                    f"{len(found.broken)} broken",
                    flush=True,
                )
                total.states += found.states
                total.transitions += found.transitions
                total.depth = max(total.depth, found.depth)
                total.broken += found.broken
    print(
        f"{total.states:,} states, {total.transitions:,} transitions, depth {total.depth}, "
        f"{time.monotonic() - began:.0f} s, {len(total.broken)} broken"
    )
    if total.broken:
        print("\nThe shortest way:", *min(total.broken, key=len), sep="\n")
    return bool(total.broken)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
