"""What EC2 says of a Spot Fleet request that lacks machines."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.ids import AnnexId
from chalicelib.launch import RefusalKind
from chalicelib.launch_templates import LaunchTemplates
from chalicelib.spot_fleet import SpotFleets

REQUEST = "sfr-1"


class Client:
    """Has one request, which lacks machines for the one reason given."""

    def __init__(self, event_type: str, sub_type: str, description: str) -> None:
        information = {"EventSubType": sub_type, "EventDescription": description}
        self._record = {"EventType": event_type, "EventInformation": information}

    def get_paginator(self, _: str) -> Client:
        return self

    def paginate(self) -> list[dict[str, Any]]:
        shown = {"SpotFleetRequestId": REQUEST, "SpotFleetRequestState": "active"}
        return [{"SpotFleetRequestConfigs": [shown]}]

    def cancel_spot_fleet_requests(self, **_: object) -> dict[str, Any]:
        return {}

    def describe_spot_fleet_request_history(self, **_: object) -> dict[str, Any]:
        return {"HistoryRecords": [self._record]}


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (
            (
                "error",
                "spotFleetRequestConfigurationInvalid",
                "p2.xlarge: We currently do not have sufficient p2.xlarge capacity in the zone",
            ),
            RefusalKind.CAPACITY,
        ),
        (
            ("information", "launchSpecUnusable", "requested instance type is not supported"),
            RefusalKind.CAPACITY,
        ),
        (("error", "iamFleetRoleInvalid", "not allowed"), RefusalKind.FATAL),
        (("error", "spotInstanceCountLimitExceeded", "too many"), RefusalKind.QUOTA),
    ],
)
def test_lack_of_machines_is_told_from_a_bad_configuration(
    event: tuple[str, str, str], kind: RefusalKind
) -> None:
    client: Any = Client(*event)
    fleets = SpotFleets(client, "htcondor-annex", LaunchTemplates(client, "htcondor-annex"))
    ((said,),) = fleets.cancel(AnnexId("annex-1"), [REQUEST], terminate=False).values()
    assert said.kind is kind
