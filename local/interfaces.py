"""What the account's AWS side and its hosts ask of one another.

The AWS side (`aws`, `gateway`, `functions`, `clock`) knows nothing of namespaces; the hosts
(`network`, `image`, `hypervisor`, `metadata`, `pool`) know nothing of moto. `joining` joins them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

# Where AWS is reached from inside the account's own network (RFC 2544 addresses, never routed).
AWS_ADDRESS = "198.18.0.1"
AWS_PORT = 4566
GATEWAY_PORT = 4567
# The distribution's packages for images without HTCondor, by plain HTTP.
MIRROR_ADDRESS = "198.18.0.2"

VPC_CIDR = "172.31.0.0/16"  # moto's default VPC; its router is 172.31.0.1
POOL_CIDR = "192.168.50.0/24"  # the pool's own network; its router is 192.168.50.1
CENTRAL_MANAGER = ("cm.pool.example", "192.168.50.10")
ACCESS_POINT = ("ap.pool.example", "192.168.50.11")


@dataclass(frozen=True)
class HostSpec:
    """An instance to be booted, as EC2 launched it."""

    instance_id: str
    private_ip: str
    hostname: str  # the private DNS name: ip-172-31-0-4.ec2.internal
    image_id: str  # the AMI id; the hypervisor knows which root file system stands for it
    vcpus: int
    memory_mib: int


class InstanceMetadata(Protocol):
    """What the metadata service shows of one instance, asked anew at each request."""

    def tree(self, instance_id: str) -> dict[str, Any]:
        """`meta-data/` as nested dicts of strings, role credentials and tags among them."""

    def identity_document(self, instance_id: str) -> dict[str, str]:
        """`dynamic/instance-identity/document`."""

    def user_data(self, instance_id: str) -> bytes | None:
        """The user data, decoded, or None where there is none."""

    def tokens_required(self, instance_id: str) -> bool:
        """Whether IMDSv1 is off (HttpTokens=required)."""


class PowerEvents(Protocol):
    """What the AWS side wants to hear of a host's life; called from the hypervisor's threads."""

    def running(self, instance_id: str) -> None:
        """Its pid 1 is up: EC2 calls it running from here on."""

    def powered_off(self, instance_id: str) -> None:
        """It is gone, by itself or because it was asked: terminated, or stopped, as EC2 would."""


class Hypervisor(Protocol):
    """Boots and ends hosts; every call returns at once and is safe to repeat."""

    def boot(self, spec: HostSpec) -> None:
        """Boot the host; `PowerEvents.running` follows, or `powered_off` where it cannot boot."""

    def shut_down(self, instance_id: str) -> None:
        """Shut the operating system down in good order, as EC2 does; hard after some 20 s."""

    def console_output(self, instance_id: str) -> str:
        """What the host printed on its console so far, also after its end; empty if nothing."""

    def close(self) -> None:
        """End every host, hard, and leave nothing behind."""
