"""EC2's refusals in words: which quota or permission it was, and who can do what about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .launch import Refusal

_CONSOLE = "https://console.aws.amazon.com/servicequotas/home/services"
_ADMINISTRATOR = "an administrator of the AWS account"


@dataclass(frozen=True, slots=True)
class Quota:
    """One of Service Quotas' quotas: its name and code, and the service that it belongs to."""

    name: str
    code: str
    service: str = "ec2"

    def __str__(self) -> str:
        return f"'{self.name}' ({self.code})"

    @property
    def page(self) -> str:
        """Where the console shows it, and more can be asked for."""
        return f"{_CONSOLE}/{self.service}/quotas/{self.code}"


# EC2 User Guide, "On-Demand Instance quotas" and "Spot Instance quotas"; codes and names as Service
# Quotas lists them. A type belongs to the first row that fits the letters before its first digit.
_STANDARD = "Standard (A, C, D, H, I, M, R, T, Z)"
_ON_DEMAND = (
    ("dl", Quota("Running On-Demand DL instances", "L-6E869C2A")),
    ("hpc", Quota("Running On-Demand HPC instances", "L-F7808C92")),
    ("inf", Quota("Running On-Demand Inf instances", "L-1945791B")),
    ("trn", Quota("Running On-Demand Trn instances", "L-2C3B7624")),
    ("f", Quota("Running On-Demand F instances", "L-74FC7D96")),
    ("g|vt", Quota("Running On-Demand G and VT instances", "L-DB2E81BA")),
    ("p", Quota("Running On-Demand P instances", "L-417A185B")),
    ("u", Quota("Running On-Demand High Memory instances", "L-43DA4232")),
    ("x", Quota("Running On-Demand X instances", "L-7295265B")),
    ("a|c|d|h|i|m|r|t|z", Quota(f"Running On-Demand {_STANDARD} instances", "L-1216C47A")),
)
_SPOT = (
    ("dl", Quota("All DL Spot Instance Requests", "L-85EED4F7")),
    ("inf", Quota("All Inf Spot Instance Requests", "L-B5D1601B")),
    ("trn", Quota("All Trn Spot Instance Requests", "L-6B0D517C")),
    ("f", Quota("All F Spot Instance Requests", "L-88CF9481")),
    ("g|vt", Quota("All G and VT Spot Instance Requests", "L-3819A6DF")),
    ("p[2-4]", Quota("All P4, P3 and P2 Spot Instance Requests", "L-7212CCBC")),
    ("x", Quota("All X Spot Instance Requests", "L-E3A00192")),
    (
        "(?!hpc|mac)(a|c|d|h|i|m|r|t|z)",
        Quota(f"All {_STANDARD} Spot Instance Requests", "L-34B43A08"),
    ),
)
_DISKS = Quota("Storage for General Purpose SSD (gp3) volumes, in TiB", "L-7A658B76", "ebs")


def said(refusal: Refusal, instance_type: str = "") -> str:
    """One sentence, its full stop included; EC2's own where there is no better one.

    Args:
        refusal: EC2's no.
        instance_type: what was asked for; it decides which quota was meant.
    """
    code, words = refusal.code, None
    if code == "VcpuLimitExceeded":
        words = _quota(_of(_ON_DEMAND, instance_type), "machines", refusal)
    elif code == "MaxSpotInstanceCountExceeded":
        words = _quota(_of(_SPOT, instance_type), "spot machines", refusal)
    elif code == "VolumeLimitExceeded":
        words = _quota(_DISKS, "volumes", refusal)
    elif code == "AuthFailure.ServiceLinkedRoleCreationNotPermitted":
        words = _no_role(refusal)
    elif code == "OptInRequired" and "Marketplace" in refusal.message:
        words = _no_subscription(refusal)
    elif code == "UnauthorizedOperation":
        words = _denied(refusal)
    return f"{words or f'{refusal.message} ({code})'}."


def permission_in(message: str) -> str:
    """The permission that AWS's refusal names, like `iam:PassRole`; empty where it names none."""
    found = re.search(r"authorized to perform:? ([a-z0-9-]+:[A-Za-z]+)", message)
    return found[1] if found else ""


def _of(quotas: tuple[tuple[str, Quota], ...], instance_type: str) -> Quota | None:
    return next((q for pattern, q in quotas if re.match(pattern, instance_type)), None)


def _quota(quota: Quota | None, what: str, refusal: Refusal) -> str:
    limit = re.search(r"limit of (\d+)", refusal.message)
    size = f", {limit[1]} vCPUs," if limit else ""
    if quota is None:
        which, where = f"a quota for {what} of this type", f"{_CONSOLE}/ec2/quotas"
    else:
        which, where = f"the quota {quota}{size}", quota.page
    return (
        f"{which} of the AWS account is used up ({refusal.code}): stop {what} that count against "
        f"it, or {_ADMINISTRATOR} asks for more at {where}"
    )


def _no_role(refusal: Refusal) -> str:
    fleet = "Spot Fleet" in refusal.message
    role, service = (
        ("AWSServiceRoleForEC2SpotFleet", "spotfleet")
        if fleet
        else ("AWSServiceRoleForEC2Spot", "spot")
    )
    return (
        f"the AWS account lacks the service-linked role {role}, without which EC2 starts no spot "
        f"machine ({refusal.code}): {_ADMINISTRATOR} runs 'aws iam create-service-linked-role "
        f"--aws-service-name {service}.amazonaws.com', once; or ask for on-demand machines"
    )


def _no_subscription(refusal: Refusal) -> str:
    page = re.search(r"https?://\S+", refusal.message)
    where = page[0] if page else "https://aws.amazon.com/marketplace"
    return (
        "the AWS account has not accepted the terms of this AWS Marketplace image "
        f"({refusal.code}): {_ADMINISTRATOR} subscribes at {where}, or choose another image with "
        "--ami-id"
    )


def _denied(refusal: Refusal) -> str:
    permission = permission_in(refusal.message)
    what = f"the permission {permission}" if permission else "a permission that this launch needs"
    if "explicit deny" in refusal.message:
        why, cure = "a policy denies the control plane", "changes that policy"
    else:
        why, cure = "the control plane lacks", "runs 'chalice deploy' and 'annex-client setup' anew"
    return f"{why} {what} ({refusal.code}): {_ADMINISTRATOR} {cure}"
