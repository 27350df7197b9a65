"""The account's own network: a router namespace with two bridges, and nothing in the machine's.

    pool 192.168.50.0/24 --- [ router: AWS 198.18.0.1, mirror 198.18.0.2 ] --- vpc 172.31.0.0/16

As unkind as the real one: instances are behind a masquerade and cannot be reached, not by the pool,
not by functions, not by one another.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import threading
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING, Literal

from local import kernel
from local.interfaces import (
    ACCESS_POINT,
    AWS_ADDRESS,
    CENTRAL_MANAGER,
    MIRROR_ADDRESS,
    POOL_CIDR,
    VPC_CIDR,
)
from local.keeper import AccountError, Keeper, environment, prefix

if TYPE_CHECKING:
    from pathlib import Path

Bridge = Literal["vpc", "pool"]

_CLEAN_SECONDS = 30.0
METADATA_ADDRESS = "169.254.169.254"  # AWS: link-local, on every instance

_CIDRS: dict[Bridge, str] = {"vpc": VPC_CIDR, "pool": POOL_CIDR}

# Connections begun by functions (which run on the router) pass to the pool, never to an instance.
_ROUTER_RULES = f"""
table inet router {{
  chain forward {{
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "vpc" oifname "pool" accept
    iifname "pool" oifname "pool" accept comment "where bridges are filtered, br_netfilter"
    counter comment "nothing reaches an instance from outside"
  }}
  chain output {{
    type filter hook output priority 0; policy accept;
    ct state established,related accept
    ip daddr {VPC_CIDR} counter drop
  }}
  chain postrouting {{
    type nat hook postrouting priority 100;
    ip saddr {VPC_CIDR} oifname "pool" masquerade
  }}
}}
"""


def mac_address(address: str) -> str:
    """The hardware address of the host with this IPv4 address: one to one, hence never twice."""
    return "02:00:" + ":".join(f"{byte:02x}" for byte in ip_address(address).packed)


@dataclass
class Wire:
    """One host's network namespace, with its interface, address and route."""

    namespace: int  # descriptor; `/proc/self/fd/N` is its path
    peer: str  # the interface's other end, at the router


class Network:
    """The namespaces, bridges and rules of one account, and the keeper of its processes.

    `up` once, `close` once; everything ends with this process anyway (see `local.keeper`).
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        self.prefix = prefix(state)
        self.keeper = Keeper(state)
        self._router = -1
        self._numbers = itertools.count(1)
        self._wires: set[int] = set()  # namespaces of hosts that are not yet cleaned up after
        self._detached = threading.Condition()

    def up(self) -> None:
        """Make the router.

        Raises:
            AccountError: not root, or namespaces are impossible here; the message says which.
        """
        if os.geteuid() != 0:
            raise AccountError("the account's hosts need root: run it as root (sudo)")
        try:
            self._router = kernel.new_network_namespace()
        except OSError as error:
            raise AccountError(f"no network namespace can be made here: {error}") from error
        self.keeper.start(self._router)
        lines = [
            "link set lo up",
            f"address add {AWS_ADDRESS}/32 dev lo",
            f"address add {MIRROR_ADDRESS}/32 dev lo",
        ]
        for bridge, cidr in _CIDRS.items():
            first = ip_network(cidr)[1]
            # A bridge without an address of its own takes its ports' lowest one: when that port
            # comes or goes, the others send to the wrong one until their ARP entries expire.
            lines += [
                f"link add {bridge} address {mac_address(str(first))} type bridge",
                f"address add {first}/{ip_network(cidr).prefixlen} dev {bridge}",
                f"link set {bridge} up",
            ]
        self._ip(self._router, lines)
        forward = lambda: open("/proc/sys/net/ipv4/ip_forward", "w")  # noqa: E731, PTH123, SIM115
        with kernel.within(self._router, forward) as switch:
            switch.write("1")
        _nft(self._router, _ROUTER_RULES)

    def listen(self, address: str, port: int) -> socket.socket:
        """A listening TCP socket at the router: on AWS_ADDRESS, MIRROR_ADDRESS or 0.0.0.0.

        The socket belongs to this process and can be served by any of its threads.
        """
        return listen_in(self._router, address, port)

    def command_prefix(self) -> list[str]:
        """What to put before a command so that it runs at the router: it reaches AWS and the pool.

        The command keeps its pid (no fork), its standard streams and its environment, and belongs
        to the account's control group `functions`, so that `cleanup` finds it.
        """
        return [
            *self.keeper.in_cgroup("functions"),
            *("nsenter", f"--net=/proc/{self.keeper.pid}/ns/net", "--"),
            # The pool's names, which elsewhere the domain name system knows.
            *("unshare", "--mount", "--", "sh", "-c"),
            'mount --bind "$0" /etc/hosts && exec "$@"',
            str(self._hosts_file()),
        ]

    def _hosts_file(self) -> Path:
        """What /etc/hosts is for programs at the router."""
        path = self.state.resolve() / "router-hosts"
        known = [("localhost", "127.0.0.1"), CENTRAL_MANAGER, ACCESS_POINT]
        path.write_text("".join(f"{address} {name}\n" for name, address in known))
        return path

    def attach(self, bridge: Bridge, address: str) -> Wire:
        """A new host's network namespace: eth0 with the address, and the default route.

        An instance's `lo` also has the metadata service's address, as no packet to it may leave.
        """
        peer = f"{bridge}{next(self._numbers)}"
        length = ip_network(_CIDRS[bridge]).prefixlen
        interface = ip_interface(f"{address}/{length}")
        namespace = kernel.new_network_namespace()
        mac = mac_address(address)
        router = f"/proc/{os.getpid()}/fd/{self._router}"
        link_local = [f"address add {METADATA_ADDRESS}/32 dev lo"] if bridge == "vpc" else []
        self._ip(
            namespace,
            [
                "link set lo up",
                *link_local,
                f"link add eth0 address {mac} type veth peer name {peer} netns {router}",
                f"address add {interface.with_prefixlen} dev eth0",
                "link set eth0 up",
                f"route add default via {interface.network[1]}",
            ],
        )
        self._ip(self._router, [f"link set {peer} master {bridge} up"])
        if bridge == "vpc":
            # Ports of a bridge that are isolated reach the router and no other port.
            self._ip(self._router, [f"link set {peer} type bridge_slave isolated on"])
        with self._detached:
            self._wires.add(namespace)
        return Wire(namespace, peer)

    def detach(self, wire: Wire) -> None:
        """Cut a host's wire: by name, as a lingering socket may keep its namespace alive."""
        subprocess.run(
            [*_at(self._router), "ip", "link", "del", wire.peer],
            check=False,
            stderr=subprocess.DEVNULL,
            env=environment(),
            pass_fds=(self._router,),
        )
        with self._detached:
            self._wires.discard(wire.namespace)  # before its number can be another's
            os.close(wire.namespace)
            self._detached.notify_all()

    def firewall(self, wire: Wire, rules: str) -> None:
        """Load nftables rules inside a host, as its own administrator would."""
        _nft(wire.namespace, rules)

    def close(self) -> None:
        """End every process of the account and remove the network."""
        self.keeper.close()
        with self._detached:  # each host's own thread cleans up after it
            self._detached.wait_for(lambda: not self._wires, _CLEAN_SECONDS)
        if self._router >= 0:
            os.close(self._router)
            self._router = -1

    def _ip(self, namespace: int, lines: list[str]) -> None:
        _run_in(namespace, ["ip", "-batch", "-"], "\n".join(lines))


def listen_in(namespace: int, address: str, port: int) -> socket.socket:
    """A listening TCP socket in a network namespace."""
    return kernel.within(namespace, lambda: socket.create_server((address, port), backlog=128))


def _nft(namespace: int, rules: str) -> None:
    _run_in(namespace, ["nft", "-f", "-"], rules)


def _at(namespace: int) -> list[str]:
    return ["nsenter", f"--net=/proc/self/fd/{namespace}", "--"]


def _run_in(namespace: int, command: list[str], text: str) -> None:
    done = subprocess.run(
        [*_at(namespace), *command],
        input=text,
        text=True,
        capture_output=True,
        env=environment(),
        check=False,
        pass_fds=(namespace,),
    )
    if done.returncode != 0:
        raise AccountError(f"{' '.join(command)} failed: {done.stderr.strip()}")
