"""Which permissions an API call needs, on which resources: what AWS checks before it acts.

Source: Service Authorization Reference. An action that is not listed here needs itself on `*`: a
policy that names an ARN for it is then refused, which shows at the first test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.iam.models import iam_backends

from local.callers import ACCOUNT
from local.iam import needs_ec2, needs_s3
from local.iam.policy import Need

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.call import Call

# Where IAM's prefix is not botocore's name of the service.
_PREFIX = {"elbv2": "elasticloadbalancing"}
_RENAMED = {"lambda:Invoke": "lambda:InvokeFunction"}
# EC2's service-linked roles (EC2 User Guide, "Service-linked role for Spot Fleet" and the like).
SERVICE_ROLES = {
    "spot.amazonaws.com": "AWSServiceRoleForEC2Spot",
    "spotfleet.amazonaws.com": "AWSServiceRoleForEC2SpotFleet",
    "ec2fleet.amazonaws.com": "AWSServiceRoleForEC2Fleet",
}


def needs(call: Call) -> list[Need]:
    """Every permission that the call needs; all of them must be given."""
    if call.service == "sts" and call.action == "GetCallerIdentity":
        return []  # never refused (STS API reference)
    if call.service == "ec2":
        return needs_ec2.needs(call)
    if call.service == "s3":
        return needs_s3.needs(call)
    if call.service == "apigateway":
        arn = f"arn:aws:apigateway:{call.region}::{call.target.partition('?')[0]}"
        return [Need(f"apigateway:{call.method}", arn)]
    if call.service == "dynamodb":
        return _dynamodb(call)
    action = f"{_PREFIX.get(call.service, call.service)}:{call.action}"
    action = _RENAMED.get(action, action)
    find = _RESOURCES.get(call.service)
    resource = find(call) if find else "*"
    found = [Need(action, resource, _context(call))]
    return found + _passed_roles(call)


def _context(call: Call) -> dict[str, str]:
    if "AWSServiceName" in call.params:
        return {"iam:AWSServiceName": str(call.params["AWSServiceName"])}
    if call.service == "cloudwatch" and "Namespace" in call.params:
        return {"cloudwatch:namespace": str(call.params["Namespace"])}
    return {}


def _ssm(call: Call) -> str:
    # Names come alone or in a list; every name of a list would need its own ARN: first one only
    # where there is one, else the path asked for.
    names = call.params.get("Names") or [call.params.get("Name") or call.params.get("Path")]
    name = str(names[0] or "*")
    owner = "" if name.startswith("/aws/service/") else ACCOUNT
    return f"arn:aws:ssm:{call.region}:{owner}:parameter/{name.lstrip('/')}"


def _lambda(call: Call) -> str:
    name = str(call.params.get("FunctionName") or call.params.get("Resource") or "")
    if not name:
        return "*"
    if name.startswith("arn:"):
        return name.partition("/functions/")[0]
    return f"arn:aws:lambda:{call.region}:{ACCOUNT}:function:{name}"


def _events(call: Call) -> str:
    rule = call.params.get("Rule") or call.params.get("Name")
    if call.action == "PutEvents":
        return f"arn:aws:events:{call.region}:{ACCOUNT}:event-bus/default"
    return f"arn:aws:events:{call.region}:{ACCOUNT}:rule/{rule}" if rule else "*"


def _logs(call: Call) -> str:
    group = call.params.get("logGroupName")
    # Also where the group alone is meant, AWS asks for its streams, as its refusals say:
    # "logs:CreateLogGroup on resource: ...:log-group:/aws/lambda/NAME:log-stream:".
    return f"arn:aws:logs:{call.region}:{ACCOUNT}:log-group:{group}:log-stream:" if group else "*"


def _cloudformation(call: Call) -> str:
    name = str(call.params.get("StackName") or "")
    if not name or name.startswith("arn:"):
        return name or "*"
    return f"arn:aws:cloudformation:{call.region}:{ACCOUNT}:stack/{name}/*"


def _cloudwatch(call: Call) -> str:
    name = call.params.get("AlarmName") or next(iter(call.params.get("AlarmNames") or ()), None)
    return f"arn:aws:cloudwatch:{call.region}:{ACCOUNT}:alarm:{name}" if name else "*"


def _sts(call: Call) -> str:
    return str(call.params.get("RoleArn") or "*")


def _iam(call: Call) -> str:
    params, backend = call.params, iam_backends[ACCOUNT]["aws"]
    if "AWSServiceName" in params:
        service = params["AWSServiceName"]
        name = SERVICE_ROLES.get(service, "*")
        return f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{service}/{name}"
    if "PolicyArn" in params and not {"RoleName", "UserName", "GroupName"} & params.keys():
        return str(params["PolicyArn"])
    for kind, key, known in (
        ("instance-profile", "InstanceProfileName", backend.instance_profiles.values()),
        ("role", "RoleName", backend.roles.values()),
        ("user", "UserName", backend.users.values()),
        ("policy", "PolicyName", ()),
    ):
        if key in params:
            name = params[key]
            arn = next((str(thing.arn) for thing in list(known) if thing.name == name), None)
            path = str(params.get("Path") or "/")
            return arn or f"arn:aws:iam::{ACCOUNT}:{kind}{path}{name}"
    return "*"


_RESOURCES: dict[str, Callable[[Call], str]] = {
    "cloudformation": _cloudformation,
    "cloudwatch": _cloudwatch,
    "events": _events,
    "iam": _iam,
    "lambda": _lambda,
    "logs": _logs,
    "ssm": _ssm,
    "sts": _sts,
}

# A role handed to a service needs iam:PassRole (IAM User Guide, "Grant a user permissions to pass a
# role to an AWS service").
_PASSES = {
    ("lambda", "CreateFunction"): ("Role", "lambda.amazonaws.com"),
    ("lambda", "UpdateFunctionConfiguration"): ("Role", "lambda.amazonaws.com"),
    ("cloudformation", "CreateStack"): ("RoleARN", "cloudformation.amazonaws.com"),
    ("cloudformation", "UpdateStack"): ("RoleARN", "cloudformation.amazonaws.com"),
    ("events", "PutRule"): ("RoleArn", "events.amazonaws.com"),
}


def _passed_roles(call: Call) -> list[Need]:
    if (call.service, call.action) == ("iam", "AddRoleToInstanceProfile"):
        role = f"arn:aws:iam::{ACCOUNT}:role/{call.params.get('RoleName')}"
        return [Need("iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"})]
    key, service = _PASSES.get((call.service, call.action), ("", ""))
    passed = call.params.get(key)
    return [Need("iam:PassRole", str(passed), {"iam:PassedToService": service})] if passed else []


def _dynamodb(call: Call) -> list[Need]:
    params = call.params
    if call.action == "TransactWriteItems":
        # Each item needs its own action ("Using IAM with DynamoDB transactions").
        renamed = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}
        return [
            Need(f"dynamodb:{renamed.get(kind, 'ConditionCheckItem')}", _table(call, item))
            for entry in params.get("TransactItems", ())
            for kind, item in entry.items()
        ]
    if call.action == "TransactGetItems":
        items = (entry["Get"] for entry in params.get("TransactItems", ()))
        return [Need("dynamodb:GetItem", _table(call, item)) for item in items]
    if call.action in {"BatchGetItem", "BatchWriteItem"}:
        return [
            Need(f"dynamodb:{call.action}", _table(call, {"TableName": name}))
            for name in params.get("RequestItems", ())
        ]
    return [Need(f"dynamodb:{call.action}", _table(call, params))]


def _table(call: Call, params: Mapping[str, Any]) -> str:
    name = str(params.get("TableName") or params.get("ResourceArn") or "")
    if not name:
        return "*"
    arn = (
        name
        if name.startswith("arn:")
        else f"arn:aws:dynamodb:{call.region}:{ACCOUNT}:table/{name}"
    )
    index = params.get("IndexName")
    return f"{arn}/index/{index}" if index else arn
