"""The names of things in the AWS account (docs/architecture.md), in one place."""

from __future__ import annotations

NAME = "htcondor-annex"  # also Chalice's app name, and the stack's
STAGE = "dev"  # Chalice's stage; the REST API's own stage is `api`

API_FUNCTION = f"{NAME}-{STAGE}"
SWEEP_FUNCTION = f"{NAME}-{STAGE}-sweep"
INTERRUPTION_FUNCTION = f"{NAME}-{STAGE}-interruption"
RULES = f"{NAME}-{STAGE}-"  # what the schedule's and the events' rules begin with
FUNCTIONS = (API_FUNCTION, SWEEP_FUNCTION, INTERRUPTION_FUNCTION)
# Chalice sets a retention for the last one too, which nothing is ever logged to.
LOG_GROUPS = tuple(f"/aws/lambda/{name}" for name in (*FUNCTIONS, f"{API_FUNCTION}-api_handler"))

REST_API = NAME
REST_STAGE = "api"
STACK = NAME
LEGACY_STACK = f"{NAME}-legacy"
TABLE = f"{NAME}-ledger"
INSTANCE_PROFILE = f"{NAME}-instance"
SETTINGS_PARAMETER = f"/{NAME}/settings"
API_URL_PARAMETER = f"/{NAME}/api-url"
DEPLOYMENT_TAG = "htcondor:AnnexDeployment"

# What `setup --set` may change, and the stack's parameter behind each.
SETTINGS = {
    "default_instance_type": "DefaultInstanceType",
    "image_parameter": "ImageParameter",
    "root_volume_gib": "RootVolumeGib",
    "max_lease_seconds": "MaxLeaseSeconds",
    "max_instances_per_annex": "MaxInstancesPerAnnex",
    "max_instances_per_owner": "MaxInstancesPerOwner",
    "dead_man_margin_seconds": "DeadManMarginSeconds",
    "boot_limit_seconds": "BootLimitSeconds",
    "vacate_seconds": "VacateSeconds",
    "unjoined_limit_seconds": "UnjoinedLimitSeconds",
    "key_names": "KeyNames",
}


def bucket(account: str, region: str) -> str:
    """The configuration bucket's name."""
    return f"{NAME}-{account}-{region}"


def legacy_bucket(account: str, region: str) -> str:
    """The bucket of legacy images' tarballs."""
    return f"{NAME}-legacy-{account}-{region}"


def api_url(api_id: str, region: str, suffix: str = "amazonaws.com") -> str:
    """The REST API's address, as API Gateway makes it."""
    return f"https://{api_id}.execute-api.{region}.{suffix}/{REST_STAGE}"
