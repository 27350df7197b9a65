"""The AWS side as one object: joins moto, the edge, the gateway, the functions and the clock.

One account a process: it changes moto's classes.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from local import aws, bus, sessions
from local import functions as functions_module
from local.clock import Clock
from local.control import Control
from local.ec2 import install as ec2
from local.ec2 import service_roles, shapes
from local.ec2.fleets import Fleets
from local.ec2.launch import Launches
from local.ec2.lifecycle import Lifecycle
from local.ec2.reclaim import Reclaims
from local.ec2.spot_fleet_launch import Filler
from local.ec2.spot_fleets import SpotFleets
from local.ec2.spot_requests import SpotRequests
from local.ec2.template_calls import TemplateCalls
from local.edge import Edge
from local.faults import Faults
from local.functions import Functions
from local.gateway import Gateway
from local.instance_data import InstanceData
from local.later import Later
from local.options import Options
from local.runtime_api import Place, loopback

if TYPE_CHECKING:
    import socket
    from pathlib import Path


class Account:
    """An AWS account on this machine. `start` once, `close` once.

    `lifecycle` is the hypervisor's `PowerEvents`, `instance_data` its `InstanceMetadata`.
    """

    def __init__(self, state: Path) -> None:
        self.options = Options()
        self.faults = Faults()
        self.administrator = aws.new_key()
        self._later = Later()
        spot_requests = SpotRequests()
        self._launches = Launches(self.options, self.faults, spot_requests)
        self._templates = TemplateCalls()
        self._fleets = Fleets(self.options, self._launches)
        filler = Filler(self.options, self._launches)
        self._spot_fleets = SpotFleets(self.options, self._later, filler)
        self.lifecycle = Lifecycle(
            self.options, self._later, ec2.tear_down, self._state_changed, shapes.shape
        )
        self.reclaims = Reclaims(self.lifecycle, self._later, self._notify)
        self.instance_data = InstanceData(
            self.lifecycle.known, self.reclaims.metadata, self.options
        )
        nowhere = Place((), "", loopback)
        self.functions = Functions(state, nowhere, sessions.variables, self.options, self._later)
        self.clock = Clock(
            lambda: bus.rules(aws.REGION),
            partial(bus.fire, self.functions.invoke_later),
        )
        self._servers: list[Any] = []
        aws.install()
        ec2.install(self.lifecycle, self._launches)
        ec2.install_fleets(
            self._templates, self._fleets, self._spot_fleets, spot_requests, self.options
        )
        service_roles.install()
        functions_module.install(self.functions)
        bus.install(self.functions.invoke_later)
        self.edge = Edge(aws.application(), self.faults, self.functions.runner)
        self.gateway = Gateway(self.functions.invoke, aws.REGION)
        aws.seed(self.administrator)

    def start(self, aws_socket: socket.socket, gateway_socket: socket.socket) -> None:
        """Serve AWS and the gateway, with the account's control, on this machine's loopback."""
        self.functions.place = Place((), endpoint(aws_socket), loopback)
        self._servers.append(aws.serve(self.edge, aws_socket))
        self._servers.append(aws.serve(Control(self, self.gateway), gateway_socket))
        self.clock.start()

    def start_inside(
        self, aws_socket: socket.socket, gateway_socket: socket.socket, place: Place
    ) -> None:
        """Serve inside the account's own network too, without the control; run functions there."""
        self._servers.append(aws.serve(self.edge, aws_socket))
        self._servers.append(aws.serve(self.gateway, gateway_socket))
        self.functions.place = place

    def publish(self, source: str, kind: str, detail: dict[str, Any], resources: list[str]) -> None:
        """An event in AWS's own name."""
        bus.publish(self.functions.invoke_later, aws.REGION, source, kind, detail, resources)

    def reset(self) -> None:
        """A new, empty account behind the same addresses and the same administrator's key."""
        self._later.clear()
        self.lifecycle.forget_all()
        self.functions.reset()
        self.instance_data.forget_all()
        self.reclaims.forget_all()
        self.faults.clear()
        self.edge.forget_calls()
        self.options.__init__()  # type: ignore[misc]
        self._launches.forget_all()
        self._templates.forget_all()
        self._fleets.forget_all()
        self._spot_fleets.forget_all()
        aws.reset()
        aws.seed(self.administrator)

    def rest(self) -> None:
        """Fire and hear nothing more: hosts that end now are no concern of EC2's."""
        self.clock.close()
        self.lifecycle.close()

    def close(self) -> None:
        """Stop serving and end every function's process."""
        self.rest()
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self.functions.close()
        self._later.close()

    def _notify(self, kind: str, detail: dict[str, Any], resources: list[str]) -> None:
        self.publish("aws.ec2", kind, detail, resources)

    def _state_changed(self, instance_id: str, state: str) -> None:
        arn = f"arn:aws:ec2:{aws.REGION}:123456789012:instance/{instance_id}"
        self.publish(
            "aws.ec2",
            "EC2 Instance State-change Notification",
            {"instance-id": instance_id, "state": state},
            [arn],
        )


def endpoint(listening: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"http://{host}:{port}"
