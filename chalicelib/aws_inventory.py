"""The deployment's parts as Lambda, IAM and EC2 have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from .aws_errors import code_of, translated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient


class AwsInventory:
    """`ports.Inventory`."""

    def __init__(self, functions: LambdaClient, iam: IAMClient, ec2: EC2Client) -> None:
        self._functions = functions
        self._iam = iam
        self._ec2 = ec2

    def missing_functions(self, names: Sequence[str]) -> Sequence[str]:
        return [name for name in names if not self._is_ready(name)]

    def instance_profile(self, name: str) -> tuple[str, str] | None:
        with translated("look at the instance profile"):
            try:
                profile = self._iam.get_instance_profile(InstanceProfileName=name)
            except ClientError as error:
                if code_of(error) == "NoSuchEntity":
                    return None
                raise
        found = profile["InstanceProfile"]
        return (found["Arn"], found["Roles"][0]["RoleId"]) if found["Roles"] else None

    def missing_roles(self, names: Sequence[str]) -> Sequence[str]:
        return [name for name in names if not self._is_role(name)]

    def ingress_rules(self, security_group: str) -> int | None:
        with translated("look at the security group"):
            try:
                groups = self._ec2.describe_security_groups(GroupIds=[security_group])
            except ClientError as error:
                if code_of(error).startswith("InvalidGroup"):
                    return None
                raise
        return sum(len(one.get("IpPermissions", [])) for one in groups["SecurityGroups"])

    def _is_role(self, name: str) -> bool:
        with translated("look at the roles"):
            try:
                self._iam.get_role(RoleName=name)
            except ClientError as error:
                if code_of(error) != "NoSuchEntity":
                    raise
                return False
        return True

    def _is_ready(self, name: str) -> bool:
        with translated("look at the functions"):
            try:
                found = self._functions.get_function_configuration(FunctionName=name)
            except ClientError as error:
                if code_of(error) == "ResourceNotFoundException":
                    return False
                raise
        return found.get("State", "Active") in ("Active", "Inactive")
