"""From the command to the accepted request, against the predecessor's own program."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import TYPE_CHECKING, Any

from bench import stage
from bench.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.account import Account

ROUNDS = 5
_CLIENT, _FUNCTION, _OTHERS = "client", "function", "others"


def measure(account: Account) -> Iterator[str]:
    """Start annexes of one machine in turn; each machine ends before the next is started.

    The first turn, whose functions are cold, is told apart.
    """
    peer = Peer(account)
    ours, theirs, hurried, by_whom, by_peer = [], [], [], [], []
    for turn in range(ROUNDS + 1):
        stage.forget_calls(account)
        span = stage.start(account, f"Request{turn}")
        ours.append(span.seconds)
        by_whom.append(_calls(account, span))
        stage.stop(account, f"Request{turn}")
        stage.forget_calls(account)
        theirs.append(peer.start(f"Peer{turn}").seconds)
        by_peer.append(Counter(call["action"] for call in stage.calls(account) if _mine(call)))
        peer.stop()
        hurried.append(peer.start(f"Hurried{turn}", throttled=False).seconds)
        peer.stop()
    cold = "the first, with cold functions,"
    for label, found in (
        ("annex-client start:                 ", ours),
        ("condor_annex:                       ", theirs),
        ("condor_annex without its own pauses:", hurried),
    ):
        first = f"; {cold} {found[0]:.2f} s" if found is not hurried else ""
        yield f"{label} {stage.spread(found[1:])}{first}"
    for what, other in (("", theirs), (" without pauses", hurried)):
        ratio = statistics.median(a / b for a, b in zip(ours[1:], other[1:], strict=True))
        yield f"ratio to condor_annex{what}: {ratio:.2f}, median of {ROUNDS} pairs"
    client, function = by_whom[-1][_CLIENT], by_whom[-1][_FUNCTION]
    yield f"calls by annex-client: 1 (POST /annexes), and {client.total()} of AWS's"
    yield f"calls by the function: {function.total()} ({_listed(function)})"
    yield f"calls by condor_annex: {by_peer[-1].total()} ({_listed(by_peer[-1])})"


def _calls(account: Account, span: stage.Span) -> dict[str, Counter[str]]:
    """The AWS calls until the answer, by whom: the client, the API's function, other functions."""
    found: dict[str, Counter[str]] = {_CLIENT: Counter(), _FUNCTION: Counter(), _OTHERS: Counter()}
    for call in stage.calls(account):
        if call["at"] <= span.ended:
            who = call["caller"]
            api = "-api_handler/" in who
            found[_FUNCTION if api else _CLIENT if ":user/" in who else _OTHERS][
                call["action"]
            ] += 1
    return found


def _mine(call: dict[str, Any]) -> bool:
    return str(call["caller"]).endswith(":user/bench-predecessor")


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" if number > 1 else name for name, number in counts.items())
