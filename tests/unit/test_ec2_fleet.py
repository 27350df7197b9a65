"""Answers of CreateFleet that the local account does not give."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.ec2_fleet import EC2Fleets
from chalicelib.ids import RequestId
from chalicelib.launch import (
    Ask,
    Attempt,
    Launch,
    Launched,
    LaunchSpec,
    Market,
    Place,
    RefusalKind,
    Road,
)
from chalicelib.launch_templates import LaunchTemplates
from chalicelib.launching import next_ask

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PLACES = (
    Place("m7i.large", "subnet-a", "us-east-1a", public_address=True),
    Place("m7i.large", "subnet-e", "us-east-1e", public_address=True),
)
SPEC = LaunchSpec(
    image_id="ami-1",
    root_device="/dev/xvda",
    root_gib=8,
    places=PLACES,
    security_groups=("sg-1",),
    instance_profile_arn="arn",
    key_name=None,
    tags=(),
    user_data=b"",
    road=Road.FLEET,
    market=Market.SPOT,
    fallback=True,
)
ATTEMPT = Attempt("annex-1-1-0", None, 2, NOW, market=Market.SPOT)
STARTED = {"InstanceType": "m7i.large", "InstanceIds": ["i-1", "i-2"]}


class Client:
    """Makes any template, and answers CreateFleet with what it was given, fleet after fleet."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self._answers = list(answers)
        self.tokens: list[str] = []

    def create_launch_template(self, **_: object) -> None:
        pass

    def create_fleet(self, **request: Any) -> dict[str, Any]:
        self.tokens.append(request["ClientToken"])
        return {"FleetId": f"fleet-{len(self.tokens)}", **self._answers.pop(0)}


def refused(code: str, subnet: str = "subnet-a", message: str = "No.") -> dict[str, Any]:
    override = {"InstanceType": "m7i.large", "SubnetId": subnet}
    where = {"LaunchTemplateAndOverrides": {"Overrides": override}}
    return {**where, "ErrorCode": code, "ErrorMessage": message}


def launched(client: Any) -> Launched:
    templates = LaunchTemplates(client, "htcondor-annex")
    fleets = EC2Fleets(client, "htcondor-annex", templates, lambda _: None)
    outcome = fleets.launch(SPEC, ATTEMPT)
    assert isinstance(outcome, Launched)
    return outcome


@pytest.mark.parametrize(
    "code", ["InvalidLaunchTemplateName.NotFoundException", "InvalidLaunchTemplateId.NotFound"]
)
def test_fleet_that_does_not_know_its_template_yet_is_asked_for_anew(code: str) -> None:
    client = Client({"Errors": [refused(code)]}, {"Instances": [STARTED]})
    outcome = launched(client)
    assert (len(outcome.machines), outcome.fleet_id) == (2, "fleet-2")
    # The first token would get the first answer again.
    assert client.tokens == ["annex-1-1-0", "annex-1-1-0-1"]


def test_fleet_that_never_knows_its_template_started_nothing_and_may_be_asked_on_demand() -> None:
    lost = {"Errors": [refused("InvalidLaunchTemplateName.NotFoundException")]}
    client = Client(lost, lost, lost)
    outcome = launched(client)
    assert outcome.machines == ()
    assert {no.kind for no in outcome.refusals} == {RefusalKind.CAPACITY}
    assert len(set(client.tokens)) == 3


def test_fleet_that_started_some_is_never_asked_for_anew() -> None:
    some = {"Instances": [STARTED], "Errors": [refused("InvalidLaunchTemplateId.NotFound")]}
    client = Client(some)
    assert len(launched(client).machines) == 2
    assert client.tokens == ["annex-1-1-0"]


def test_zone_without_the_type_is_no_reason_not_to_ask_on_demand() -> None:
    """us-east-1e has no m7i: a fleet says InvalidFleetConfiguration, and goes on elsewhere."""
    message = (
        "Your requested instance type (m7i.large) is not supported in your requested Availability "
        "Zone (us-east-1e)."
    )
    unsupported = refused("InvalidFleetConfiguration", "subnet-e", message)
    outcome = launched(Client({"Errors": [unsupported]}))
    asked = replace(ATTEMPT, settled=True, refusals=outcome.refusals)
    launch = Launch(RequestId("r"), 1, 2, NOW, SPEC, attempts=(asked,))
    assert next_ask(launch) == Ask(None, Market.ON_DEMAND)
