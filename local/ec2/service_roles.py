"""The service-linked roles that spot and fleets need, which a fresh account does not have.

Source: EC2 User Guide, "Service-linked role for Spot Instance requests", "... for Spot Fleet", "...
for EC2 Fleet": whoever calls by API must see to it that they exist, or be allowed to make them.
"""

from __future__ import annotations

from typing import Any

from moto.iam.models import IAMBackend, iam_backends

from local import authz
from local.callers import ACCOUNT, acting
from local.errors import AwsError
from local.iam.needs import SERVICE_ROLES
from local.iam.policy import Need

SPOT = "spot.amazonaws.com"
SPOT_FLEET = "spotfleet.amazonaws.com"
_FOR = {SPOT: "EC2 Spot Instances", SPOT_FLEET: "EC2 Spot Fleet"}


def require(service: str) -> None:
    """See to it that the service's role exists; whoever calls may have the right to make it.

    Raises:
        AwsError: AuthFailure.ServiceLinkedRoleCreationNotPermitted.
    """
    backend = iam_backends[ACCOUNT]["aws"]
    name = SERVICE_ROLES[service]
    if any(role.name == name for role in list(backend.roles.values())):
        return
    caller = acting.get()
    arn = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{service}/{name}"
    need = Need("iam:CreateServiceLinkedRole", arn, {"iam:AWSServiceName": service})
    if caller is None or not authz.permits(caller, need):
        raise AwsError(
            "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
            f"The provided credentials do not have permission to create the service-linked role "
            f"for {_FOR[service]}.",
        )
    backend.create_service_linked_role(service, "", "")


def install() -> None:
    """Give the roles their own names, which moto would guess wrong; once in a process."""
    create = IAMBackend.create_service_linked_role

    def create_service_linked_role(
        backend: Any, service_name: str, description: str, suffix: str
    ) -> Any:
        name = SERVICE_ROLES.get(service_name)
        if name is None:
            return create(backend, service_name, description, suffix)
        if any(role.name == name for role in list(backend.roles.values())):
            message = (
                f"Service role name {name} has been taken in this account, please try a different "
                f"suffix."
            )
            raise AwsError("InvalidInput", message)
        role = create(backend, service_name, description, suffix)
        role.name = name
        return role

    IAMBackend.create_service_linked_role = create_service_linked_role
