"""Who asks, and for which annex: what every request to the API has in common."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from .errors import NoSuchAnnex, NotOwner, RequestMismatch

if TYPE_CHECKING:
    from .ids import AnnexName, CallerId, RequestId
    from .model import Annex, RequestRecord
    from .ports import Ledger

# After this long no further EC2 call is begun: one more with its repeats still fits into the
# 29 seconds that API Gateway waits.
INLINE_BUDGET = timedelta(seconds=10)
# How often a request begins anew when another one's conditional write came first.
RACES_BORNE = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """One signed request: `caller` is what API Gateway found, never what the body says.

    `fingerprint` stands for the body without its token, which a repeat may have fetched anew.
    """

    caller: CallerId
    request_id: RequestId
    fingerprint: str

    def known_to(self, ledger: Ledger) -> RequestRecord | None:
        """The record of this very request if it was accepted before. Raises RequestMismatch."""
        known = ledger.request(self.caller, self.request_id)
        if known is not None and known.fingerprint != self.fingerprint:
            raise RequestMismatch(
                f"Request id {self.request_id} was used before for another request: make a new id."
            )
        return known


def owned(ledger: Ledger, name: AnnexName, caller: CallerId) -> Annex:
    """The caller's annex of exactly this name. Raises NoSuchAnnex, NotOwner."""
    annex = ledger.find(name)
    if annex is None:
        raise NoSuchAnnex(f"There is no annex {name}.", annex=name)
    if annex.caller != caller:
        raise NotOwner(f"Annex {name} belongs to another AWS identity.", annex=name)
    return annex
