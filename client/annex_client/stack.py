"""The CloudFormation stack: created, brought up to date, watched, deleted."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

from annex_client import deployment
from annex_client.aws_errors import code_of
from annex_client.deployment import SETTINGS
from annex_client.errors import AwsTrouble, BadInput, Conflict, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mypy_boto3_cloudformation import CloudFormationClient

# States in which nothing of a first creation is worth keeping; it is deleted and made anew.
_FAILED_CREATION = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED")
_TAKEN_BACK = "UPDATE_ROLLBACK_COMPLETE"
# A list may come back in another form than it was given in.
_LISTS = ("Subnets",)
_WORDS = ("DefaultInstanceType", "ImageParameter", "KeyNames")


def template(stack: str = deployment.STACK) -> str:
    """The template of a stack as it is shipped."""
    name = {deployment.STACK: "stack.yaml", deployment.LEGACY_STACK: "legacy.yaml"}[stack]
    return (resources.files("annex_client") / name).read_text(encoding="utf-8")


def assignments(given: Iterable[str]) -> dict[str, str]:
    """`--set KEY=VALUE` as stack parameters.

    Raises:
        BadInput: no such setting, or its value is no number.
    """
    found = {}
    for text in given:
        key, equals, value = text.partition("=")
        parameter = SETTINGS.get(key.strip())
        if not equals or parameter is None:
            raise BadInput(f"--set takes KEY=VALUE with one of: {', '.join(SETTINGS)}.")
        if parameter not in _WORDS and not value.strip().isdigit():
            raise BadInput(f"{key} is a whole number (of seconds, machines or GiB), not {value!r}.")
        found[parameter] = value.strip()
        if parameter == "KeyNames":
            found[parameter] = _key_names(value)
    return found


def _key_names(value: str) -> str:
    """A list with commas, as it goes into the settings' JSON."""
    if '"' in value or "\\" in value:
        raise BadInput(
            "key_names takes names of EC2 key pairs with commas, without quotes; or '*'."
        )
    return ",".join(name.strip() for name in value.split(","))


class Stack:
    """One of the deployment's stacks, through one client."""

    def __init__(self, client: CloudFormationClient, name: str = deployment.STACK) -> None:
        self._client = client
        self._name = name
        self._changed = True

    def description(self) -> dict[str, Any] | None:
        """CloudFormation's description of it, or None where there is none."""
        import botocore.exceptions  # noqa: PLC0415 - slow to import

        try:
            stacks = self._client.describe_stacks(StackName=self._name)["Stacks"]
        except botocore.exceptions.ClientError as error:
            if code_of(error) == "ValidationError":  # CloudFormation's word for 'no such stack'
                return None
            raise
        return next((dict(s) for s in stacks if s["StackStatus"] != "DELETE_COMPLETE"), None)

    def parameters(self) -> dict[str, str]:
        """The parameters it was last given, but for lists."""
        return found_parameters(self.description() or {})

    def outputs(self) -> dict[str, str]:
        """Its outputs."""
        found = self.description() or {}
        return {o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", ())}

    def put(self, parameters: Mapping[str, str]) -> None:
        """Begin to create or update it; parameters not given stay as they are.

        Raises:
            Conflict: somebody else is at it.
        """
        found = self.description()
        if found is not None and found["StackStatus"].endswith("_IN_PROGRESS"):
            raise Conflict(
                f"The stack {self._name} is being changed by somebody else just now"
                f" ({found['StackStatus']}).  Try again when that is done."
            )
        if found is not None and found["StackStatus"] == "DELETE_FAILED":
            raise Conflict(
                f"A teardown of the stack {self._name} did not finish.  Run 'annex-client"
                " teardown' again first."
            )
        if found is None:
            self._create(parameters)
        else:
            lists = {p["ParameterKey"] for p in found.get("Parameters", ())}.intersection(_LISTS)
            self._update({**found_parameters(found), **parameters}, lists)

    def failed_creation(self) -> bool:
        """Whether a first creation failed, so that it must be deleted before the next."""
        found = self.description()
        return found is not None and found["StackStatus"] in _FAILED_CREATION

    def resource_state(self, logical_id: str) -> str:
        """CloudFormation's word for one resource, or nothing before its turn.

        Raises:
            AwsTrouble: the stack has failed, with CloudFormation's reason.
        """
        self.raise_if_failed()
        pages = self._client.get_paginator("list_stack_resources").paginate(StackName=self._name)
        for page in pages:
            for resource in page["StackResourceSummaries"]:
                if resource["LogicalResourceId"] == logical_id:
                    return str(resource["ResourceStatus"])
        return ""

    def settled(self) -> bool:
        """Whether everything is there.

        Raises:
            AwsTrouble: the stack has failed.
        """
        return self.raise_if_failed() in (
            "CREATE_COMPLETE",
            "UPDATE_COMPLETE",
            "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        )

    def raise_if_failed(self) -> str:
        """The stack's state.

        Raises:
            AwsTrouble: it has failed; the message has CloudFormation's first reason.
            Refused: the reason is a lack of rights.
        """
        found = self.description()
        if found is None:
            raise AwsTrouble(f"The stack {self._name} has vanished.  Run setup again.")
        state = str(found["StackStatus"])
        if state == _TAKEN_BACK and not self._changed:
            return "UPDATE_COMPLETE"  # an earlier update was taken back, and all is as it was
        if "FAILED" in state or "ROLLBACK" in state:
            reason = self._first_failure() or found.get("StackStatusReason", "no reason given")
            kind = Refused if "denied" in reason or "not authorized" in reason else AwsTrouble
            raise kind(
                f"CloudFormation could not make it ({state}): {reason}  Mend that and run setup"
                " again; it begins where it must."
            )
        return state

    def delete(self) -> None:
        """Begin to delete it."""
        self._client.delete_stack(StackName=self._name)

    def _create(self, parameters: Mapping[str, str]) -> None:
        self._client.create_stack(
            StackName=self._name,
            TemplateBody=template(self._name),
            Parameters=_pairs(parameters),
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )

    def _update(self, parameters: Mapping[str, str], lists: Iterable[str]) -> None:
        import botocore.exceptions  # noqa: PLC0415 - slow to import

        kept: list[Any] = [
            {"ParameterKey": key, "UsePreviousValue": True}
            for key in lists
            if key not in parameters
        ]
        self._changed = True
        try:
            self._client.update_stack(
                StackName=self._name,
                TemplateBody=template(self._name),
                Parameters=_pairs(parameters) + kept,
                Capabilities=["CAPABILITY_NAMED_IAM"],
            )
        except botocore.exceptions.ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
            self._changed = False

    def _first_failure(self) -> str:
        """The oldest failure of the newest attempt: what follows it is only its echo."""
        reason = ""
        pages = self._client.get_paginator("describe_stack_events").paginate(StackName=self._name)
        for page in pages:
            for event in page["StackEvents"]:  # newest first
                if str(event.get("ResourceStatus", "")).endswith("_FAILED"):
                    name = event.get("LogicalResourceId", "")
                    reason = f"{name}: {event.get('ResourceStatusReason', '')}"
                if event.get("LogicalResourceId") == self._name and str(
                    event.get("ResourceStatus", "")
                ) in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"):
                    return reason
        return reason


def found_parameters(description: Mapping[str, Any]) -> dict[str, str]:
    """The parameters in a stack's description, but for lists."""
    return {
        p["ParameterKey"]: p.get("ParameterValue", "")
        for p in description.get("Parameters", ())
        if p["ParameterKey"] not in _LISTS
    }


def _pairs(parameters: Mapping[str, str]) -> list[Any]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
