"""The functions and the REST API, which Chalice deploys: found, deployed, registered."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from annex_client import deployment
from annex_client.aws_errors import code_of
from annex_client.errors import AwsTrouble, Conflict, Refused

if TYPE_CHECKING:
    from pathlib import Path

    from annex_client.account import Account
    from annex_client.context import Context

# AWS has refused to create and update python3.11 functions since 2026-08-31, and Chalice deploys
# for the Python it runs under.
_OLDEST_PYTHON = (3, 12)
_DEPLOY_SECONDS = 900
# Chalice of this very Python, which has no `python -m chalice`.
_CHALICE = "import sys; from chalice.cli import main; sys.exit(main())"
_LOG_DAYS = 30
# EventBridge comes again in a minute anyway: a late or repeated sweep is worth nothing.
_SWEEP_EVENT_SECONDS = 60


def missing(account: Account) -> list[str]:
    """The functions that are not there."""
    client = account.functions()

    def there(name: str) -> bool:
        try:
            client.get_function_configuration(FunctionName=name)
        except client.exceptions.ResourceNotFoundException:
            return False
        return True

    return [name for name in deployment.FUNCTIONS if not there(name)]


def checkout(start: Path) -> Path | None:
    """The project's folder, if `start` is in it."""
    for folder in (start, *start.parents):
        config = folder / ".chalice" / "config.json"
        try:
            if json.loads(config.read_text(encoding="utf-8")).get("app_name") == deployment.NAME:
                return folder
        except (OSError, ValueError, AttributeError):
            continue
    return None


def can_deploy(context: Context) -> Path:
    """The checkout to deploy from.

    Raises:
        AwsTrouble: this is none, or its Python is too old for AWS.
    """
    folder = checkout(context.cwd)
    if folder is None:
        raise AwsTrouble(
            "The Lambda functions are not deployed, and this folder is not a checkout of the"
            " project.  Run 'chalice deploy' in one, then 'annex-client setup' again.",
            code="NotSetUp",
        )
    # Only an endpoint of one's own may take functions that AWS itself would refuse.
    if context.python < _OLDEST_PYTHON and not context.environ.get("AWS_ENDPOINT_URL"):
        raise AwsTrouble(
            f"AWS takes no functions for Python {context.python[0]}.{context.python[1]} any more."
            "  Run setup, or 'chalice deploy', under Python 3.12 or newer (3.13 is best).",
            code="NotSetUp",
        )
    return folder


def deploy(account: Account, context: Context, folder: Path) -> None:
    """Run `chalice deploy` with this Python and these credentials.

    Raises:
        AwsTrouble: it failed; its last words are in the message.
    """
    environ: dict[str, str] = {
        "AWS_ACCESS_KEY_ID": account.keys.access_key or "",
        "AWS_SECRET_ACCESS_KEY": account.keys.secret_key or "",
        "AWS_DEFAULT_REGION": account.region,
        "AWS_REGION": account.region,
    }
    if account.keys.token:
        environ["AWS_SESSION_TOKEN"] = account.keys.token
    done = context.run(
        [sys.executable, "-c", _CHALICE, "deploy", "--stage", deployment.STAGE],
        extra_environ=environ,
        cwd=folder,
        timeout=_DEPLOY_SECONDS,
    )
    if done.status == 0:
        return
    if "No module named 'chalice'" in done.stderr:
        raise AwsTrouble(
            "The functions are deployed by Chalice, which this Python does not have.  Install it"
            f" ('pip install chalice'), or run 'chalice deploy' in {folder} yourself, then setup"
            " again.",
            code="NotSetUp",
        )
    said = (done.stderr.strip() or done.stdout.strip() or f"status {done.status}").splitlines()
    raise AwsTrouble(f"'chalice deploy' failed: {' '.join(said[-3:])}")


def find_api(account: Account) -> str | None:
    """The REST API's id; None where there is none.

    Raises:
        Conflict: there are several, or another one than the one registered.
    """
    pages = account.apigateway().get_paginator("get_rest_apis").paginate()
    found = [
        str(api["id"])
        for page in pages
        for api in page["items"]
        if api.get("name") == deployment.REST_API
    ]
    registered = registered_url(account)
    if len(found) > 1:
        url = registered or "none is registered yet"
        raise Conflict(
            f"There are {len(found)} REST APIs named {deployment.REST_API} ({', '.join(found)};"
            f" registered: {url}): somebody has deployed from a second checkout.  Run 'chalice"
            " delete' in the checkout that is not to stay, then setup again.",
            code="SecondDeployment",
        )
    return found[0] if found else None


def registered_url(account: Account) -> str | None:
    """The control plane's address in SSM."""
    client = account.ssm()
    try:
        found = client.get_parameter(Name=deployment.API_URL_PARAMETER)
    except client.exceptions.ParameterNotFound:
        return None
    return found["Parameter"]["Value"]


def register(account: Account, url: str) -> None:
    """Put the address into SSM; an older one can only be of an API that is gone (`find_api`)."""
    if registered_url(account) == url:
        return
    account.ssm().put_parameter(
        Name=deployment.API_URL_PARAMETER,
        Value=url,
        Type="String",
        Overwrite=True,
        Description="Where the HTCondor annex answers",
    )


def configure(account: Account) -> None:
    """What Chalice leaves open: no late or repeated sweeps, and logs that are not kept for ever.

    Raises:
        Refused: AWS does not allow it.
    """
    import botocore.exceptions  # noqa: PLC0415 - slow to import

    client = account.functions()
    # A teardown that was begun and thought better of has closed these two ways in.
    client.delete_function_concurrency(FunctionName=deployment.API_FUNCTION)
    events = account.events()
    for page in events.get_paginator("list_rules").paginate(NamePrefix=deployment.RULES):
        for rule in page["Rules"]:
            if rule.get("State") == "DISABLED":
                events.enable_rule(Name=rule["Name"])
    client.put_function_event_invoke_config(
        FunctionName=deployment.SWEEP_FUNCTION,
        MaximumRetryAttempts=0,
        MaximumEventAgeInSeconds=_SWEEP_EVENT_SECONDS,
    )
    logs = account.logs()
    for name in deployment.FUNCTIONS:
        group = f"/aws/lambda/{name}"
        try:
            logs.create_log_group(logGroupName=group)
        except botocore.exceptions.ClientError as error:
            if code_of(error) != "ResourceAlreadyExistsException":
                raise Refused(f"The log group {group} cannot be made: {error}") from None
        logs.put_retention_policy(logGroupName=group, retentionInDays=_LOG_DAYS)
