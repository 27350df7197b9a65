"""moto's server, with what Chalice needs of it, and what every account is born with."""

from __future__ import annotations

import json
import os
import threading
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from secrets import token_hex, token_urlsafe
from typing import TYPE_CHECKING, Any

# Before moto is imported: the thousands of images it knows cannot be booted here, so launches of
# them are refused, and the account is up a second sooner.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"

from moto.apigateway.models import APIGatewayBackend
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy, Role, User, iam_backends
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.ssm.models import Parameter, ssm_backends
from werkzeug.serving import BaseWSGIServer, make_server

from local.callers import ACCOUNT
from local.images import IMAGES
from local.serving import POLL_SECONDS

if TYPE_CHECKING:
    from local.edge import Wsgi

REGION = "us-east-1"
_FLEET_POLICY = "AmazonEC2SpotFleetTaggingRole"
_DEBIAN = "136693071363"  # Debian's own AWS account, which publishes its images


@dataclass(frozen=True)
class Key:
    """The administrator's access key."""

    access_key_id: str
    secret_access_key: str

    def __repr__(self) -> str:
        return f"Key({self.access_key_id!r})"  # never the secret


def application() -> Wsgi:
    """The WSGI application of moto."""
    app: Wsgi = DomainDispatcherApplication(create_backend_app)
    return app


def serve(app: Wsgi, listening: Any) -> BaseWSGIServer:
    """Serve on a bound and listening socket, until `shutdown` is called on what is returned."""
    host, port = listening.getsockname()[:2]
    # moto's handler keeps the spelling of metadata headers, which are signed; it need not log.
    handler = type("Handler", (MotoRequestHandler,), {"log": lambda *_: None})
    server = make_server(
        host, port, app, threaded=True, request_handler=handler, fd=listening.fileno()
    )
    server.daemon_threads = True
    thread = threading.Thread(
        target=server.serve_forever, args=(POLL_SECONDS,), name=f"http {port}", daemon=True
    )
    thread.start()
    return server


def new_key() -> Key:
    """An access key of the usual shape, not in use anywhere."""
    return Key("AKIA" + token_hex(8).upper(), token_urlsafe(30))


def reset() -> None:
    """Forget everything: the account is empty."""
    moto_api_backend.reset()


def seed(administrator: Key, regions: tuple[str, ...] = (REGION,)) -> None:
    """Make the administrator, the images and the parameters that point to them.

    The default VPC is moto's: 172.31.0.0/16 with a subnet in each zone. It gets its way out, which
    AWS's default VPCs have and moto's has not.
    """
    _seed_administrator(administrator)
    _seed_policy()
    for region in regions:
        backend = ec2_backends[ACCOUNT][region]
        _open_default_vpc(backend)
        for image in IMAGES:
            backend.amis[image.ami_id] = Ami(
                backend,
                image.ami_id,
                name=image.name,
                description=image.name,
                owner_id=_DEBIAN,
                public=True,
                virtualization_type="hvm",
                architecture=image.architecture,
                hypervisor="xen",
                root_device_type="ebs",
                root_device_name="/dev/xvda",
                region_name=f"{region}a",
            )
            if image.parameter:
                _publish_parameter(region, image.parameter, image.ami_id)


def install() -> None:
    """Patch what Chalice and IAM's unique ids need, once in a process."""
    put, import_ = APIGatewayBackend.put_rest_api, APIGatewayBackend.import_rest_api

    def put_rest_api(
        backend: Any, function_id: str, api_doc: Any, fail_on_warnings: Any, mode: str = "merge"
    ) -> Any:
        # Chalice sends Swagger 2.0, which API Gateway takes and moto does not; moto also drops
        # the authorization that the document asks for.
        api = put(backend, function_id, _openapi(api_doc), fail_on_warnings, mode)
        for path, methods in api_doc["paths"].items():
            resource = api.get_resource_for_path(path)
            for verb, details in methods.items():
                if any("sigv4" in entry for entry in details.get("security", [])):
                    resource.resource_methods[verb.upper()].authorization_type = "AWS_IAM"
        return api

    def import_rest_api(backend: Any, api_doc: Any, fail_on_warnings: Any) -> Any:
        return import_(backend, _openapi(api_doc), fail_on_warnings)

    APIGatewayBackend.put_rest_api = put_rest_api
    APIGatewayBackend.import_rest_api = import_rest_api

    make_user = User.__init__

    def user(self: Any, *args: Any, **kwargs: Any) -> None:
        make_user(self, *args, **kwargs)
        # moto's ids say nothing; AWS's say what they are (IAM User Guide, "Unique identifiers").
        self.id = "AIDA" + token_hex(9).upper()[:17]

    User.__init__ = user
    _install_managed_policies()


def _install_managed_policies() -> None:
    """Let CloudFormation attach a role's ManagedPolicyArns, which moto drops."""
    create = Role.create_from_cloudformation_json.__func__
    delete = Role.delete_from_cloudformation_json.__func__

    def create_role(cls: Any, name: str, resource: Any, *args: Any, **kwargs: Any) -> Any:
        role = create(cls, name, resource, *args, **kwargs)
        for arn in resource["Properties"].get("ManagedPolicyArns") or ():
            iam_backends[ACCOUNT]["aws"].attach_role_policy(arn, role.name)
        return role

    def delete_role(cls: Any, name: str, resource: Any, *args: Any, **kwargs: Any) -> None:
        for role in list(iam_backends[ACCOUNT]["aws"].roles.values()):
            if role.name == name:
                for policy in list(role.managed_policies.values()):
                    policy.detach_from(role)
        delete(cls, name, resource, *args, **kwargs)

    Role.create_from_cloudformation_json = classmethod(create_role)
    Role.delete_from_cloudformation_json = classmethod(delete_role)


def _openapi(document: Any) -> Any:
    copy = dict(document)
    if copy.pop("swagger", None):
        copy["openapi"] = "3.0.1"
    copy["info"] = {"description": "", **copy.get("info", {})}
    return copy


@cache
def _fleet_role_policy() -> Any:
    """AWS's own policy for Spot Fleet roles, as moto has recorded it."""
    data: dict[str, Any] = json.loads(aws_managed_policies_data)
    return AWSManagedPolicy.from_data(
        _FLEET_POLICY, account_id=ACCOUNT, region_name=REGION, data=data[_FLEET_POLICY]
    )


def _seed_policy() -> None:
    policy = copy(_fleet_role_policy())
    policy.attachment_count = 0
    iam_backends[ACCOUNT]["aws"].managed_policies[policy.arn] = policy


def _seed_administrator(key: Key) -> None:
    backend = iam_backends[ACCOUNT]["aws"]
    backend.create_user(region_name=REGION, user_name="administrator")
    everything = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
    backend.put_user_policy("administrator", "AdministratorAccess", json.dumps(everything))
    access_key = backend.create_access_key("administrator")
    # The same key after a reset: shells keep what `env` told them.
    access_key.access_key_id = key.access_key_id
    access_key.secret_access_key = key.secret_access_key


def _open_default_vpc(backend: Any) -> None:
    vpc_id = backend.get_default_vpc().id
    gateway = backend.create_internet_gateway()
    backend.attach_internet_gateway(gateway.id, vpc_id)
    (table,) = (each for each in backend.route_tables.values() if each.vpc_id == vpc_id)
    backend.create_route(table.id, "0.0.0.0/0", gateway_id=gateway.id)


def _publish_parameter(region: str, name: str, value: str) -> None:
    # PutParameter refuses names under /aws, as AWS does.
    ssm_backends[ACCOUNT][region]._parameters[name].append(  # noqa: SLF001
        Parameter(
            account_id=ACCOUNT,
            name=name,
            value=value,
            parameter_type="String",
            description=None,
            allowed_pattern=None,
            keyid=None,
            last_modified_date=datetime.now(UTC).timestamp(),
            version=1,
            data_type="aws:ec2:image",
        )
    )
