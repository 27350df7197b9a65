"""`status`: what ledger, EC2 and collector know of one annex or of all, with reasons."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from annex_client import admin_key, inputs, merge
from annex_client.errors import NotFound
from annex_client.exits import Exit
from annex_client.render import plural

if TYPE_CHECKING:
    from annex_client.session import Session
    from annex_client.views import Annex

_WATCH_SECONDS = 5


@dataclass(frozen=True)
class StatusOptions:
    """`classads` is the predecessor's -classad: one ClassAd for each machine."""

    name: str | None = None
    watch: bool = False
    classads: bool = False


def run(session: Session, options: StatusOptions) -> Exit:
    """Print it once, or until Ctrl-C.

    Raises:
        NotFound: no such annex.
    """
    admin_key.forget_expired(session.context)
    while True:
        if options.watch:
            session.out.clear_screen()
        if options.name is None and options.classads and not session.out.as_json:
            for annex in session.api.annexes():
                if not annex.over:
                    _one(session, replace(options, name=annex.name))
        elif options.name is None:
            _all(session)
        else:
            _one(session, options)
        if not options.watch:
            return Exit.DONE
        session.context.clock.sleep(_WATCH_SECONDS)


def _one(session: Session, options: StatusOptions) -> None:
    name = str(options.name)
    try:
        annex = session.api.annex(name)
    except NotFound:
        raise NotFound(
            f"There is no annex {name} of yours.  'annex-client status' lists those there are."
        ) from None
    if annex.over:
        admin_key.forget(session.context, name)
    slots, trouble = session.slots(name)
    whole = merge.merge(annex, slots, session.context.clock.now())
    session.out.facts(whole.as_json())
    if session.out.as_json:
        _warn(session, trouble)
        return
    if options.classads:
        _print_classads(session, whole)
        return
    session.out.say(_headline(session, annex))
    if whole.machines:
        session.out.table(
            ("Instance ID", "Type", "Zone", "Lifecycle", "State", "Claimed", "Reason"),
            [_row(machine) for machine in whole.machines],
            right="5",
        )
    else:
        session.out.say("No machines.")
    _warn(session, trouble)


def _all(session: Session) -> None:
    annexes = session.api.annexes()
    for name in {a.name for a in annexes} - {a.name for a in annexes if not a.over}:
        admin_key.forget(session.context, name)
    slots, trouble = session.slots()
    found = [merge.summary_json(annex, slots) for annex in annexes]
    session.out.facts({"annexes": found})
    if not session.out.as_json:
        if not found:
            session.out.say("You have no annexes.")
        else:
            session.out.table(
                ("Annex", "State", "Lease ends", "In pool", "Slots", "Claimed", "Reason"),
                [_summary_row(item) for item in found],
                right="345",
            )
    _warn(session, trouble)


def _headline(session: Session, annex: Annex) -> str:
    """What was asked for and what became of it; the lease has a line of its own."""
    reason = f" ({annex.reason.rstrip('.')})" if annex.reason else ""
    text = f"{annex.name}: {annex.state}{reason}, {_units(annex)}"
    if annex.over:
        return f"{text}."
    each = "each" if annex.unit == "machine" else "each machine"
    left = round((annex.lease_end - session.context.clock.now()).total_seconds())
    when = f"in {_duration(left)}" if left > 0 else f"{_duration(-left)} ago"
    return (
        f"{text}, {each} ends when idle for {inputs.hours_of_seconds(annex.idle_seconds)} hours.\n"
        f"Lease ends {annex.lease_end:%Y-%m-%d %H:%M:%S} UTC ({when})."
    )


def _units(annex: Annex) -> str:
    """`5 slots asked for`, or `4 of 5 slots started`."""
    asked = plural(annex.requested, annex.unit)
    if annex.started is None or annex.started >= annex.requested:
        return f"{asked} asked for"
    return f"{annex.started} of {asked} started"


def _row(machine: merge.Machine) -> tuple[str, ...]:
    given = machine.instance
    return (
        given.instance_id,
        given.instance_type,
        given.zone,
        given.lifecycle,
        given.state,
        f"{_number(machine.claimed)} of {_number(machine.slots)}",
        machine.reason,
    )


def _summary_row(item: dict[str, Any]) -> tuple[str, ...]:
    counts = item["counts"]
    machines = sum(counts.get(state, 0) for state in ("pending", "running"))
    return (
        item["name"],
        item["state"],
        item["lease_expires_at"],
        f"{_number(item['joined'])} of {machines}",
        _number(item["slots"]),
        _number(item["claimed"]),
        item["reason"],
    )


def _print_classads(session: Session, whole: merge.Whole) -> None:
    for machine in whole.machines:
        facts = {"AnnexName": whole.annex.name, "AnnexId": whole.annex.annex_id}
        lines = [f"{key} = {_classad(value)}" for key, value in facts.items()]
        for key, value in machine.as_json().items():
            words = [word if word.isupper() else word.capitalize() for word in key.split("_")]
            name = "".join(words).replace("InstanceId", "InstanceID")
            lines.append(f"{name} = {_classad(value)}")
        session.out.say("\n".join(lines) + "\n")


def _classad(value: object) -> str:
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _warn(session: Session, trouble: str) -> None:
    if trouble:
        session.out.warn(f"{trouble}  What the collector would know is 'unknown'.")


def _number(value: int | None) -> str:
    return "?" if value is None else str(value)


def _duration(seconds: int) -> str:
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
