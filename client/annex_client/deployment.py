"""The names of things in the AWS account (docs/architecture.md), in one place."""

from __future__ import annotations

NAME = "htcondor-annex"  # also Chalice's app name, and the stack's
STAGE = "dev"  # Chalice's stage; the REST API's own stage is `api`

API_FUNCTION = f"{NAME}-{STAGE}"
SWEEP_FUNCTION = f"{NAME}-{STAGE}-sweep"
INTERRUPTION_FUNCTION = f"{NAME}-{STAGE}-interruption"
RULES = f"{NAME}-{STAGE}-"  # what the schedule's and the events' rules begin with
FUNCTIONS = (API_FUNCTION, SWEEP_FUNCTION, INTERRUPTION_FUNCTION)

REST_API = NAME
REST_STAGE = "api"
STACK = NAME
TABLE = f"{NAME}-ledger"
INSTANCE_PROFILE = f"{NAME}-instance"
SETTINGS_PARAMETER = f"/{NAME}/settings"
API_URL_PARAMETER = f"/{NAME}/api-url"
DEPLOYMENT_TAG = "htcondor:AnnexDeployment"


def bucket(account: str, region: str) -> str:
    """The configuration bucket's name."""
    return f"{NAME}-{account}-{region}"


def api_url(api_id: str, region: str, suffix: str = "amazonaws.com") -> str:
    """The REST API's address, as API Gateway makes it."""
    return f"https://{api_id}.execute-api.{region}.{suffix}/{REST_STAGE}"
