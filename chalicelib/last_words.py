"""Why a machine goes, or soon may: EC2's notices and the machine's own report, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .iso import iso
from .model import NoticeKind

if TYPE_CHECKING:
    from .ids import InstanceId
    from .model import Annex, Report

# A machine reports as soon as the annex's own part of its user data runs.
SILENT = "it left no report: its user data broke off early, or it could not reach S3."


def why_ending(annex: Annex, instance_id: InstanceId, report: Report | None) -> str:
    """EC2's notice where there was one, since a machine may be gone before it can tell; or empty.

    Else what the machine said last: of its end EC2 knows only that it came.
    """
    reclaim = annex.notice_of(instance_id, NoticeKind.RECLAIM)
    if reclaim is not None:
        return f"reclaimed by EC2 at {iso(reclaim.at)}"
    return report.reason if report is not None else ""


def warning(annex: Annex, instance_id: InstanceId) -> str:
    """EC2's recommendation to rebalance, or empty; the machine itself says it in the same words."""
    told = annex.notice_of(instance_id, NoticeKind.REBALANCE)
    return "" if told is None else f"EC2 may take it back soon (its warning of {iso(told.at)})"
