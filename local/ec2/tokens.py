"""Client tokens: the same launch asked for twice starts its instances once.

Source: EC2 API reference, "Ensuring idempotency in Amazon EC2 API requests". RunInstances is
idempotent within a zone: the same token in another zone is another launch. Tokens outlive their
instances; only a launch that started something uses its token up.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MISMATCH = (
    "Arguments on this idempotent request are inconsistent with arguments used in previous "
    "request(s)."
)


@dataclass(frozen=True)
class _Use:
    fingerprint: str
    reservation: Any
    instances: tuple[Any, ...]


class Tokens:
    """The tokens used so far; its caller holds the launch lock."""

    def __init__(self) -> None:
        self._uses: dict[tuple[str, str], _Use] = {}

    def answered(self, token: str, zone: str, params: Mapping[str, Any]) -> Any | None:
        """The reservation that the token has started, or None where it is new.

        Raises:
            AwsError: IdempotentParameterMismatch, IdempotentInstanceTerminated.
        """
        use = self._uses.get((token, zone))
        if use is None:
            return None
        if use.fingerprint != fingerprint(params):
            raise AwsError("IdempotentParameterMismatch", _MISMATCH)
        if all(instance.state in {"shutting-down", "terminated"} for instance in use.instances):
            raise AwsError(
                "IdempotentInstanceTerminated",
                "The client token you have provided is associated with a resource that is already "
                "deleted. Please use a different client token.",
            )
        return use.reservation

    def use(self, token: str, zone: str, params: Mapping[str, Any], reservation: Any) -> None:
        """Remember what the token started."""
        started = _Use(fingerprint(params), reservation, tuple(reservation.instances))
        self._uses[(token, zone)] = started


def fingerprint(params: Mapping[str, Any]) -> str:
    """The same for the same request; the token itself and DryRun are no part of it."""
    rest = {key: value for key, value in params.items() if key not in {"ClientToken", "DryRun"}}
    return sha256(json.dumps(rest, sort_keys=True, default=str).encode()).hexdigest()


class Once:
    """What calls answered by their client token; the same again gets the same answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[str, tuple[str, Any]] = {}

    def answer(self, params: Mapping[str, Any], act: Callable[[], Any]) -> Any:
        """What `act` returns, or returned where this token was used before; one at a time.

        Raises:
            AwsError: IdempotentParameterMismatch, or what `act` raises (the token is then new).
        """
        token = str(params.get("ClientToken") or "")
        with self._lock:
            if token in self._answers:
                asked, answer = self._answers[token]
                if asked != fingerprint(params):
                    raise AwsError("IdempotentParameterMismatch", _MISMATCH)
                return answer
            answer = act()
            if token:
                self._answers[token] = (fingerprint(params), answer)
            return answer
