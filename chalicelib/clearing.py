"""Removes what annexes have left behind beside machines; machines are the sweep's own business.

One kind has its turn in each sweep, so that a minute costs one listing more and not seven. What is
found is looked up in the ledger, by a consistent read, after EC2 or S3 has shown it: records come
before everything that is made for them, so a record that is missing then was missing all the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from .errors import AnnexError, Unreadable
from .model import AnnexState, LeftoverKind
from .orphans import Verdict, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from .ids import AnnexId
    from .model import Annex, Instance, Leftover
    from .ports import Clock, ConfigStore, Journal, Ledger, Leftovers, LegacyStore

# As many minutes as there are kinds, and a prime number of them: whatever the schedule's rhythm,
# short of every seventh minute, each kind has its turn.
ROUND_MINUTES = 7
# What is left over waits well; the sweep has more urgent business.
BUDGET = timedelta(seconds=10)
_NAMED = 10  # of a kind, in one sentence


def turn(now: datetime) -> LeftoverKind:
    """Whose turn it is in this minute."""
    return tuple(LeftoverKind)[int(now.timestamp()) // 60 % ROUND_MINUTES]


@dataclass(frozen=True)
class Seen:
    """What the sweep has read before; None where EC2 or the ledger could not be read."""

    machines: Sequence[Instance] | None
    annexes: Sequence[Annex] | None
    unreadable: Sequence[AnnexId] = ()

    def answers_for(self, thing: Leftover) -> bool:
        """Whether the record of a living annex names the thing: the common case."""
        for annex in self.annexes or ():
            if annex.state is not AnnexState.TERMINATED and (
                annex.config_key == thing.resource_id
                if thing.kind is LeftoverKind.CONFIGURATION
                else annex.annex_id == thing.annex_id
            ):
                return True
        return False


@dataclass(frozen=True)
class Clearing:
    """Finds and removes what is left of annexes that are gone."""

    ledger: Ledger
    leftovers: Leftovers
    configs: ConfigStore
    legacy: LegacyStore
    clock: Clock
    journal: Journal

    def run(self, seen: Seen) -> list[str]:
        """Clear away things of the kind whose turn it is; returns a sentence for each problem.

        What could not be removed, or is spared since the ledger cannot be believed, is counted as
        `LeftoversKept`: an alarm hangs on it. Raises nothing that a port raises.
        """
        kind = turn(self.clock.now())
        problems: list[str] = []
        try:
            found = self._found(kind)
        except AnnexError as error:
            self._note(problems, f"what annexes left behind could not be listed ({kind})", error)
        else:
            self._clear([one for one in found if not seen.answers_for(one)], seen, problems)
        if problems:
            self.journal.count("LeftoversKept", len(problems))
        return problems

    def _found(self, kind: LeftoverKind) -> list[Leftover]:
        if kind is LeftoverKind.CONFIGURATION:
            return self.configs.listed()
        if kind is LeftoverKind.TARBALL:
            return self.legacy.listed()
        return self.leftovers.found(kind)

    def _clear(self, strangers: Sequence[Leftover], seen: Seen, problems: list[str]) -> None:
        until = self.clock.now() + BUDGET
        marked_at = self._marked_at(problems) if strangers and seen.annexes is not None else None
        spared = []
        for one in strangers:
            if self.clock.now() >= until:
                break
            try:
                thing = self._read(one)
                judged = self._judged(thing, seen, marked_at)
                if judged is Verdict.REMOVE:
                    self._remove(thing)
                elif judged is Verdict.DOUBT:
                    spared.append(str(thing))
            except AnnexError as error:
                # Whatever it is with this one, the next has its turn.
                self._note(problems, f"{one} could not be removed", error)
        if spared:
            problems.append(
                "these are older than the ledger and not in it, or their records cannot be read, "
                f"so they are left to the lease in their own tags: {_few(spared)}"
            )

    def _read(self, one: Leftover) -> Leftover:
        """What a thing without tags, an object in S3, says of itself."""
        if one.kind is LeftoverKind.TARBALL and one.annex_id is not None:
            return replace(one, lease_tag=self.legacy.lease(one.annex_id))
        if one.kind is not LeftoverKind.CONFIGURATION:
            return one
        try:
            found = self.configs.read(one.resource_id)
        except Unreadable:
            return one
        if found is None:
            return one  # gone meanwhile, and to remove it again is no error
        configuration, _ = found
        return replace(
            one, annex_id=configuration.annex_id, lease_tag=configuration.lease_expires_at
        )

    def _judged(self, thing: Leftover, seen: Seen, marked_at: datetime | None) -> Verdict:
        now = self.clock.now()
        annex, silence = None, marked_at
        if thing.annex_id is None:
            # It may be anybody's whose record is not read; only a configuration is known by its
            # key, which is in no record that is.
            if thing.kind is not LeftoverKind.CONFIGURATION or seen.unreadable:
                silence = None
        elif seen.annexes is not None:
            try:
                annex = self.ledger.get(thing.annex_id)
            except AnnexError:
                silence = None  # it cannot be read, or nobody answers: nothing is proven
        return verdict(thing, annex, silence, seen.machines, now)

    def _remove(self, thing: Leftover) -> None:
        self.journal.fact("removing a leftover", what=str(thing), annex_id=thing.annex_id)
        if thing.kind is LeftoverKind.CONFIGURATION:
            self.configs.delete(thing.resource_id)
        elif thing.kind is LeftoverKind.TARBALL and thing.annex_id is not None:
            self.legacy.delete(thing.annex_id)
        else:
            self.leftovers.remove(thing)
        self.journal.count("LeftoversRemoved")

    def _marked_at(self, problems: list[str]) -> datetime | None:
        try:
            return self.ledger.marked_at()
        except AnnexError as error:
            self._note(problems, "the ledger's marker could not be read", error)
            return None

    def _note(self, problems: list[str], what: str, error: AnnexError) -> None:
        self.journal.trouble(what, error)
        problems.append(f"{what}: {error.message}")


def _few(words: Sequence[str]) -> str:
    more = len(words) - _NAMED
    return ", ".join(words[:_NAMED]) + (f" and {more} more" if more > 0 else "")
