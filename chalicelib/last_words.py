"""Why a machine goes, or soon may: EC2's notices and the machine's own report, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .iso import iso
from .model import NoticeKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .ids import InstanceId
    from .model import Annex, Instance, Report

# A machine reports as soon as the annex's own part of its user data runs.
SILENT = "it left no report: its user data broke off early, or it could not reach S3."
# EC2 API Reference, StateReason: a machine that was answered for, and never came up.
_NEVER_UP = (
    *("Client.InternalError", "Client.InvalidKMSKey", "Client.InvalidSnapshot"),
    *("Client.VolumeLimitExceeded", "Server.InternalError", "Server.InsufficientInstanceCapacity"),
)
# What it means, as a rule: github.com/aws/karpenter-provider-aws/issues/1407.
_NO_KEY = ("Client.InternalError", "Client.InvalidKMSKey")


def never_up(seen: Sequence[Instance] | None, instance_id: InstanceId) -> str:
    """Why EC2 could not bring a machine up though it had answered for it; or empty."""
    told = next((one.state_reason for one in seen or () if one.instance_id == instance_id), "")
    if not told.startswith(_NEVER_UP):
        return ""
    why = f"EC2 could not bring it up ({told})"
    if not told.startswith(_NO_KEY):
        return why
    return (
        f"{why}: as a rule the account's default key for disks is one that the control plane or "
        "AWSServiceRoleForEC2Spot may not use; an administrator of the AWS account allows it in "
        "the key's policy"
    )


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
