"""What EC2's refusals become: the quota's or permission's name, and who does what."""

from __future__ import annotations

import pytest

from chalicelib.launch import Refusal, RefusalKind
from chalicelib.refusal_words import permission_in, said

DENIED = (
    "You are not authorized to perform this operation. User: arn:aws:sts::123456789012:"
    "assumed-role/htcondor-annex-dev/htcondor-annex-dev is not authorized to perform: {} on "
    "resource: arn:aws:ec2:us-east-1:123456789012:instance/* because {}"
)


def words(code: str, message: str = "", instance_type: str = "m7i.large") -> str:
    return said(Refusal(RefusalKind.FATAL, code, message), instance_type)


@pytest.mark.parametrize(
    ("instance_type", "name", "code"),
    [
        ("m7i.large", "Standard (A, C, D, H, I, M, R, T, Z)", "L-1216C47A"),
        ("c7g.large", "Standard (A, C, D, H, I, M, R, T, Z)", "L-1216C47A"),
        ("a1.large", "Standard (A, C, D, H, I, M, R, T, Z)", "L-1216C47A"),
        ("im4gn.large", "Standard (A, C, D, H, I, M, R, T, Z)", "L-1216C47A"),
        ("t3.micro", "Standard (A, C, D, H, I, M, R, T, Z)", "L-1216C47A"),
        ("d3en.xlarge", "Standard (A, C, D, H, I, M, R, T, Z)", "L-1216C47A"),
        ("dl1.24xlarge", "DL", "L-6E869C2A"),
        ("f2.6xlarge", "F", "L-74FC7D96"),
        ("g6.xlarge", "G and VT", "L-DB2E81BA"),
        ("vt1.3xlarge", "G and VT", "L-DB2E81BA"),
        ("hpc7a.96xlarge", "HPC", "L-F7808C92"),
        ("inf2.xlarge", "Inf", "L-1945791B"),
        ("p5.48xlarge", "P", "L-417A185B"),
        ("trn1.2xlarge", "Trn", "L-2C3B7624"),
        ("u-6tb1.metal", "High Memory", "L-43DA4232"),
        ("x2gd.medium", "X", "L-7295265B"),
    ],
)
def test_a_quota_of_vcpus_is_named_after_the_type_s_family(
    instance_type: str, name: str, code: str
) -> None:
    told = words("VcpuLimitExceeded", "vCPU limit of 8 allows for", instance_type)
    assert f"'Running On-Demand {name} instances' ({code}), 8 vCPUs," in told
    assert f"quotas/{code}." in told
    assert "administrator" in told


@pytest.mark.parametrize(
    ("instance_type", "name", "code"),
    [
        ("m7i.large", "All Standard (A, C, D, H, I, M, R, T, Z)", "L-34B43A08"),
        ("r7g.large", "All Standard (A, C, D, H, I, M, R, T, Z)", "L-34B43A08"),
        ("dl1.24xlarge", "All DL", "L-85EED4F7"),
        ("f2.6xlarge", "All F", "L-88CF9481"),
        ("g6.xlarge", "All G and VT", "L-3819A6DF"),
        ("inf2.xlarge", "All Inf", "L-B5D1601B"),
        ("p4d.24xlarge", "All P4, P3 and P2", "L-7212CCBC"),
        ("trn1.2xlarge", "All Trn", "L-6B0D517C"),
        ("x2gd.medium", "All X", "L-E3A00192"),
    ],
)
def test_spot_has_quotas_of_its_own(instance_type: str, name: str, code: str) -> None:
    told = words("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded", instance_type)
    assert f"'{name} Spot Instance Requests' ({code})" in told
    assert f"quotas/{code}." in told


@pytest.mark.parametrize("code", ["VcpuLimitExceeded", "MaxSpotInstanceCountExceeded"])
@pytest.mark.parametrize("instance_type", ["", "q1.large", "hpc7a.96xlarge"])
def test_a_quota_that_is_not_known_is_never_named_wrongly(code: str, instance_type: str) -> None:
    told = words(code, "over", instance_type)
    assert "L-1216C47A" not in told
    assert "L-34B43A08" not in told
    assert code in told
    assert "https://console.aws.amazon.com/servicequotas/" in told


def test_a_quota_of_disks_is_not_one_of_machines() -> None:
    told = words("VolumeLimitExceeded", "Maximum number of ... exceeded")
    assert "'Storage for General Purpose SSD (gp3) volumes, in TiB' (L-7A658B76)" in told
    assert "services/ebs/quotas/L-7A658B76" in told


@pytest.mark.parametrize(
    ("kind", "role", "service"),
    [
        ("Instances", "AWSServiceRoleForEC2Spot,", "spot.amazonaws.com"),
        ("Fleet", "AWSServiceRoleForEC2SpotFleet,", "spotfleet.amazonaws.com"),
    ],
)
def test_a_missing_service_linked_role_is_named_with_its_command(
    kind: str, role: str, service: str
) -> None:
    told = words(
        "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
        "The provided credentials do not have permission to create the service-linked role for "
        f"EC2 Spot {kind}.",
    )
    assert role in told
    assert f"'aws iam create-service-linked-role --aws-service-name {service}'" in told


def test_an_unaccepted_image_leads_to_the_page_where_it_is_accepted() -> None:
    page = "https://aws.amazon.com/marketplace/pp?sku=abc"
    told = words(
        "OptInRequired",
        "In order to use this AWS Marketplace product you need to accept terms and subscribe. To "
        f"do so please visit {page}",
    )
    assert f"subscribes at {page}, or choose another image with --ami-id." in told


@pytest.mark.parametrize(
    "permission",
    ["ec2:RunInstances", "ec2:CreateFleet", "ec2:RequestSpotFleet", "iam:PassRole"],
)
def test_a_denied_call_names_the_permission_and_who_gives_it(permission: str) -> None:
    message = DENIED.format(permission, f"no identity-based policy allows the {permission} action")
    told = words("UnauthorizedOperation", message)
    assert f"the control plane lacks the permission {permission} (UnauthorizedOperation)" in told
    assert "administrator" in told
    assert "arn:" not in told
    assert permission_in(message) == permission


def test_a_policy_that_denies_expressly_is_not_cured_by_a_new_setup() -> None:
    told = words(
        "UnauthorizedOperation",
        DENIED.format("ec2:RunInstances", "with an explicit deny in a service control policy"),
    )
    assert "a policy denies the control plane the permission ec2:RunInstances" in told
    assert "setup" not in told


def test_a_denial_without_a_permission_s_name_is_a_sentence_too() -> None:
    told = words("UnauthorizedOperation", "You are not authorized to perform this operation")
    assert "lacks a permission that this launch needs (UnauthorizedOperation)" in told


def test_any_other_refusal_is_told_in_ec2_s_own_words() -> None:
    assert words("InvalidParameterValue", "No such thing") == (
        "No such thing (InvalidParameterValue)."
    )
    assert words("OptInRequired", "You are not subscribed to this service") == (
        "You are not subscribed to this service (OptInRequired)."
    )
