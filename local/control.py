"""The account's own buttons, beside AWS's API: /_account/... on the gateway's loopback port.

GET  status                          what is up
GET, POST, DELETE faults             errors and kills on demand (local/faults.py)
GET, POST options                    times, capacity, quota (local/options.py)
GET, DELETE calls                    the API calls so far
POST tick                            fire every enabled schedule now
POST power {"instance_id", "event"}  the host is "running" or "powered_off" (without hosts)
POST interrupt {"instance_id", "in", "rebalance"}  EC2 takes a spot instance back (in seconds)
POST event {"detail-type", "detail"} an event of EC2's, such as a Spot warning
GET  functions/NAME                  the processes of a function
GET  metadata/INSTANCE               what its metadata service shows
POST reset                           a new, empty account; same addresses, same administrator
"""

from __future__ import annotations

import base64
import json
import logging
from typing import TYPE_CHECKING, Any

from local.ec2.reclaim import NOTICE_SECONDS
from local.edge import Wsgi, read_body
from local.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from local.account import Account

log = logging.getLogger(__name__)

PREFIX = "/_account/"


class Control:
    """The WSGI application: the buttons, and `gateway` for everything else."""

    def __init__(self, account: Account, gateway: Wsgi) -> None:
        self._account = account
        self._gateway = gateway

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        path = environ.get("PATH_INFO", "")
        if not path.startswith(PREFIX):
            return self._gateway(environ, start)
        verb = environ["REQUEST_METHOD"]
        try:
            body = json.loads(read_body(environ) or b"null")
            status, answer = 200, self._press(verb, path.removeprefix(PREFIX).split("/"), body)
        except LookupError as error:
            status, answer = 404, {"error": f"There is no {verb} {path} ({error})."}
        except (ValueError, TypeError) as error:
            status, answer = 400, {"error": str(error)}
        content = json.dumps(answer, indent=1).encode() + b"\n"
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(content)))]
        start(f"{status} Status", headers)
        return [content]

    def _press(self, verb: str, path: list[str], body: Any) -> Any:
        name, *rest = path
        buttons: dict[tuple[str, str], Callable[[], Any]] = {
            ("GET", "status"): lambda: {"up": True},
            ("GET", "faults"): self._account.faults.rules,
            ("POST", "faults"): lambda: self._add_faults(body),
            ("DELETE", "faults"): self._account.faults.clear,
            ("GET", "options"): lambda: vars(self._account.options),
            ("POST", "options"): lambda: self._account.options.change(body),
            ("GET", "calls"): self._account.edge.calls,
            ("DELETE", "calls"): self._account.edge.forget_calls,
            ("POST", "tick"): self._account.clock.tick,
            ("POST", "power"): lambda: self._power(body["instance_id"], body["event"]),
            ("POST", "interrupt"): lambda: self._interrupt(body),
            ("POST", "event"): lambda: self._event(body),
            ("GET", "functions"): lambda: self._account.functions.pids(rest[0]),
            ("GET", "metadata"): lambda: self._metadata(rest[0]),
            ("POST", "reset"): self._account.reset,
        }
        return buttons[(verb, name)]()

    def _add_faults(self, body: Any) -> None:
        for values in body if isinstance(body, list) else [body]:
            self._account.faults.add(Fault.read(values))

    def _power(self, instance_id: str, event: str) -> None:
        events = {
            "running": self._account.lifecycle.running,
            "powered_off": self._account.lifecycle.powered_off,
        }
        events[event](instance_id)

    def _interrupt(self, body: dict[str, Any]) -> str:
        instance_id, reclaims = body["instance_id"], self._account.reclaims
        if body.get("rebalance"):
            return reclaims.rebalance(instance_id)
        return reclaims.interrupt(instance_id, float(body.get("in", NOTICE_SECONDS)))

    def _event(self, body: dict[str, Any]) -> None:
        source = body.get("source", "aws.ec2")
        self._account.publish(
            source, body["detail-type"], body["detail"], body.get("resources", [])
        )

    def _metadata(self, instance_id: str) -> dict[str, Any]:
        data = self._account.instance_data
        user_data = data.user_data(instance_id)
        return {
            "meta-data": data.tree(instance_id),
            "identity-document": data.identity_document(instance_id),
            "user-data": base64.b64encode(user_data).decode() if user_data is not None else None,
            "tokens-required": data.tokens_required(instance_id),
        }
