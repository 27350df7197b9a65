"""The service-linked roles that spot machines and fleets need: the account's, made once for all.

EC2's console makes them on first use, its API does not (EC2 User Guide, 'Service-linked role for
Spot Instance requests', 'EC2 Fleet prerequisites', 'Spot Fleet permissions'). Teardown leaves them:
they are not the annex's alone, cost nothing and can do nothing by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from annex_client.aws_errors import DENIED, code_of

if TYPE_CHECKING:
    from annex_client.account import Account

ROLES = {
    "AWSServiceRoleForEC2Spot": "spot.amazonaws.com",
    "AWSServiceRoleForEC2Fleet": "ec2fleet.amazonaws.com",
    "AWSServiceRoleForEC2SpotFleet": "spotfleet.amazonaws.com",
}
# IAM's words for a role that is there.
_THERE = ("InvalidInput", "EntityAlreadyExists")


def ensure(account: Account) -> list[str]:
    """Make those that are missing; returns those that these credentials may not make."""
    return [name for name, service in ROLES.items() if not _made(account, name, service)]


def _made(account: Account, name: str, service: str) -> bool:
    import botocore.exceptions  # noqa: PLC0415 - slow to import

    iam = account.iam()
    try:
        iam.get_role(RoleName=name)
    except iam.exceptions.NoSuchEntityException:
        try:
            iam.create_service_linked_role(AWSServiceName=service)
        except botocore.exceptions.ClientError as error:
            if code_of(error) in DENIED:
                return False
            if code_of(error) not in _THERE:
                raise
    return True
