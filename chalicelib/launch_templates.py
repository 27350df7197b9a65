"""Launch templates of an annex: made by name before its fleets, removed with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from .aws_errors import code_of, translated
from .tags import ANNEX_ID, DEPLOYMENT, listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_ec2 import EC2Client

    from .ids import AnnexId

_THERE = "InvalidLaunchTemplateName.AlreadyExistsException"
_GONE = (
    "InvalidLaunchTemplateId.NotFound",
    "InvalidLaunchTemplateName.NotFoundException",
)


class LaunchTemplates:
    """The launch templates of one deployment."""

    def __init__(self, client: EC2Client, deployment: str) -> None:
        self._client = client
        self._deployment = deployment

    def make(self, name: str, data: Mapping[str, Any], tags: Sequence[tuple[str, str]]) -> None:
        """Make a template, tagged as the annex's; one that has the name already is this one.

        Its data is frozen before it is made, so whoever repeats the call asks for the same.
        `data` is a LaunchTemplateData, its UserData base64. Raises ClientError, since only the
        launch that needs it can say what a refusal means.
        """
        try:
            self._client.create_launch_template(
                LaunchTemplateName=name,
                LaunchTemplateData=dict(data),  # type: ignore[arg-type]  # JSON of that shape
                TagSpecifications=[{"ResourceType": "launch-template", "Tags": listed(tags)}],
            )
        except ClientError as error:
            if code_of(error) != _THERE:
                raise

    def remove(self, template_id: str) -> None:
        """Remove one with all its versions; no error when it is gone.

        By id, as listings give it: where a policy asks for a tag, EC2 calls a name that does not
        exist a lack of rights. Raises AwsUnavailable, Forbidden.
        """
        with translated("remove a launch template"):
            try:
                self._client.delete_launch_template(LaunchTemplateId=template_id)
            except ClientError as error:
                if code_of(error) not in _GONE:
                    raise

    def clear(self, annex_id: AnnexId) -> None:
        """Remove all of an annex's that EC2 shows. Raises AwsUnavailable, Forbidden."""
        filters = [
            {"Name": f"tag:{DEPLOYMENT}", "Values": [self._deployment]},
            {"Name": f"tag:{ANNEX_ID}", "Values": [annex_id]},
        ]
        pages = self._client.get_paginator("describe_launch_templates").paginate(Filters=filters)  # type: ignore[arg-type]
        with translated("list launch templates"):
            ids = [one["LaunchTemplateId"] for page in pages for one in page["LaunchTemplates"]]
        for one in ids:
            self.remove(one)
