"""`make bench`: every benchmark, one after the other, or those that are named.

    python -m bench [startup] [zip_size] [request] [slot] [many] [spot] [lease]

The first two need nothing; the others share one local account, which takes root and some minutes.
`spot` first has an account of its own, without hosts, for sizes that no machine could boot.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bench import lease, many, request, slot, spot, stage, startup, zip_size
from demo.terminal import StepFailedError

if TYPE_CHECKING:
    from types import ModuleType

ALONE = (startup, zip_size, spot)
ON_AN_ACCOUNT = (request, slot, many, spot, lease)


def main(names: list[str]) -> int:
    """Run them; returns the exit status."""
    known = {_name(module): module for module in (*ALONE, *ON_AN_ACCOUNT)}
    if not set(names) <= set(known):
        print(__doc__, file=sys.stderr)
        return 2
    wanted = [known[name] for name in names] if names else list(known.values())
    try:
        for module in wanted:
            if module in ALONE:
                _title(module)
                module.main()
        _on_an_account([module for module in wanted if module in ON_AN_ACCOUNT])
    except StepFailedError as failed:
        print(f"\nThe benchmarks stopped: {failed}", file=sys.stderr)
        return 1
    return 0


def _on_an_account(modules: list[ModuleType]) -> None:
    if not modules:
        return
    with stage.account() as account:
        for module in modules:
            _title(module)
            with stage.hushed(account):
                lines = list(module.measure(account))
            print("\n".join(lines), flush=True)


def _name(module: ModuleType) -> str:
    return module.__name__.rsplit(".", 1)[-1]


def _title(module: ModuleType) -> None:
    print(f"== {(module.__doc__ or '').splitlines()[0]}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
