"""Launch templates: which version a reference means, and what a launch through it asks for.

Source: EC2 API reference, LaunchTemplateSpecification and RunInstances ("parameters in the request
override the template's"); EC2 User Guide, "Use AWS Systems Manager parameters for AMI IDs".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ssm.models import ssm_backends

from local.callers import ACCOUNT
from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BY_ALIAS = "resolve:ssm:"


def find(backend: Any, reference: Mapping[str, Any]) -> Any:
    """The template that a request names by id or by name.

    Raises:
        AwsError: where there is none, or the request names both or neither.
    """
    template_id, name = reference.get("LaunchTemplateId"), reference.get("LaunchTemplateName")
    if bool(template_id) == bool(name):
        message = "Specify either a launch template ID or a launch template name, and not both."
        raise AwsError("InvalidParameterCombination" if name else "MissingParameter", message)
    if name:
        template_id = backend.launch_template_name_to_ids.get(name)
        missing = "InvalidLaunchTemplateName.NotFoundException"
    else:
        missing = "InvalidLaunchTemplateId.NotFound"
    template = backend.launch_templates.get(template_id)
    if template is None:
        kind = "name" if name else "ID"
        message = f"The specified launch template, with template {kind} {name or template_id}"
        raise AwsError(missing, f"{message}, does not exist.")
    return template


def version_of(template: Any, wanted: object) -> Any:
    """A version by its number, $Latest or $Default.

    Raises:
        AwsError: InvalidLaunchTemplateId.VersionNotFound.
    """
    number = str(wanted or "$Default")
    if number == "$Latest":
        return template.versions[-1]
    if number == "$Default":
        number = str(template.default_version_number)
    found = next((each for each in template.versions if str(each.number) == number), None)
    if found is None:
        message = (
            f"Could not find the specified version {number} for the launch template with ID "
            f"{template.id}."
        )
        raise AwsError("InvalidLaunchTemplateId.VersionNotFound", message)
    return found


def resolve(backend: Any, reference: Mapping[str, Any]) -> Any:
    """The version that a LaunchTemplateSpecification means.

    Raises:
        AwsError: where there is no such template or version.
    """
    return version_of(find(backend, reference), reference.get("Version"))


def merged(backend: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """A launch with its template's values filled in, its image's alias too; no template is left.

    Raises:
        AwsError: where there is no such template, version or parameter.
    """
    reference = params.get("LaunchTemplate")
    asked = {key: value for key, value in params.items() if key != "LaunchTemplate"}
    base = resolve(backend, reference).data if reference else {}
    full = over(base, asked)
    if "ImageId" in full:
        full["ImageId"] = image_id(backend.region_name, full["ImageId"])
    return full


def over(base: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with what is asked for laid over it: lists of devices and tags are joined by key."""
    full = {key: value for key, value in {**base, **asked}.items() if value is not None}
    if base.get("MetadataOptions") and asked.get("MetadataOptions"):
        full["MetadataOptions"] = {**base["MetadataOptions"], **asked["MetadataOptions"]}
    if base.get("BlockDeviceMappings") and asked.get("BlockDeviceMappings"):
        both = [*base["BlockDeviceMappings"], *asked["BlockDeviceMappings"]]
        full["BlockDeviceMappings"] = list({each["DeviceName"]: each for each in both}.values())
    if base.get("TagSpecifications") and asked.get("TagSpecifications"):
        both = [*base["TagSpecifications"], *asked["TagSpecifications"]]
        full["TagSpecifications"] = joined_tags(both)
    return full


def joined_tags(specifications: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One specification a type of resource; a later tag of the same key wins."""
    kinds: dict[str, dict[str, Any]] = {}
    for each in specifications:
        tags = kinds.setdefault(str(each.get("ResourceType")), {})
        tags.update({tag["Key"]: tag for tag in each.get("Tags") or ()})
    return [{"ResourceType": kind, "Tags": list(tags.values())} for kind, tags in kinds.items()]


def own_tags(version: Any) -> dict[str, str]:
    """The tags that EC2 puts on instances launched through a template."""
    return {
        "aws:ec2launchtemplate:id": version.template.id,
        "aws:ec2launchtemplate:version": str(version.number),
    }


def image_id(region: str, wanted: str) -> str:
    """The image's id, where it is named by `resolve:ssm:PARAMETER`.

    Raises:
        AwsError: InvalidAMIID.Malformed where there is no such parameter.
    """
    if not wanted.startswith(_BY_ALIAS):
        return wanted
    name = wanted.removeprefix(_BY_ALIAS)
    parameter = ssm_backends[ACCOUNT][region].get_parameter(name)
    if parameter is None:
        message = f"The parameter '{name}' does not exist or holds no image id"
        raise AwsError("InvalidAMIID.Malformed", message)
    return str(parameter.value)
