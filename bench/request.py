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
    """Start annexes of one machine in turn; each machine ends before the next is started."""
    peer = Peer(account)
    ours, theirs, by_whom, by_peer = [], [], [], []
    for turn in range(ROUNDS + 1):
        stage.forget_calls(account)
        ours.append(stage.start(account, f"Request{turn}"))
        by_whom.append(_calls(account, ours[-1]))
        stage.stop(account, f"Request{turn}")
        stage.forget_calls(account)
        theirs.append(peer.start(f"Peer{turn}"))
        by_peer.append([call["action"] for call in stage.calls(account) if _mine(call)])
        peer.stop()
    first, *ours_warm = [span.seconds for span in ours]
    peer_first, *theirs_warm = [span.seconds for span in theirs]
    pairs = zip(ours_warm, theirs_warm, strict=True)
    ratio = statistics.median(a / b for a, b in pairs)
    cold = "the first, with a cold function,"
    yield f"annex-client start: {stage.spread(ours_warm)}; {cold} {first:.2f} s"
    yield f"condor_annex:       {stage.spread(theirs_warm)}; {cold} {peer_first:.2f} s"
    yield f"ratio: {ratio:.2f}, median of {ROUNDS} pairs"
    counts = by_whom[-1]
    yield f"calls by annex-client: 1 (POST /annexes), and {sum(counts[_CLIENT].values())} of AWS's"
    yield f"calls by the function: {sum(counts[_FUNCTION].values())} ({_listed(counts[_FUNCTION])})"
    yield f"calls by condor_annex: {len(by_peer[-1])} ({_listed(Counter(by_peer[-1]))})"


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
