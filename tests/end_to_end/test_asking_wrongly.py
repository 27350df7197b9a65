"""What cannot be meant is refused in a sentence, and costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from stage import BAKED

if TYPE_CHECKING:
    from stage import Stage

pytestmark = pytest.mark.pool


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("start", "no blanks"), 2, "cannot be an annex's name"),
        (("start", "-dash"), 2, "See 'annex-client start --help'"),
        (("start", "x" * 65), 2, "use 1 to 64 letters"),
        (("start", "Bad", "--count", "0"), 2, "ask for at least 1"),
        (("start", "Bad", "--count", "1000000"), 2, "too many for one annex"),
        (("start", "Bad", "--count", "5000"), 3, "max_instances_per_annex"),
        (("start", "Bad", "--duration", "-1"), 2, "must be a number of hours above 0"),
        (("start", "Bad", "--duration", "nan"), 2, "must be a number of hours above 0"),
        (("start", "Bad", "--duration", "1e9"), 2, "more than a year"),
        (("start", "Bad", "--duration", "8000"), 3, "max_lease_seconds"),
        (("start", "Bad", "--duration", "0.5", "--idle", "1"), 2, "longer than the lease"),
        (("start", "Bad", "--ami-id", "debian"), 2, "not an image's id"),
        (("start", "Bad", "--ami-id", "ami-00000000000000bad"), 2, "There is no AMI"),
        (("start", "Bad", "--instance-type", "x9.huge"), 2, "no instance type x9.huge"),
        (("start", "Bad", "--subnet", "subnet-0123456789abcdef0"), 2, "There is no subnet"),
        (("start", "Bad", "--config-dir", "/nowhere"), 2, "cannot be read"),
        (("start", "Bad", "--grow"), 4, "no live annex Bad to grow"),
        (("status", "Unheard-of"), 4, "There is no annex Unheard-of of yours"),
        (("renew", "Unheard-of", "--duration", "1"), 4, "There is no annex Unheard-of of yours"),
        (("stop", "Unheard-of", "--yes"), 4, "There is no annex Unheard-of of yours"),
        (("renew", "Renewed", "--duration", "0"), 2, "above 0"),
    ],
)
def test_it_is_refused_with_a_sentence_and_nothing_starts(
    stage: Stage, words: tuple[str, ...], status: int, sentence: str
) -> None:
    more = ("--yes",) if words[0] == "start" else ()
    stage.annex(*words, *more).refused(status, sentence)
    assert not stage.machines("Bad")


def test_a_configuration_folder_that_is_too_large_is_not_sent(stage: Stage) -> None:
    stage.run("sh", "-c", "mkdir -p large && head -c 300000 /dev/zero | tr '\\0' '#' >large/a")
    stage.annex("start", "Bad", "--config-dir", "large", "--yes").refused(2, "is too large")


def test_a_configuration_file_that_cannot_be_read_is_named(stage: Stage) -> None:
    stage.run("sh", "-c", "mkdir -p closed && echo A=1 >closed/secret && chmod 0 closed/secret")
    done = stage.annex("start", "Bad", "--config-dir", "closed", "--yes")
    done.refused(2, "closed/secret cannot be read: Permission denied")


def test_a_subnet_without_a_way_out_is_refused_by_name_for_start_and_setup(stage: Stage) -> None:
    ec2 = stage.client("ec2")
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0][
        "VpcId"
    ]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="172.31.240.0/24")["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    stage.annex("start", "Bad", "--subnet", subnet, "--yes").refused(2, subnet, "no way out")
    stage.admin("annex-client", "setup", "--subnets", subnet).refused(2, subnet, "no way out")
    assert not stage.machines("Bad")


def test_before_anything_is_set_up_both_commands_say_what_to_run(stage: Stage) -> None:
    stage.noted("before setup").refused(7, "Run 'annex-client setup' first")
    stage.noted("no checkout").refused(7, "chalice deploy")


def test_another_region_is_another_annex(stage: Stage) -> None:
    done = stage.annex("start", "Bad", "--region", "eu-west-1", "--ami-id", BAKED, "--yes")
    done.refused(2, "is in us-east-1, not in eu-west-1")


def test_a_region_that_is_none_is_said_to_be_none(stage: Stage) -> None:
    stage.admin("annex-client", "setup", "--region", "the moon").refused(
        7, "not an AWS region's name"
    )


def test_a_lease_is_not_shortened_unless_that_is_said(stage: Stage, renewed: str) -> None:
    before = stage.view("Renewed")["lease_expires_at"]
    assert before > renewed
    done = stage.annex("renew", "Renewed", "--duration", "0.1")
    done.refused(2, "would shorten the lease", "--shorten")
    assert stage.view("Renewed")["lease_expires_at"] == before
