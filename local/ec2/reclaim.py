"""EC2 takes spot instances back: notices in the metadata, events, and the end when it is time.

Source: EC2 User Guide, "Spot Instance interruption notices" (two minutes ahead) and "EC2 instance
rebalance recommendations". Both are best effort on AWS; here they come when they are asked for.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from local.ec2.spot_requests import RECLAIMED

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.ec2.lifecycle import Lifecycle
    from local.later import Later

NOTICE_SECONDS = 120.0
_REASON = (RECLAIMED, f"{RECLAIMED}: Spot instance termination")
_ENDED = {"shutting-down", "terminated"}


@dataclass
class _Notices:
    ends_at: datetime | None = None
    rebalance_at: datetime | None = None


class Reclaims:
    """The notices given; `publish` is told (detail-type, detail, resources) of each."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        later: Later,
        publish: Callable[[str, dict[str, Any], list[str]], None],
    ) -> None:
        self._lifecycle = lifecycle
        self._later = later
        self._publish = publish
        self._lock = threading.Lock()
        self._notices: dict[str, _Notices] = {}

    def forget_all(self) -> None:
        """The account is reset."""
        with self._lock:
            self._notices.clear()

    def interrupt(self, instance_id: str, seconds: float = NOTICE_SECONDS) -> str:
        """Give notice, and terminate the instance after so many seconds; returns the time.

        A second notice changes nothing.

        Raises:
            ValueError: it is no spot instance, or not alive.
        """
        instance = self._living(instance_id)
        with self._lock:
            notices = self._notices.setdefault(instance_id, _Notices())
            if notices.ends_at is not None:
                return _iso(notices.ends_at)
            notices.ends_at = datetime.now(UTC) + timedelta(seconds=seconds)
        detail = {"instance-id": instance_id, "instance-action": "terminate"}
        self._publish("EC2 Spot Instance Interruption Warning", detail, _resources(instance))
        self._later.call(seconds, lambda: self._lifecycle.terminate(instance, _REASON))
        return _iso(notices.ends_at)

    def rebalance(self, instance_id: str) -> str:
        """Recommend to leave the instance; returns the time of the notice.

        Raises:
            ValueError: it is no spot instance, or not alive.
        """
        instance = self._living(instance_id)
        with self._lock:
            notices = self._notices.setdefault(instance_id, _Notices())
            notices.rebalance_at = datetime.now(UTC)
        detail = {"instance-id": instance_id}
        self._publish("EC2 Instance Rebalance Recommendation", detail, _resources(instance))
        return _iso(notices.rebalance_at)

    def metadata(self, instance_id: str) -> dict[str, Any]:
        """What `meta-data/` shows of the notices; nothing where there are none."""
        notices = self._notices.get(instance_id, _Notices())
        tree: dict[str, Any] = {}
        if notices.ends_at is not None:
            at = _iso(notices.ends_at)
            action = json.dumps({"action": "terminate", "time": at})
            tree["spot"] = {"instance-action": action, "termination-time": at}
        if notices.rebalance_at is not None:
            notice = json.dumps({"noticeTime": _iso(notices.rebalance_at)})
            tree["events"] = {"recommendations": {"rebalance": notice}}
        return tree

    def _living(self, instance_id: str) -> Any:
        instance = self._lifecycle.known(instance_id)
        if instance is None or instance.state in _ENDED:
            raise ValueError(f"There is no living instance {instance_id}.")
        if instance.lifecycle != "spot":
            raise ValueError(f"{instance_id} is no spot instance: EC2 takes no other back.")
        return instance


def _resources(instance: Any) -> list[str]:
    # The zone stands where an ARN has the region: so EC2 writes it in both events.
    return [f"arn:aws:ec2:{instance.availability_zone}:instance/{instance.id}"]


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
