"""`check-setup`: the tutorial's lines, each proven by the functions with their own roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from annex_client import views
from annex_client.exits import Exit

if TYPE_CHECKING:
    from annex_client.session import Session

# The tutorial's four lines; what else the control plane looks at is shown if it is not well.
_TUTORIAL = ("configuration bucket", "Lambda functions", "instance profile", "security group")
# The schedule is each minute; EventBridge takes up to another for a new rule.
_FIRST_SWEEP_POLLS = 24
_POLL_SECONDS = 5


def run(session: Session) -> Exit:
    """Print what is there, and what to do about what is not.

    Raises:
        AwsTrouble: the control plane cannot be asked at all.
    """
    out = session.out
    report = _with_first_sweep(session, session.api.setup_report())
    found = [views.component(item) for item in report["components"]]
    by_name = {component.name.lower(): component for component in found}
    shown = [by_name[name.lower()] for name in _TUTORIAL if name.lower() in by_name]
    shown += [component for component in found if component not in shown and not component.ok]
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


def _with_first_sweep(session: Session, report: dict[str, Any]) -> dict[str, Any]:
    """On a fresh deployment, wait for the first sweep: it is part of what is proven."""
    if report.get("sweep_finished_at") is not None:
        return report
    session.out.begin("Waiting for the sweep's first run (this takes less than two minutes)")
    for _ in range(_FIRST_SWEEP_POLLS):
        session.out.dot()
        session.context.clock.sleep(_POLL_SECONDS)
        report = session.api.setup_report()
        if report.get("sweep_finished_at") is not None:
            session.out.end()
            return report
    session.out.end(" it has not come.")
    return report
