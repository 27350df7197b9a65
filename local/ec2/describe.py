"""DescribeInstances: pages of instances, every filter that is used here, and late readers.

Source: DescribeInstances in the EC2 API reference; "Eventual consistency"; MaxResults counts
instances, between 5 and 1000.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from itertools import groupby
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.ec2.utils import passes_filter_dict

from local.ec2.checks import check_ids
from local.ec2.paging import PAGE, page
from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_LEAST = 5
_CONSOLE_CHARACTERS = 65536


def describe_instances(response: Any, visible: Callable[[str], bool]) -> ActionResult:
    """Answer a call; `visible` says whether an instance is to be seen yet.

    Raises:
        AwsError: InvalidInstanceID.NotFound, InvalidParameterCombination and the like.
    """
    params, backend = response.params, response.ec2_backend
    response.error_on_dryrun()
    ids, size = params.get("InstanceIds") or [], params.get("MaxResults")
    if ids and size:
        message = "The parameter instancesSet cannot be used with the parameter maxResults"
        raise AwsError("InvalidParameterCombination", message)
    if size is not None and not _LEAST <= int(size) <= PAGE:
        message = f"Value ( {size} ) for parameter maxResults is invalid. Expecting 5 to 1000."
        raise AwsError("InvalidParameterValue", message)
    pairs = [
        (reservation, instance)
        for reservation in list(backend.reservations.values())
        for instance in list(reservation.instances)
        if visible(instance.id)
    ]
    if ids:
        wanted = require(ids, (instance for _, instance in pairs))
        pairs = [pair for pair in pairs if pair[1] in wanted]
    filters = {each["Name"]: each.get("Values", []) for each in params.get("Filters") or ()}
    pairs = [pair for pair in pairs if _passes(pair[1], filters)]
    chosen, token = page(params, pairs)
    return ActionResult({"Reservations": _reservations(chosen), "NextToken": token})


def get_console_output(response: Any, output: Callable[[str], str]) -> ActionResult:
    """What the machine's console showed, of which EC2 keeps the last 64 KB.

    Raises:
        AwsError: InvalidInstanceID.NotFound.
    """
    instance_id = response.params["InstanceId"]
    require([instance_id], response.ec2_backend.all_instances())
    text = output(instance_id)[-_CONSOLE_CHARACTERS:]
    now = datetime.now(UTC)
    encoded = base64.b64encode(text.encode()).decode()
    return ActionResult({"InstanceId": instance_id, "Timestamp": now, "Output": encoded})


def require(ids: Iterable[str], instances: Iterable[Any]) -> list[Any]:
    """The instances with these ids, all of them.

    Raises:
        AwsError: InvalidInstanceID.Malformed, InvalidInstanceID.NotFound.
    """
    wanted = list(dict.fromkeys(ids))
    check_ids(wanted)
    found = {instance.id: instance for instance in instances}
    missing = [each for each in wanted if each not in found]
    if missing:
        which, do = ("ID", "does") if len(missing) == 1 else ("IDs", "do")
        message = f"The instance {which} '{', '.join(missing)}' {do} not exist"
        raise AwsError("InvalidInstanceID.NotFound", message)
    return [found[each] for each in wanted]


def _passes(instance: Any, filters: Mapping[str, list[str]]) -> bool:
    rest = dict(filters)
    own = {
        "client-token": instance.client_token,
        "instance-lifecycle": instance.lifecycle,
        "instance-state-code": str(instance.state_code),
        "iam-instance-profile.arn": (instance.iam_instance_profile or {}).get("Arn"),
        "iam-instance-profile.id": (instance.iam_instance_profile or {}).get("Id"),
    }
    for name in own.keys() & rest.keys():
        if own[name] not in rest.pop(name):
            return False
    try:
        return bool(passes_filter_dict(instance, rest))
    except NotImplementedError:
        message = f"The filter '{next(iter(rest))}' is invalid"
        raise AwsError("InvalidParameterValue", message) from None


def _reservations(pairs: Sequence[tuple[Any, Any]]) -> list[Any]:
    """Reservations cut to what is on the page."""
    return [
        SimpleNamespace(
            id=reservation.id,
            reservation_id=reservation.id,
            owner_id=reservation.owner_id,
            groups=reservation.groups,
            instances=[instance for _, instance in group],
        )
        for reservation, group in groupby(pairs, key=lambda pair: pair[0])
    ]
