"""The pool: what its collector shows, where machines must report, and what dead ones left."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Protocol, TypeVar

from annex_client import remains
from annex_client.errors import PoolTrouble

if TYPE_CHECKING:
    from collections.abc import Sequence

_T = TypeVar("_T")
# A collector that does not answer within this is out of reach (HTCondor's own default: 60 s).
_QUERY_SECONDS = "10"
_ADDRESS = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?")
_SLOT_ATTRIBUTES = [
    "Name",
    "Machine",
    "AnnexName",
    "AnnexId",
    "EC2InstanceID",
    "AuthenticatedIdentity",
    "State",
    "Activity",
    "EnteredCurrentActivity",
    "Draining",
    "DrainReason",
]


@dataclass(frozen=True)
class Slot:
    """One slot ad. `identity` is what the collector itself established of the sender."""

    name: str
    annex_name: str
    annex_id: str
    instance_id: str
    identity: str
    state: str
    activity: str
    activity_since: int = 0  # seconds since the epoch
    drains: bool = False
    drain_reason: str = ""

    @property
    def claimed(self) -> bool:
        """Whether it works for somebody."""
        return self.state == "Claimed"

    @property
    def draining(self) -> bool:
        """Whether it takes no new jobs."""
        return self.drains or self.state == "Drained" or self.activity == "Retiring"


@dataclass(frozen=True)
class Facts:
    """What machines need to know of the pool: addresses as host or host:port."""

    collector_host: str
    access_points: tuple[str, ...]


class Pool(Protocol):
    """The pool as the client needs it.

    Every method raises `PoolTrouble` where the pool cannot be asked.
    """

    def facts(self) -> Facts:
        """The collector and this access point; proves that the collector answers."""

    def slots(self, annex_name: str | None = None) -> list[Slot]:
        """The slots of one annex, or of all annexes."""

    def execute_ads(self) -> list[Any]:
        """All startd and master ads, as classad2.ClassAd, to try a rule on."""

    def jobs_on(self, instance_ids: Sequence[str]) -> list[remains.Job]:
        """This access point's jobs, anybody's, that seem to run on these machines."""

    def invalidate(self, annex_id: str, instance_id: str, identity: str, token: str) -> None:
        """Remove one machine's ads from the collector; `token` is the annex owner's."""


class CondorPool:
    """The pool that HTCondor's configuration on this host leads to, through the bindings."""

    def __init__(self) -> None:
        import htcondor2  # noqa: PLC0415 - slow to import

        self._htcondor = htcondor2
        htcondor2.param["QUERY_TIMEOUT"] = _QUERY_SECONDS

    def facts(self) -> Facts:
        """See `Pool`.

        The access point is the schedd of this host: the one that condor_submit would talk to.
        """
        configured = self._htcondor.param.get("COLLECTOR_HOST")
        if not configured:
            raise _no_pool()
        collector = collector_address(str(configured))
        name, sinful = self._local_schedd()
        # By name, or by address where the address file tells no name; neither has a quote in it.
        constraint = f'Name =?= "{name}" || MyAddress =?= "{sinful}"'
        kind = self._htcondor.AdType.Schedd
        ads = self._query(kind, constraint, ["MyAddress", "Machine"])
        if not ads:
            raise PoolTrouble(
                "The schedd of this host is not in the pool's collector.  Run annex-client on an"
                " access point, and check with 'condor_status -schedd' that it is in the pool."
            )
        address, machine = str(ads[0].get("MyAddress", sinful)), str(ads[0].get("Machine", ""))
        return Facts(collector, (access_point_address(address, machine),))

    def slots(self, annex_name: str | None = None) -> list[Slot]:
        """See `Pool`."""
        constraint = "AnnexName isnt undefined"
        if annex_name is not None:
            constraint = f'AnnexName =?= "{annex_name}"'  # names hold no quotes
        ads = self._query(self._htcondor.AdType.Startd, constraint, _SLOT_ATTRIBUTES)
        return [slot_of(ad) for ad in ads]

    def execute_ads(self) -> list[Any]:
        """See `Pool`."""
        kinds = self._htcondor.AdType
        return [*self._query(kinds.Startd, "true", []), *self._query(kinds.Master, "true", [])]

    def jobs_on(self, instance_ids: Sequence[str]) -> list[remains.Job]:
        """See `Pool`."""
        return _asked("schedd", lambda: remains.jobs_on(self._htcondor, instance_ids))

    def invalidate(self, annex_id: str, instance_id: str, identity: str, token: str) -> None:
        """See `Pool`."""
        _asked(
            "collector",
            lambda: remains.invalidate(self._htcondor, annex_id, instance_id, identity, token),
        )

    def _local_schedd(self) -> tuple[str, str]:
        """Name and address of the schedd that condor_submit on this host would use."""
        try:
            ad = self._htcondor.Collector().locate(self._htcondor.DaemonType.Schedd)
            return str(ad.get("Name", "")), str(ad["MyAddress"])
        except Exception as error:  # noqa: BLE001 - the bindings raise many kinds
            raise PoolTrouble(
                f"No schedd of this host can be found ({_first_line(error)}).  Run annex-client on"
                " an access point of your pool, with HTCondor running."
            ) from None

    def _query(self, kind: Any, constraint: str, attributes: list[str]) -> list[Any]:  # noqa: ANN401
        try:
            collector = self._htcondor.Collector()
            return list(collector.query(kind, constraint=constraint, projection=attributes))
        except Exception as error:  # noqa: BLE001 - the bindings raise many kinds
            host = self._htcondor.param.get("COLLECTOR_HOST")
            if not host:
                raise _no_pool() from None
            raise PoolTrouble(
                f"The pool's collector ({host}) cannot be asked: {_first_line(error)}  Check with"
                " 'condor_status' that the pool is up and that you may read it."
            ) from None


def _asked(whom: str, call: Callable[[], _T]) -> _T:
    try:
        return call()
    except PoolTrouble:
        raise
    except Exception as error:  # noqa: BLE001 - the bindings raise many kinds
        raise PoolTrouble(
            f"The {whom} would not do it, or did not answer: {_first_line(error)}"
        ) from None


def slot_of(ad: Any) -> Slot:  # noqa: ANN401 - a ClassAd, or a dict in tests
    """A slot ad's values; what is missing or no value is empty."""

    def text(name: str) -> str:
        value = ad.get(name)
        return value if isinstance(value, str) else ""

    since = ad.get("EnteredCurrentActivity")
    return Slot(
        name=text("Name"),
        annex_name=text("AnnexName"),
        annex_id=text("AnnexId"),
        instance_id=text("EC2InstanceID"),
        identity=text("AuthenticatedIdentity"),
        state=text("State"),
        activity=text("Activity"),
        activity_since=since if isinstance(since, int) else 0,
        drains=ad.get("Draining") is True,
        drain_reason=text("DrainReason"),
    )


def collector_address(configured: str) -> str:
    """The first collector of COLLECTOR_HOST, without what only the shared port needs.

    `?sock=collector` goes: the shared port hands a connection without it to the collector.
    """
    first = re.split(r"[,\s]+", configured.strip())[0].split("?")[0].strip("<>")
    if not _ADDRESS.fullmatch(first):
        raise PoolTrouble(
            f"COLLECTOR_HOST is {configured!r}; annex machines need a name or an IPv4 address,"
            " with or without a port."
        )
    return first


def access_point_address(sinful: str, machine: str) -> str:
    """host:port of a schedd: its name if it tells one, since an address may mean little outside.

    A sinful string looks like `<192.168.50.11:9618?alias=ap.pool.example&sock=schedd_1>`.
    """
    match = re.fullmatch(r"<(?P<host>[^:>?]+|\[[^]]+\]):(?P<port>\d+)(\?(?P<more>[^>]*))?>", sinful)
    if match is None:
        raise PoolTrouble(f"The schedd's address {sinful!r} is not understood.")
    alias = re.search(r"(?:^|&)alias=([^&]+)", match["more"] or "")
    host = alias[1] if alias else machine or match["host"]
    address = f"{host}:{match['port']}"
    if not _ADDRESS.fullmatch(address):
        raise PoolTrouble(f"Machines in AWS cannot use the schedd's address {address!r}.")
    return address


def _no_pool() -> PoolTrouble:
    return PoolTrouble(
        "HTCondor's configuration on this host names no pool (COLLECTOR_HOST).  Run annex-client on"
        " an access point of your pool.",
        code="NoPool",
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]
