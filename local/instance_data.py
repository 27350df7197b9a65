"""What an instance's metadata service shows: `local.interfaces.InstanceMetadata` from EC2's state.

Source: EC2 User Guide, "Instance metadata categories" and "Instance identity documents".
"""

from __future__ import annotations

import base64
import json
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from moto.iam.models import iam_backends

from local import sessions
from local.callers import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.options import Options


class InstanceData:
    """Answers from the instances as they are now.

    `known` finds one by its id; `notices` is what EC2 has told one of its coming end.
    """

    def __init__(
        self,
        known: Callable[[str], Any | None],
        notices: Callable[[str], dict[str, Any]],
        options: Options,
    ) -> None:
        self._known = known
        self._notices = notices
        self._options = options
        self._lock = threading.Lock()
        self._sessions: dict[str, Any] = {}

    def tree(self, instance_id: str) -> dict[str, Any]:
        """`meta-data/` of an instance; empty where there is none."""
        instance = self._known(instance_id)
        if instance is None:
            return {}
        interface = instance.nics[0]
        group_names = "\n".join(group.name for group in instance.security_groups)
        group_ids = "\n".join(group.id for group in instance.security_groups)
        tree: dict[str, Any] = {
            "ami-id": instance.image_id,
            "ami-launch-index": str(instance.ami_launch_index),
            "block-device-mapping": {"ami": "xvda", "root": instance.root_device_name},
            "hostname": instance.private_dns_name,
            "instance-id": instance.id,
            "instance-life-cycle": instance.lifecycle or "on-demand",
            "instance-type": instance.instance_type,
            "local-hostname": instance.private_dns_name,
            "local-ipv4": instance.private_ip,
            "mac": interface.mac_address,
            "network": {
                "interfaces": {
                    "macs": {
                        interface.mac_address: {
                            "device-number": "0",
                            "interface-id": interface.id,
                            "local-hostname": instance.private_dns_name,
                            "local-ipv4s": instance.private_ip,
                            "mac": interface.mac_address,
                            "owner-id": ACCOUNT,
                            "security-group-ids": group_ids,
                            "security-groups": group_names,
                            "subnet-id": instance.subnet_id,
                            "vpc-id": instance.vpc_id,
                        }
                    }
                }
            },
            "placement": {
                "availability-zone": instance.availability_zone,
                "region": instance.region_name,
            },
            "profile": "default-hvm",
            "reservation-id": self._reservation(instance),
            "security-groups": group_names,
            "services": {"domain": "amazonaws.com", "partition": "aws"},
            **self._notices(instance_id),
        }
        if instance.iam_instance_profile:
            tree["iam"] = self._iam(instance)
        if instance.metadata_options.instance_metadata_tags == "enabled":
            tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
            tree["tags"] = {"instance": {k: v for k, v in tags.items() if not k.startswith("aws:")}}
        return tree

    def identity_document(self, instance_id: str) -> dict[str, str]:
        """`dynamic/instance-identity/document` of an instance; empty where there is none."""
        instance = self._known(instance_id)
        if instance is None:
            return {}
        return {
            "accountId": ACCOUNT,
            "architecture": instance.architecture,
            "availabilityZone": instance.availability_zone,
            "imageId": instance.image_id,
            "instanceId": instance.id,
            "instanceType": instance.instance_type,
            "pendingTime": _iso(instance.launch_time),
            "privateIp": instance.private_ip,
            "region": instance.region_name,
            "version": "2017-09-30",
        }

    def user_data(self, instance_id: str) -> bytes | None:
        """The user data, decoded, or None."""
        instance = self._known(instance_id)
        if instance is None or not instance.user_data:
            return None
        return base64.b64decode(str(instance.user_data))

    def tokens_required(self, instance_id: str) -> bool:
        """Whether IMDSv1 is off."""
        instance = self._known(instance_id)
        return instance is not None and instance.metadata_options.http_tokens == "required"

    def forget_all(self) -> None:
        """The account is reset: no session is good any more."""
        with self._lock:
            self._sessions.clear()

    def _reservation(self, instance: Any) -> str:
        reservations = list(instance.ec2_backend.reservations.values())
        return next((str(each.id) for each in reservations if instance in each.instances), "")

    def _iam(self, instance: Any) -> dict[str, Any]:
        profile_arn = instance.iam_instance_profile["Arn"]
        now = _iso(datetime.now(UTC))
        info = {
            "Code": "Success",
            "LastUpdated": now,
            "InstanceProfileArn": profile_arn,
            "InstanceProfileId": instance.iam_instance_profile["Id"],
        }
        profiles = list(iam_backends[ACCOUNT]["aws"].instance_profiles.values())
        role = next((p.roles[0] for p in profiles if p.arn == profile_arn and p.roles), None)
        if role is None:
            return {"info": json.dumps(info, indent=2)}
        session = self._session(instance, role)
        keys = {
            "Code": "Success",
            "LastUpdated": _iso(session.opened_at),
            "Type": "AWS-HMAC",
            "AccessKeyId": session.access_key_id,
            "SecretAccessKey": session.secret_access_key,
            "Token": session.session_token,
            "Expiration": _iso(session.expiration),
        }
        return {
            "info": json.dumps(info, indent=2),
            "security-credentials": {role.name: json.dumps(keys, indent=2)},
        }

    def _session(self, instance: Any, role: Any) -> Any:
        """The role's session named after the instance; a new one well before the old one ends."""
        now = datetime.now(UTC)
        seconds = self._options.instance_credential_seconds
        margin = timedelta(seconds=min(300, seconds / 2))
        with self._lock:
            session = self._sessions.get(instance.id)
            if session is None or session.expiration.replace(tzinfo=UTC) - margin < now:
                session = sessions.open_session(
                    role.arn, instance.id, seconds, instance.region_name
                )
                session.opened_at = now
                self._sessions[instance.id] = session
            return session


def _iso(moment: Any) -> str:
    return str(moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
