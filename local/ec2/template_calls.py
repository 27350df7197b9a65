"""The calls about launch templates, as strict as EC2 on names, tokens, versions and pages.

Source: EC2 API reference, CreateLaunchTemplate and the other actions on launch templates and their
versions. moto keeps the templates, so that CloudFormation's are found, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.utils import convert_tag_spec

from local.callers import ACCOUNT, acting
from local.ec2 import checks, paging, templates
from local.ec2.tokens import Once
from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[a-zA-Z0-9().\-/_]{3,128}")
_TYPES_AT_ONCE = ("InstanceType", "InstanceRequirements")


class TemplateCalls:
    """The calls, with the client tokens used so far."""

    def __init__(self) -> None:
        self._once = Once()

    def forget_all(self) -> None:
        """The account is reset."""
        self._once = Once()

    def create(self, response: Any) -> ActionResult:
        """CreateLaunchTemplate.

        Raises:
            AwsError: for a name in use or ill-formed, or data that EC2 refuses.
        """
        params, backend = response.params, response.ec2_backend

        def act() -> Any:
            name = str(params.get("LaunchTemplateName"))
            if not _NAME.fullmatch(name):
                message = "A launch template name must be between 3 and 128 characters, and may "
                message += "contain letters, numbers, and the following characters: - ( ) . / _."
                raise AwsError("InvalidLaunchTemplateName.MalformedException", message)
            data = _checked(params)
            specifications = params.get("TagSpecifications") or ()
            for each in specifications:
                if each.get("ResourceType") != "launch-template":
                    kind = each.get("ResourceType")
                    message = f"'{kind}' is not a valid taggable resource type for this operation."
                    raise AwsError("InvalidParameterValue", message)
                checks.check_tags(each.get("Tags") or ())
            response.error_on_dryrun()
            tags = convert_tag_spec(specifications)
            try:
                template = backend.create_launch_template(
                    name, params.get("VersionDescription"), data, tags
                )
            except EC2ClientError as error:
                raise AwsError(error.code, error.message) from error
            template.versions[0].created_by = template.created_by = _who()
            return template

        template = self._once.answer(params, act)
        return ActionResult({"LaunchTemplate": _view(template)})

    def create_version(self, response: Any) -> ActionResult:
        """CreateLaunchTemplateVersion, from another version where one is named.

        Raises:
            AwsError: where there is no such template, or data that EC2 refuses.
        """
        params, backend = response.params, response.ec2_backend

        def act() -> Any:
            template = templates.find(backend, params)
            data = _checked(params)
            source = params.get("SourceVersion")
            if source:
                data = {**templates.version_of(template, source).data, **data}
            response.error_on_dryrun()
            version = template.create_version(data, params.get("VersionDescription"))
            # moto numbers by how many there are; numbers of deleted versions do not come again.
            last = max((each.number for each in template.versions[:-1]), default=0)
            version.number = max(version.number, last + 1)
            version.created_by = _who()
            return version

        version = self._once.answer(params, act)
        return ActionResult({"LaunchTemplateVersion": _version_view(version)})

    def modify(self, response: Any) -> ActionResult:
        """ModifyLaunchTemplate: another default version.

        Raises:
            AwsError: where there is no such template or version.
        """
        template = templates.find(response.ec2_backend, response.params)
        wanted = response.params.get("DefaultVersion") or response.params.get("SetDefaultVersion")
        version = templates.version_of(template, wanted)
        response.error_on_dryrun()
        template.default_version_number = version.number
        return ActionResult({"LaunchTemplate": _view(template)})

    def delete(self, response: Any) -> ActionResult:
        """DeleteLaunchTemplate, with all its versions; instances are not affected.

        Raises:
            AwsError: where there is no such template.
        """
        backend = response.ec2_backend
        template = templates.find(backend, response.params)
        response.error_on_dryrun()
        backend.delete_launch_template(None, template.id)
        return ActionResult({"LaunchTemplate": _view(template)})

    def delete_versions(self, response: Any) -> ActionResult:
        """DeleteLaunchTemplateVersions: each for itself, never the default version.

        Raises:
            AwsError: where there is no such template.
        """
        template = templates.find(response.ec2_backend, response.params)
        response.error_on_dryrun()
        done: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        for wanted in response.params.get("Versions") or ():
            identity = {
                "LaunchTemplateId": template.id,
                "LaunchTemplateName": template.name,
                "VersionNumber": int(wanted),
            }
            found = next((v for v in template.versions if str(v.number) == wanted), None)
            if found is None:
                error = ("launchTemplateVersionDoesNotExist", "The version does not exist.")
            elif template.is_default(found):
                error = ("unexpectedError", "The default version cannot be deleted.")
            else:
                template.versions.remove(found)
                done.append(identity)
                continue
            failed.append({**identity, "ResponseError": {"Code": error[0], "Message": error[1]}})
        return ActionResult(
            {
                "SuccessfullyDeletedLaunchTemplateVersions": done,
                "UnsuccessfullyDeletedLaunchTemplateVersions": failed,
            }
        )

    def describe(self, response: Any) -> ActionResult:
        """DescribeLaunchTemplates: page by page.

        Raises:
            AwsError: for an id or a name that is unknown, or a filter that is none.
        """
        params, backend = response.params, response.ec2_backend
        response.error_on_dryrun()
        ids = params.get("LaunchTemplateIds") or ()
        names = params.get("LaunchTemplateNames") or ()
        chosen = [templates.find(backend, {"LaunchTemplateId": each}) for each in ids]
        chosen += [templates.find(backend, {"LaunchTemplateName": each}) for each in names]
        if not ids and not names:
            chosen = list(backend.launch_templates.values())
        views = [_view(each) for each in chosen]
        filters = params.get("Filters") or ()
        found = [view for view in views if all(_passes(view, each) for each in filters)]
        return paging.answer(params, "LaunchTemplates", found)

    def describe_versions(self, response: Any) -> ActionResult:
        """DescribeLaunchTemplateVersions of one template, or the default or latest ones of all.

        Raises:
            AwsError: where there is no such template or version.
        """
        params, backend = response.params, response.ec2_backend
        response.error_on_dryrun()
        wanted = params.get("Versions") or ()
        if params.get("LaunchTemplateId") or params.get("LaunchTemplateName"):
            template = templates.find(backend, params)
            least, most = params.get("MinVersion"), params.get("MaxVersion")
            found = [templates.version_of(template, each) for each in wanted] or [
                each
                for each in template.versions
                if int(least or 0) <= each.number <= int(most or each.number)
            ]
        elif wanted and set(wanted) <= {"$Latest", "$Default"}:
            found = [
                templates.version_of(template, each)
                for template in backend.launch_templates.values()
                for each in wanted
            ]
        else:
            message = "To describe versions by number, specify a launch template."
            raise AwsError("MissingParameter", message)
        views = [_version_view(each) for each in found]
        if params.get("ResolveAlias"):
            views = [_resolved(backend.region_name, view) for view in views]
        return paging.answer(params, "LaunchTemplateVersions", views)


def _checked(params: Mapping[str, Any]) -> dict[str, Any]:
    """The template's data; EC2 looks at its form, not whether what it names is there."""
    data = dict(params.get("LaunchTemplateData") or {})
    if not data and not params.get("SourceVersion"):
        message = "The request must contain the parameter LaunchTemplateData"
        raise AwsError("MissingParameter", message)
    image_id = str(data.get("ImageId") or "")
    if image_id and not image_id.startswith("resolve:"):
        checks.check_ids([image_id], "ami", "InvalidAMIID")
    if all(data.get(each) for each in _TYPES_AT_ONCE):
        message = "InstanceType and InstanceRequirements cannot be specified together."
        raise AwsError("InvalidParameterCombination", message)
    checks.check_user_data(data.get("UserData"))
    for specification in data.get("TagSpecifications") or ():
        checks.check_tags(specification.get("Tags") or ())
    return data


def _who() -> str:
    caller = acting.get()
    return caller.arn if caller else f"arn:aws:iam::{ACCOUNT}:root"


def _view(template: Any) -> dict[str, Any]:
    return {
        "CreateTime": template.create_time,
        "CreatedBy": getattr(template, "created_by", f"arn:aws:iam::{ACCOUNT}:root"),
        "DefaultVersionNumber": template.default_version_number,
        "LatestVersionNumber": template.versions[-1].number,
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "Tags": template.get_tags(),
    }


def _version_view(version: Any) -> dict[str, Any]:
    template = version.template
    return {
        "CreateTime": version.create_time,
        "CreatedBy": getattr(version, "created_by", f"arn:aws:iam::{ACCOUNT}:root"),
        "DefaultVersion": template.is_default(version),
        "LaunchTemplateData": version.data,
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "VersionDescription": version.description,
        "VersionNumber": version.number,
    }


def _resolved(region: str, view: Mapping[str, Any]) -> dict[str, Any]:
    data = dict(view["LaunchTemplateData"])
    if data.get("ImageId"):
        data["ImageId"] = templates.image_id(region, data["ImageId"])
    return {**view, "LaunchTemplateData": data}


def _passes(view: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    name, values = asked["Name"], asked.get("Values") or ()
    tags = {tag["key"]: tag["value"] for tag in view["Tags"]}
    if name.startswith("tag:"):
        return tags.get(name.removeprefix("tag:")) in values
    if name == "tag-key":
        return bool(set(tags) & set(values))
    if name == "launch-template-name":
        return view["LaunchTemplateName"] in values
    raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
