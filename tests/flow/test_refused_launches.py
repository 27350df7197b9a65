"""What a user reads when EC2 starts nothing, or a part: one sentence each, and nothing is left."""

from __future__ import annotations

import pytest

from chalicelib.launch import Refusal, RefusalKind
from chalicelib.model import AnnexState
from tests.fakes.world import World, code, told

DENIED = (
    "You are not authorized to perform this operation. User: arn:aws:sts::1:assumed-role/r/s is "
    "not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/x because no "
    "identity-based policy allows the iam:PassRole action"
)
ROLE = (
    "The provided credentials do not have permission to create the service-linked role for EC2 "
    "Spot Instances."
)
TERMS = (
    "In order to use this AWS Marketplace product you need to accept terms and subscribe. To do so "
    "please visit https://aws.amazon.com/marketplace/pp?sku=abc"
)
REFUSALS = [
    (Refusal(RefusalKind.QUOTA, "VcpuLimitExceeded", "more"), 409, "QuotaExceeded", "L-1216C47A"),
    (
        Refusal(RefusalKind.QUOTA, "MaxSpotInstanceCountExceeded", "Max spot"),
        409,
        "QuotaExceeded",
        "L-34B43A08",
    ),
    (
        Refusal(RefusalKind.FATAL, "AuthFailure.ServiceLinkedRoleCreationNotPermitted", ROLE),
        403,
        "Forbidden",
        "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com",
    ),
    (Refusal(RefusalKind.FATAL, "OptInRequired", TERMS), 403, "Forbidden", "pp?sku=abc"),
    (
        Refusal(RefusalKind.FATAL, "UnauthorizedOperation", DENIED),
        403,
        "Forbidden",
        "the permission iam:PassRole",
    ),
]


@pytest.mark.parametrize(
    ("refusal", "status", "kind", "words"), REFUSALS, ids=[one[0].code for one in REFUSALS]
)
def test_each_refusal_is_one_sentence_and_costs_nothing(
    refusal: Refusal, status: int, kind: str, words: str
) -> None:
    world = World()
    world.compute.refusals["m7i.large"] = refusal
    answer = world.start()
    assert (answer.status, code(answer)) == (status, kind)
    message = told(answer)["error"]["message"]
    assert words in message
    assert refusal.code in message
    assert message.startswith("No machine was started for annex foo")
    assert world.compute.machines == {}
    assert world.configs.objects == {}
    assert world.annex().state is AnnexState.TERMINATED
    assert words in told(world.show())["reason"]


@pytest.mark.parametrize(
    ("refusal", "status", "kind", "words"), REFUSALS, ids=[one[0].code for one in REFUSALS]
)
def test_a_failed_grow_says_the_same_and_leaves_the_annex_as_it_was(
    refusal: Refusal, status: int, kind: str, words: str
) -> None:
    world = World()
    world.start()
    before = (world.annex().lease_expires_at, world.running())
    world.compute.refusals["m7i.large"] = refusal
    answer = world.grow(duration_seconds=7200)
    assert (answer.status, code(answer)) == (status, kind)
    assert words in told(answer)["error"]["message"]
    assert (world.annex().lease_expires_at, world.running()) == before
    assert world.annex().state is AnnexState.ACTIVE


def test_check_setup_names_the_permission_that_is_lacking() -> None:
    world = World()
    world.compute.refusals["m7i.large"] = REFUSALS[-1][0]
    found = {one["name"]: one for one in told(world.call("GET", "/setup", {}))["components"]}
    assert "the permission iam:PassRole" in found["launch permission"]["detail"]


def test_a_part_is_n_of_m_in_answer_and_status() -> None:
    world = World()
    world.compute.free = {("m7i.large", "us-east-1a"): 1, ("m7i.large", "us-east-1b"): 1}
    answer = told(world.start(count=3))
    assert (answer["started"], answer["asked"], answer["pending"]) == (2, 3, False)
    assert "2 of 3 started" in " ".join(answer["notes"])
    seen = told(world.show())
    assert seen["requested"] == 3
    assert len(seen["instances"]) == 2
    assert "2 of 3 started" in seen["reason"]
    (listed,) = told(world.call("GET", "/annexes", {}))["annexes"]
    assert "2 of 3 started" in listed["reason"]


def test_a_type_over_its_quota_leaves_the_next_type_its_turn() -> None:
    world = World()
    world.compute.refusals["m7i.large"] = REFUSALS[0][0]
    answer = told(world.start(count=2, instance_types=["m7i.large", "m7i.xlarge"]))
    assert answer["started"] == 2
    assert "L-1216C47A" in " ".join(answer["notes"])
