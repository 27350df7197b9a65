"""`check-setup`: the tutorial's lines, each proven by the functions with their own roles."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from annex_client import views
from annex_client.exits import Exit

if TYPE_CHECKING:
    from annex_client.session import Session

# The tutorial's four lines; what else the control plane looks at is shown if it is not well.
_TUTORIAL = ("configuration bucket", "Lambda functions", "instance profile", "security group")
# The sweep runs each minute, and the alarm rings after five.
_SWEEP_LATE = timedelta(minutes=5)


def run(session: Session) -> Exit:
    """Print what is there, and what to do about what is not.

    Raises:
        AwsTrouble: the control plane cannot be asked at all.
    """
    out = session.out
    report = session.api.setup_report()
    found = [views.component(item) for item in report["components"]]
    by_name = {component.name.lower(): component for component in found}
    shown = [by_name[name.lower()] for name in _TUTORIAL if name.lower() in by_name]
    shown += [component for component in found if component not in shown and not component.ok]
    sweep = _sweep(session, report)
    if sweep is not None:
        shown.append(sweep)
    for component in shown:
        verdict = "OK." if component.ok else f"not OK: {component.detail or 'no reason given'}"
        out.say(f"Checking for {component.name}... {verdict}")
    well = all(component.ok for component in shown)
    if well:
        out.say("Your setup looks OK.")
    else:
        out.say(
            "Your setup is not OK.  Do what the lines above say, or run 'annex-client setup' again:"
            " it makes what is missing and leaves the rest as it is."
        )
    out.facts({**report, "ok": well})
    return Exit.DONE if well else Exit.AWS_TROUBLE


def _sweep(session: Session, report: dict[str, Any]) -> views.Component | None:
    """A line about the sweep, unless it does what it must."""
    at = report.get("sweep_finished_at")
    if at is None:
        # New deployments have not swept yet; a minute later it is a fault.
        return views.Component(
            "sweep",
            ok=False,
            detail="it has never finished, so AWS's side of the leases is not kept.  If this"
            " deployment is older than two minutes, run 'chalice deploy' again.",
        )
    if session.context.clock.now() - views.parse_time(at) > _SWEEP_LATE:
        return views.Component(
            "sweep",
            ok=False,
            detail=f"it last finished at {at}, so AWS's side of the leases is not kept.  Look at"
            " the alarm htcondor-annex-sweep-stopped and at the function's log.",
        )
    return None
