"""Lambda: the very zip that was uploaded, run by awslambdaric in as many environments as it needs.

Source: Lambda Developer Guide: "Concurrency", "Invoking a function asynchronously".
"""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from moto.awslambda.models import LambdaBackend, lambda_backends

from local.asynchronous import Asynchronous, Event, Limits
from local.callers import ACCOUNT
from local.errors import AwsError
from local.processes import Processes
from local.runtime_api import Environment, Place, Program, Result, command

if TYPE_CHECKING:
    from pathlib import Path

    from local.later import Later
    from local.options import Options

# Lambda keeps an idle environment for some minutes, and says no more about it.
IDLE_SECONDS = 120.0

RoleKeys = Callable[[str, str], Mapping[str, str]]  # (role ARN, session name) -> AWS_* variables


class Functions:
    """The execution environments of all functions.

    `role_keys` gives a role's credentials; `place` says where the processes run and may be changed
    before anything is invoked.
    """

    def __init__(
        self, state: Path, place: Place, role_keys: RoleKeys, options: Options, later: Later
    ) -> None:
        self.place = place
        self._state = state
        self._role_keys = role_keys
        self._asynchronous = Asynchronous(self.invoke, self._limits, options, later)
        self._later = later
        self._processes = Processes(state)
        self._lock = threading.Lock()
        self._idle: dict[str, list[Environment]] = {}
        self._busy: dict[str, list[Environment]] = {}
        self._programs: dict[str, tuple[str, Program]] = {}

    def invoke(self, name: str, payload: bytes, region: str = "us-east-1") -> Result:
        """Run one event and wait for its answer.

        Raises:
            AwsError: ResourceNotFoundException, TooManyRequestsException.
        """
        function = self._function(name, region)
        environment = self._take(function, region)
        try:
            return environment.invoke(payload)
        finally:
            self._give_back(function.function_name, environment)

    def invoke_later(self, name: str, payload: bytes, region: str = "us-east-1") -> None:
        """Run one event without waiting; tried three times unless the function says otherwise."""
        self._asynchronous.put(Event(name, payload, region))

    def runner(self, access_key: str) -> Environment | None:
        """The environment whose process has this access key: no two have the same."""
        with self._lock:
            groups = (*self._idle.values(), *self._busy.values())
            return next((e for group in groups for e in group if e.access_key == access_key), None)

    def pids(self, name: str) -> list[int]:
        """The processes of a function's environments."""
        with self._lock:
            environments = [*self._idle.get(name, ()), *self._busy.get(name, ())]
        return [each.pid for each in environments if each.pid is not None]

    def reset(self) -> None:
        """End every environment: their credentials are gone."""
        self._asynchronous.clear()
        with self._lock:
            environments = [
                e for group in (*self._idle.values(), *self._busy.values()) for e in group
            ]
            self._idle.clear()
            self._busy.clear()
            self._programs.clear()
        for environment in environments:
            environment.close()

    def close(self) -> None:
        """End every environment and the thread that starts processes."""
        self.reset()
        self._processes.close()

    def _function(self, name: str, region: str) -> Any:
        try:
            return lambda_backends[ACCOUNT][region].get_function(name)
        except Exception as error:
            message = f"Function not found: {name}"
            raise AwsError("ResourceNotFoundException", message, 404) from error

    def _limits(self, name: str, region: str) -> Limits:
        configs = self._function(name, region).event_invoke_config
        config = configs[0].config if configs else {}
        retries = config.get("MaximumRetryAttempts")
        age = config.get("MaximumEventAgeInSeconds")
        limits = Limits()
        return Limits(
            limits.retries if retries is None else int(retries),
            limits.age_seconds if age is None else float(age),
        )

    def _take(self, function: Any, region: str) -> Environment:
        name = function.function_name
        program = self._program(function, region)
        limit = function.reserved_concurrency
        with self._lock:
            idle, busy = self._idle.setdefault(name, []), self._busy.setdefault(name, [])
            stale = [each for each in idle if each.program != program]
            idle[:] = [each for each in idle if each.program == program]
            if limit is not None and limit != "" and len(busy) >= int(limit):
                raise AwsError("TooManyRequestsException", "Rate Exceeded.")
            environment = idle.pop() if idle else None
            if environment is None:
                environment = Environment(program, self.place, self._processes.spawn)
            busy.append(environment)
        for each in stale:
            each.close()
        return environment

    def _give_back(self, name: str, environment: Environment) -> None:
        with self._lock:
            busy = self._busy.get(name, [])
            if environment in busy:
                busy.remove(environment)
                self._idle[name].append(environment)
                environment.last_used = time.monotonic()
                self._later.call(IDLE_SECONDS, partial(self._expire, name, environment))

    def _expire(self, name: str, environment: Environment) -> None:
        """Close an environment that nobody has used for a while."""
        with self._lock:
            idle = self._idle.get(name, [])
            used = time.monotonic() - environment.last_used < IDLE_SECONDS
            if used or environment not in idle:
                return
            idle.remove(environment)
        environment.close()

    def _program(self, function: Any, region: str) -> Program:
        """What the function now is; the same code and configuration give the same program."""
        name = function.function_name
        key = json.dumps(
            [
                function.code_sha_256,
                function.environment_vars,
                function.handler,
                function.role,
                function.timeout,
                self.place.endpoint_url,
            ],
            sort_keys=True,
        )
        with self._lock:
            known = self._programs.get(name)
        if known and known[0] == key:
            return known[1]
        program = Program(
            name=name,
            arn=function.function_arn,
            root=self._unpacked(function.code_bytes),
            command=tuple(command(sys.executable, function.handler)),
            environment=tuple(self._variables(function, region).items()),
            credentials=partial(self._role_keys, function.role, name),
            timeout_seconds=float(function.timeout),
            log=self._state / "logs" / "functions" / f"{name}.log",
        )
        with self._lock:
            self._programs[name] = (key, program)
        return program

    def _unpacked(self, code: bytes) -> Path:
        root = self._state / "functions" / sha256(code).hexdigest()[:24]
        if not root.is_dir():
            partial = root.with_name(f"{root.name}.{threading.get_ident()}")
            zipfile.ZipFile(io.BytesIO(code)).extractall(partial)
            if not root.is_dir():
                partial.rename(root)
        return root

    def _variables(self, function: Any, region: str) -> dict[str, str]:
        name, root = function.function_name, str(self._unpacked(function.code_bytes))
        own = {key: value for key, value in os.environ.items() if key in {"PATH", "LANG"}}
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return {
            **own,
            "HOME": root,
            "AWS_ENDPOINT_URL": self.place.endpoint_url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "LAMBDA_TASK_ROOT": root,
            "PYTHONPATH": root,
            "PYTHONDONTWRITEBYTECODE": "1",
            "_HANDLER": function.handler,
            "TZ": ":UTC",
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}",
            **{key: str(value) for key, value in (function.environment_vars or {}).items()},
        }


def install(functions: Functions) -> None:
    """Let moto's Lambda invoke for real; it would want Docker for it."""

    def invoke(
        backend: Any,
        function_name: str,
        qualifier: str | None,
        body: Any,
        headers: Any,
        response_headers: dict[str, str],
    ) -> bytes:
        name = backend.get_function(function_name, qualifier).function_name
        payload = body if isinstance(body, bytes) else (body or "{}").encode()
        kind = headers.get("X-Amz-Invocation-Type", "RequestResponse")
        if kind == "DryRun":
            return b""
        if kind == "Event":
            functions.invoke_later(name, payload, backend.region_name)
            return b""
        result = functions.invoke(name, payload, backend.region_name)
        if result.error:
            response_headers["x-amz-function-error"] = result.error
        return result.payload

    LambdaBackend.invoke = invoke
