"""TerminateInstances, StopInstances and StartInstances: all or nothing, and safe to repeat.

Source: TerminateInstances in the EC2 API reference: a single incorrect id and nothing is
terminated; a protected instance protects its whole zone's batch and no other's.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult

from local.ec2.describe import require
from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from local.ec2.lifecycle import Lifecycle


def change(
    response: Any, lifecycle: Lifecycle, field: str, act: Callable[[Sequence[Any]], list[Any]]
) -> ActionResult:
    """Check the ids of a call, then act on all of them; `act` returns their states before.

    Raises:
        AwsError: for a bad id, before anything has happened.
    """
    ids = response.params.get("InstanceIds") or []
    if not ids:
        raise AwsError("MissingParameter", "The request must contain the parameter InstanceId")
    known = (each for each in response.ec2_backend.all_instances() if lifecycle.visible(each.id))
    instances = require(ids, known)
    if response.params.get("DryRun"):
        raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
    before = act(instances)
    changes = [
        {
            "InstanceId": instance.id,
            "CurrentState": {"Code": instance.state_code, "Name": instance.state},
            "PreviousState": {"Code": previous.code, "Name": previous.name},
        }
        for instance, previous in zip(instances, before, strict=True)
    ]
    return ActionResult({field: changes})


def terminate(instances: Sequence[Any]) -> list[Any]:
    """End them zone by zone; then refuse where one was protected."""
    before = {}
    refused = None
    for _, group in groupby(sorted(instances, key=_zone), key=_zone):
        batch = list(group)
        protected = next((each for each in batch if _true(each.disable_api_termination)), None)
        if protected is not None:
            refused = protected
            continue
        before.update({each.id: each.terminate() for each in batch})
    if refused is not None:
        raise AwsError(
            "OperationNotPermitted",
            f"The instance '{refused.id}' may not be terminated. Modify its "
            f"'disableApiTermination' instance attribute and try again.",
        )
    return [before[each.id] for each in instances]


def stop(instances: Sequence[Any]) -> list[Any]:
    """Stop them."""
    return [each.stop() for each in instances]


def start(instances: Sequence[Any]) -> list[Any]:
    """Start them."""
    return [each.start() for each in instances]


def _zone(instance: Any) -> str:
    return str(instance.availability_zone)


def _true(value: object) -> bool:
    return str(value).lower() == "true"
