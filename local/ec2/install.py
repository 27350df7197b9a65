"""Where the strict EC2 takes moto's place: a few methods of its classes, each named here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.responses._base_response import EC2BaseResponse
from moto.ec2.responses.fleets import Fleets as FleetResponse
from moto.ec2.responses.general import General
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.responses.launch_templates import LaunchTemplates
from moto.ec2.responses.spot_fleets import SpotFleets as SpotFleetResponse
from moto.ec2.responses.spot_instances import SpotInstances
from moto.ec2.responses.tags import TagResponse

from local.ec2 import checks, describe, ending, price_history, requirements
from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from moto.core.responses import ActionResult

    from local.ec2.fleets import Fleets
    from local.ec2.launch import Launches
    from local.ec2.lifecycle import Lifecycle
    from local.ec2.spot_fleets import SpotFleets
    from local.ec2.spot_requests import SpotRequests
    from local.ec2.template_calls import TemplateCalls
    from local.options import Options

# moto ends an instance at once; kept so that the lifecycle can do it when the time has come.
tear_down: Callable[[Any], object] = Instance.terminate


def install(lifecycle: Lifecycle, launches: Launches) -> None:
    """Put the strict methods in moto's classes, once in a process."""
    _install_model(lifecycle)
    InstanceResponse.run_instances = _method(launches.run_instances)
    InstanceResponse.get_instance_types_from_instance_requirements = _method(requirements.answer)
    InstanceResponse.describe_instances = lambda response: describe.describe_instances(
        response, lifecycle.visible
    )
    _install_change(lifecycle, "terminate_instances", "TerminatingInstances", ending.terminate)
    _install_change(lifecycle, "stop_instances", "StoppingInstances", ending.stop)
    _install_change(lifecycle, "start_instances", "StartingInstances", ending.start)
    _install_tags(lifecycle)
    General.get_console_output = lambda response: describe.get_console_output(
        response, lifecycle.console_output
    )
    # moto shows 'pending' whatever the state; a repeated launch shows the instances as they are.
    EC2BaseResponse.RESPONSE_KEY_PATH_TO_TRANSFORMER.pop(
        "RunInstances.Reservation.Instances.Instance.State", None
    )


def install_fleets(
    template_calls: TemplateCalls,
    fleets: Fleets,
    spot_fleets: SpotFleets,
    spot: SpotRequests,
    options: Options,
) -> None:
    """The same for launch templates, fleets and spot requests: moto's own are not used."""
    for owner, calls in (
        (
            LaunchTemplates,
            {
                "create_launch_template": template_calls.create,
                "create_launch_template_version": template_calls.create_version,
                "modify_launch_template": template_calls.modify,
                "delete_launch_template": template_calls.delete,
                "delete_launch_template_versions": template_calls.delete_versions,
                "describe_launch_templates": template_calls.describe,
                "describe_launch_template_versions": template_calls.describe_versions,
            },
        ),
        (
            FleetResponse,
            {
                "create_fleet": fleets.create,
                "describe_fleets": fleets.describe,
                "describe_fleet_instances": fleets.describe_instances,
                "delete_fleets": fleets.delete,
            },
        ),
        (
            SpotInstances,
            {
                "describe_spot_instance_requests": spot.describe,
                "cancel_spot_instance_requests": spot.cancel,
                "describe_spot_price_history": lambda r: price_history.answer(r, options),
                "request_spot_instances": _refuse_spot_instances,
            },
        ),
        (
            SpotFleetResponse,
            {
                "request_spot_fleet": spot_fleets.request,
                "describe_spot_fleet_requests": spot_fleets.describe,
                "describe_spot_fleet_instances": spot_fleets.describe_instances,
                "describe_spot_fleet_request_history": spot_fleets.history,
                "cancel_spot_fleet_requests": spot_fleets.cancel,
                "modify_spot_fleet_request": spot_fleets.modify,
            },
        ),
    ):
        for name, act in calls.items():
            setattr(owner, name, _method(act))


def _refuse_spot_instances(_response: Any) -> ActionResult:
    raise AwsError("NotImplemented", "Spot instances come by RunInstances and fleets here.")


def _install_model(lifecycle: Lifecycle) -> None:
    """Fleets and stacks start and end instances through these, too."""
    run = InstanceBackend.run_instances

    def run_instances(backend: Any, *args: Any, **kwargs: Any) -> Any:
        reservation = run(backend, *args, **kwargs)
        for instance in reservation.instances:
            lifecycle.launched(instance)
        return reservation

    InstanceBackend.run_instances = run_instances
    Instance.terminate = _method(lifecycle.terminate)
    Instance.stop = _method(lifecycle.stop)
    Instance.start = _method(lifecycle.start)
    Instance.reboot = _method(lambda _instance: None)  # its state does not change

    def get_tags(resource: Any) -> list[dict[str, str]]:
        # moto looks through all tags of all resources for each one: a second for 1000 instances.
        tags = resource.ec2_backend.tags.get(resource.id, {})
        return [
            {"key": key, "value": value, "resource_id": resource.id, "resource_type": ""}
            for key, value in tags.items()
        ]

    TaggedEC2Resource.get_tags = get_tags


def _method(act: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A method of the instance's own that hands the instance to `act`."""

    def method(instance: Any) -> Any:
        return act(instance)

    return method


def _install_change(
    lifecycle: Lifecycle, name: str, field: str, act: Callable[[Any], list[Any]]
) -> None:
    def method(response: Any) -> ActionResult:
        return ending.change(response, lifecycle, field, act)

    setattr(InstanceResponse, name, method)


def _install_tags(lifecycle: Lifecycle) -> None:
    create = TagResponse.create_tags

    def create_tags(response: Any) -> Any:
        params = response.params
        tags = params.get("Tags") or ()
        checks.check_tags(tags)
        ids = [each for each in params.get("Resources") or () if each.startswith("i-")]
        known = (
            each for each in response.ec2_backend.all_instances() if lifecycle.visible(each.id)
        )
        for instance in describe.require(ids, known):
            checks.check_readable(instance.metadata_options.instance_metadata_tags, tags)
        return create(response)

    TagResponse.create_tags = create_tags
