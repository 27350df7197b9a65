"""What a machine that died without a word leaves in the pool: slots, and jobs that seem to run.

Its slots stay for a quarter of an hour, and the negotiator goes on matching jobs to them: the token
that let the machine advertise them removes them. Its jobs stay 'Running' until their job lease ends
(JobLeaseDuration, 40 minutes), whatever their owner does: a shadow that tries to reconnect puts a
hold or a vacate off until it has, and one that has not noticed yet fails to end the job and sleeps
until the lease's end (seen with HTCondor 23.9; a job held and released is idle, and does not run).
Only a job that was removed can be let go of, by 'condor_rm -forcex'.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from annex_client.context import Runner

_JOB_ATTRIBUTES = ["ClusterId", "ProcId", "User", "RemoteHost", "JobStatus"]
_REMOVED = 3
_ON_MACHINE = (2, 6, 7, _REMOVED)  # running, transferring output, suspended; removed
_TOOL_SECONDS = 30
# How the collector knows what kind of ad is meant.
_KINDS = (("INVALIDATE_STARTD_ADS", "Machine"), ("INVALIDATE_MASTER_ADS", "DaemonMaster"))
# slot1_1@ip-172-31-0-4.ec2.internal@i-0123456789abcdef0.alice.annex
_SLOT = re.compile(r"@(i-[0-9a-f]+)\.[^@]+\.annex$")


@dataclass(frozen=True)
class Job:
    """A job of which a machine's end was never heard."""

    job_id: str
    owner: str  # user@domain
    instance_id: str
    removed: bool = False  # by its owner, and the schedd waits for the machine's answer


def jobs_on(htcondor: Any, instance_ids: Sequence[str]) -> list[Job]:  # noqa: ANN401 - a module
    """This access point's jobs, anybody's, on the machines."""
    ids = "|".join(instance_ids)  # of letters, digits and dashes alone
    there = " || ".join(f"JobStatus == {status}" for status in _ON_MACHINE)
    constraint = f'({there}) && regexp("@({ids})[.][^@]+[.]annex$", RemoteHost)'
    ads = htcondor.Schedd().query(constraint, _JOB_ATTRIBUTES)
    return sorted((_job(ad) for ad in ads), key=lambda job: job.job_id)


def let_go(run: Runner, jobs: Sequence[Job]) -> str:
    """Take removed jobs out of the queue, whatever their machines say; what condor_rm said of it.

    A user's own jobs alone can be: the schedd sees to that. HTCondor's own tool does it, as the
    bindings' FS authentication does not agree with every schedd's.
    """
    ids = [job.job_id for job in jobs if job.removed]
    if not ids:
        return ""
    done = run(["condor_rm", "-forcex", *ids], timeout=_TOOL_SECONDS)
    return "" if done.status == 0 else " ".join((done.stderr or done.stdout).split())


def invalidate(
    htcondor: Any,  # noqa: ANN401 - the same
    annex_id: str,
    instance_id: str,
    identity: str,
    token: str,
) -> None:
    """Remove one machine's slot and master ads, by the owner's token, which stays in memory.

    The collector lets this token remove any ad there is, so the machine, its annex and the identity
    that the collector itself established must all be right.
    """
    import classad2  # noqa: PLC0415 - slow to import

    wanted = (
        f'EC2InstanceID =?= "{instance_id}" && AnnexId =?= "{annex_id}" &&'
        f' AuthenticatedIdentity =?= "{identity}"'
    )
    security = htcondor.SecurityContext(token=token)
    for command, kind in _KINDS:
        ad = classad2.ClassAd({"MyType": "Query", "TargetType": kind})
        ad["Requirements"] = classad2.ExprTree(wanted)
        htcondor.Collector(security=security).advertise([ad], command)


def _job(ad: Any) -> Job:  # noqa: ANN401 - a ClassAd, or a dict in tests
    found = _SLOT.search(str(ad.get("RemoteHost", "")))
    return Job(
        f"{ad['ClusterId']}.{ad['ProcId']}",
        str(ad.get("User", "")),
        found[1] if found else "",
        removed=ad.get("JobStatus") == _REMOVED,
    )
