"""`forget`: remove from the pool what machines left there that died without a word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annex_client import merge, remains, tokens
from annex_client.errors import NotFound, Refused
from annex_client.exits import Exit
from annex_client.render import plural

if TYPE_CHECKING:
    from collections.abc import Iterable

    from annex_client.pool import Slot
    from annex_client.remains import Job
    from annex_client.session import Session
    from annex_client.views import Annex

# The token is used at once; a minute more is for clocks that differ.
_TOKEN_SECONDS = 120
# The collector removes ads as soon as it is told to.
_POLLS = 10
_STAYS = (
    "seems to run there until its job lease ends (JobLeaseDuration, 40 minutes unless the job says"
    " otherwise), and begins anew then.  Sooner, there is only 'condor_rm {0}', this command once"
    " more, and to submit it again."
)


@dataclass(frozen=True)
class ForgetOptions:
    """`instance_id` is one machine, whatever EC2 says of it; else all that EC2 says are gone."""

    name: str
    instance_id: str | None = None
    yes: bool = False


@dataclass(frozen=True)
class Dead:
    """One machine and what it left; `state` is EC2's word, or empty where EC2 shows none."""

    instance_id: str
    state: str
    slots: tuple[str, ...]
    jobs: tuple[Job, ...]
    others: tuple[Job, ...]  # of other users

    def told(self) -> str:
        """The machine and what is there of it, for people."""
        ids = f": {', '.join(_named(job) for job in self.jobs)}" if self.jobs else ""
        return (
            f"{self.instance_id} ({self.state or 'unknown to EC2'}):"
            f" {plural(len(self.slots), 'slot')} in the pool, {plural(len(self.jobs), 'job')}{ids}"
        )

    def as_json(self, left: Dead) -> dict[str, Any]:
        """As `--json` has it; `left` is the same machine afterwards."""
        return {
            "instance_id": self.instance_id,
            "state": self.state,
            "slots_removed": [slot for slot in self.slots if slot not in left.slots],
            "slots_left": [*left.slots],
            "jobs_let_go": _let_go(self, left),
            "jobs_left": [job.job_id for job in (*left.jobs, *left.others)],
        }


def run(session: Session, options: ForgetOptions) -> Exit:
    """Ask, remove the slots, let go of removed jobs, and say what became of each.

    Raises:
        NotFound: no such annex, or no such machine of it.
        Refused: the pool gives this user no token, or one in another name.
        PoolTrouble: collector or schedd cannot be asked.
    """
    name, out = options.name, session.out
    try:
        annex = session.api.annex(name)
    except NotFound as missing:
        raise NotFound(
            f"There is no annex {name} of yours.  'annex-client status' lists those there are."
        ).about(missing) from None
    found = _found(session, annex, options)
    if not any(one.slots or one.jobs or one.others for one in found):
        out.say(f"No machine of {name} that is gone has left slots or jobs in the pool.")
        out.facts({"name": name, "confirmed": True, "machines": []})
        return Exit.DONE
    for one in found:
        out.say(one.told())
        if one.state in merge.ALIVE:
            out.say(f"EC2 says that it is {one.state}: if it lives, its slots will come back.")
    out.say("The slots will be removed from the pool, and jobs that you removed from the queue.")
    if not options.yes and not out.ask("Is that OK?"):
        out.say("Nothing was changed.")
        out.facts({"name": name, "confirmed": False, "machines": []})
        return Exit.UNEXPECTED
    _remove(session, annex, found)
    own = [job for one in found for job in one.jobs]
    complaint = remains.let_go(session.context.run, own)
    if complaint:
        out.warn(f"condor_rm says: {complaint}")
    return _told(session, annex, found)


def _found(session: Session, annex: Annex, options: ForgetOptions) -> list[Dead]:
    """The machines to be forgotten, with what they left."""
    slots = _own(annex, session.pool.slots(annex.name))
    states = {one.instance_id: one.state for one in annex.instances}
    if options.instance_id is None:
        ids = [one for one, state in states.items() if state in merge.DEAD]
    else:
        ids = [options.instance_id]
        if not {*ids} & {*states, *(slot.instance_id for slot in slots)}:
            raise NotFound(
                f"Annex {annex.name} has no machine {options.instance_id}, neither in EC2 nor in"
                f" the pool.  'annex-client status {annex.name}' lists those there are."
            )
    jobs = session.pool.jobs_on(ids) if ids else []
    dead = [
        Dead(
            one,
            states.get(one, ""),
            tuple(sorted(slot.name for slot in slots if slot.instance_id == one)),
            tuple(job for job in jobs if job.instance_id == one and job.owner == annex.owner),
            tuple(job for job in jobs if job.instance_id == one and job.owner != annex.owner),
        )
        for one in ids
    ]
    # Most machines leave in good order: there is nothing to say of them.
    return [one for one in dead if one.slots or one.jobs or one.others]


def _own(annex: Annex, slots: Iterable[Slot]) -> list[Slot]:
    """The collector's own word decides whose they are; nobody else's are touched."""
    return [s for s in slots if s.annex_id == annex.annex_id and s.identity == annex.owner]


def _remove(session: Session, annex: Annex, found: list[Dead]) -> None:
    with_slots = [one.instance_id for one in found if one.slots]
    if not with_slots:
        return
    context, key = session.context, session.settings.token_key
    token = tokens.fetch(context, key=key, lifetime_seconds=_TOKEN_SECONDS)
    tokens.check(token, key=key, good_until=context.clock.now())
    if token.identity != annex.owner:
        raise Refused(
            f"The slots are {annex.owner}'s, and you are {token.identity} to the pool: only"
            f" {annex.owner} can remove them."
        )
    for instance_id in with_slots:
        session.pool.invalidate(annex.annex_id, instance_id, annex.owner, token.text)


def _told(session: Session, annex: Annex, found: list[Dead]) -> Exit:
    """Look until all is gone, or long enough, and say what was done for each machine."""
    left = _left(session, annex, found)
    for _ in range(_POLLS):
        if not any(one.slots or any(job.removed for job in one.jobs) for one in left):
            break
        session.context.clock.sleep(1)
        left = _left(session, annex, found)
    out, done = session.out, True
    for before, after in zip(found, left):
        removed = len(before.slots) - len(after.slots)
        out.say(f"{before.instance_id}: {plural(removed, 'slot')} removed from the pool.")
        if after.slots:
            out.say(f"{before.instance_id}: still in the pool: {', '.join(after.slots)}.")
        for job_id in _let_go(before, after):
            out.say(f"{before.instance_id}: job {job_id}, which had been removed, is gone.")
        for job in after.jobs:
            out.say(f"{before.instance_id}: job {job.job_id} {_STAYS.format(job.job_id)}")
        for job in after.others:
            out.say(
                f"{before.instance_id}: job {job.job_id} is {job.owner}'s, who can do the same."
            )
        done = done and not (after.slots or after.jobs or after.others)
    machines = [before.as_json(after) for before, after in zip(found, left)]
    out.facts({"name": annex.name, "confirmed": True, "machines": machines})
    return Exit.DONE if done else Exit.PARTLY


def _let_go(before: Dead, after: Dead) -> list[str]:
    return [job.job_id for job in before.jobs if job.removed and job not in after.jobs]


def _named(job: Job) -> str:
    return f"{job.job_id} (removed)" if job.removed else job.job_id


def _left(session: Session, annex: Annex, found: list[Dead]) -> list[Dead]:
    slots = {slot.name for slot in _own(annex, session.pool.slots(annex.name))}
    there = session.pool.jobs_on([one.instance_id for one in found])
    jobs = {job.job_id for job in there}
    return [
        Dead(
            one.instance_id,
            one.state,
            tuple(name for name in one.slots if name in slots),
            tuple(job for job in one.jobs if job.job_id in jobs),
            tuple(job for job in one.others if job.job_id in jobs),
        )
        for one in found
    ]
