"""API Gateway in front of the deployed app: "Control access to a REST API with IAM permissions"."""

from __future__ import annotations

import pytest
from botocore.credentials import Credentials

from tests.account.support import LocalAccount, policy

pytestmark = pytest.mark.account


@pytest.fixture(scope="module")
def api(sample: LocalAccount) -> str:
    apis = sample.client("apigateway").get_rest_apis()["items"]
    return f"/{next(each['id'] for each in apis if each['name'] == 'sample')}/api"


@pytest.fixture(scope="module")
def alice(sample: LocalAccount, api: str) -> Credentials:
    resource = f"arn:aws:execute-api:*:*:{api.split('/')[1]}/api/*"
    return sample.user("alice", {"Action": "execute-api:Invoke", "Resource": resource})


def test_the_function_learns_who_signed(sample: LocalAccount, api: str, alice: Credentials) -> None:
    """API Gateway Developer Guide, $context.identity: caller and user are unique ids."""
    status, identity, _ = sample.call_api("GET", f"{api}/whoami", alice)
    user = sample.client("iam").get_user(UserName="alice")["User"]
    assert status == 200
    assert identity["caller"] == identity["user"] == user["UserId"]
    assert identity["userArn"] == user["Arn"]
    assert identity["accountId"] == "123456789012"
    assert identity["accessKey"] == alice.access_key


def test_a_roles_session_is_a_caller_of_its_own(sample: LocalAccount, api: str) -> None:
    """IAM User Guide, aws:userid: ROLE-ID:SESSION."""
    iam = sample.client("iam")
    trust = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",'
        '"Principal":{"AWS":"123456789012"}}]}'
    )
    role = iam.create_role(RoleName="caller", AssumeRolePolicyDocument=trust)["Role"]
    allowed = policy({"Action": "execute-api:Invoke", "Resource": "*"})
    iam.put_role_policy(RoleName="caller", PolicyName="p", PolicyDocument=allowed)
    keys = sample.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="carol")[
        "Credentials"
    ]
    carol = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    status, identity, _ = sample.call_api("GET", f"{api}/whoami", carol)
    assert status == 200
    assert identity["caller"] == f"{role['RoleId']}:carol"
    assert identity["userArn"] == "arn:aws:sts::123456789012:assumed-role/caller/carol"


def test_paths_queries_and_bodies_arrive_whole(
    sample: LocalAccount, api: str, alice: Credentials
) -> None:
    status, got, _ = sample.call_api("PUT", f"{api}/things/r%3A1?b=2&a=1", alice, b'{"x": 1}')
    assert status == 200
    assert got == {"name": "r:1", "query": {"a": "1", "b": "2"}, "body": {"x": 1}}


def test_what_is_not_signed_right_is_refused(
    sample: LocalAccount, api: str, alice: Credentials
) -> None:
    """API Gateway Developer Guide, "Gateway response types"."""
    path = f"{api}/things/r1"
    wrong = Credentials(alice.access_key, "wrong")
    nobody = Credentials("AKIANOBODY0000000000", "x")
    refusals = [
        sample.call_api("PUT", path),
        sample.call_api("PUT", path, nobody),
        sample.call_api("PUT", path, wrong),
        sample.call_api("PUT", path, alice, b'{"x": 1}', sent_body=b'{"x": 2}'),
        sample.call_api("PUT", path, alice, service="ec2"),
        sample.call_api("GET", f"{api}/nothing", alice),
        sample.call_api("GET", "/nothing", alice),
        sample.call_api("PUT", path, sample.user("bob")),
    ]
    assert [status for status, _, _ in refusals] == [403] * len(refusals)
    assert [headers["x-amzn-ErrorType"] for _, _, headers in refusals] == [
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "InvalidSignatureException",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "ForbiddenException",
        "AccessDeniedException",
    ]


def test_a_route_without_authorizer_is_open(sample: LocalAccount, api: str) -> None:
    assert sample.call_api("GET", f"{api}/open")[:2] == (200, {"open": True})


def test_a_permission_can_name_method_and_path(sample: LocalAccount, api: str) -> None:
    """API Gateway Developer Guide, resource format of execute-api permissions."""
    identifier = api.split("/")[1]
    resource = f"arn:aws:execute-api:us-east-1:123456789012:{identifier}/api/GET/whoami"
    reader = sample.user("reader", {"Action": "execute-api:Invoke", "Resource": resource})
    assert sample.call_api("GET", f"{api}/whoami", reader)[0] == 200
    assert sample.call_api("PUT", f"{api}/things/r1", reader)[0] == 403
