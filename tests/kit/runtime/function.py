"""A Lambda function: execution environments are real processes, cold when new, reused when warm, killed on
timeout.
"""

import contextlib
import itertools
import json
import os
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.kit.runtime import processes
from tests.kit.runtime.artefacts import Artefact, runtime_client_folder
from tests.kit.runtime.runtime_api import Invocation, RuntimeApi
from tests.kit.secrets_manager.server import ACCOUNT_ID, REGION

INIT_LIMIT_SECONDS = 120.0
SAVES_WITHIN_SECONDS = 30.0
_MEASURED: set[tuple[str, str]] = set()
TIMED_OUT = "Sandbox.Timedout"
KILLED = "Runtime.ExitError"


@dataclass(frozen=True)
class Result:
    """What an invocation came to: its payload, or the error object that Lambda would return."""

    payload: Any
    error: dict[str, Any] | None
    request_id: str
    seconds: float

    @property
    def ok(self) -> bool:
        return self.error is None

    @property
    def error_type(self) -> str | None:
        """The exception's class name, or Lambda's own word (Sandbox.Timedout, Runtime.ExitError)."""
        return None if self.error is None else str(self.error.get("errorType"))

    @property
    def error_message(self) -> str:
        """The exception's text as Lambda passes it on; empty if there was none."""
        return "" if self.error is None else str(self.error.get("errorMessage"))

    @property
    def problem(self) -> dict[str, Any]:
        """The JSON object that the product's errors carry in their message."""
        parsed = json.loads(self.error_message)
        assert isinstance(parsed, dict), parsed
        return parsed


class Environment:
    def __init__(self, artefact: Artefact, environment: Mapping[str, str], log: Path) -> None:
        self.api = RuntimeApi().start()
        settings = coverage_settings(artefact.logical_id)
        self._end = signal.SIGKILL if settings is None else signal.SIGTERM
        paths = (artefact.task_root, *artefact.import_paths, runtime_client_folder())
        variables = {
            **environment,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.api.port}",
            "LAMBDA_TASK_ROOT": str(artefact.task_root),
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            **({} if settings is None else {"COVERAGE_PROCESS_CONFIG": settings}),
            **bytecode_variables(artefact.bytecode),
        }
        self._process = processes.start(artefact, variables, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return not self._process.ended()

    def wait_ready(self) -> dict[str, Any] | None:
        """Wait for the init phase to end; return the init error, if it ended in one."""
        deadline = time.monotonic() + INIT_LIMIT_SECONDS
        while not self.api.ready.wait(0.005):
            if not self.alive:
                return platform_error(KILLED, "the process exited")
            if time.monotonic() > deadline:
                return platform_error(TIMED_OUT, "the init phase did not end")
        return self.api.init_error

    def kill(self) -> None:
        self._process.send(signal.SIGKILL)
        assert self._process.ended(60)

    def close(self) -> None:
        self._process.send(self._end)
        self._process.ended(SAVES_WITHIN_SECONDS)
        self.kill()
        self._process.forget()
        self.api.stop()


def platform_error(error_type: str, message: str) -> dict[str, Any]:
    return {"errorType": error_type, "errorMessage": message}


@dataclass
class Pending:
    environment: Environment
    invocation: Invocation
    started: float
    limit_seconds: float
    _function: "LambdaFunction" = field(repr=False)

    def kill(self) -> None:
        """SIGKILL the environment's process, as a lost host or an out-of-memory kill does."""
        self.environment.kill()
        self.invocation.end(platform_error(KILLED, "the process was killed"))

    def wait(self) -> Result:
        """Wait for the answer; at the function's timeout kill the process, as Lambda does."""
        limit = self.started + self.limit_seconds
        while not self.invocation.done.wait(0.01):
            if not self.environment.alive:
                self.invocation.end(platform_error(KILLED, "the process exited"))
            elif time.monotonic() > limit:
                self.environment.kill()
                message = f"Task timed out after {self.limit_seconds:.2f} seconds"
                self.invocation.end(platform_error(TIMED_OUT, message))
        self._function.give_back(self.environment)
        seconds = time.monotonic() - self.started
        return Result(self.invocation.payload, self.invocation.error, self.invocation.request_id, seconds)


class LambdaFunction:
    """A function with its environment variables. Concurrent invocations get an environment each."""

    def __init__(
        self,
        artefact: Artefact,
        environment: Mapping[str, str],
        *,
        name: str | None = None,
        timeout_seconds: float = 45.0,
    ) -> None:
        self.name = name or artefact.logical_id
        self.arn = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{self.name}"
        self.timeout_seconds = timeout_seconds
        self.environment = {**lambda_variables(self.name), **environment}
        self._artefact = artefact
        self._folder = tempfile.TemporaryDirectory(prefix=f"{self.name}-")
        self._numbers = itertools.count()
        self._living: set[Environment] = set()
        self._idle: list[Environment] = []
        self._last_logs = ""
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every environment and remove the log files; `logs` still tells what they held."""
        self._end(self._living)
        self._last_logs += self._read_logs()
        self._folder.cleanup()

    def invoke(self, event: Any, request_id: str | None = None, **options: Any) -> Result:
        """Invoke and wait; raises nothing for what the function does. The options are those of `start`."""
        return self.start(event, request_id, **options).wait()

    def start(
        self,
        event: Any,
        request_id: str | None = None,
        *,
        qualifier: str | None = "live",
        timeout_seconds: float | None = None,
        told_seconds: float | None = None,
    ) -> Pending:
        """Begin an invocation, once the environment is initialised; it has ended if it could not be.

        `told_seconds` is the time left that the function is told of, where that is to be less than the time
        after which it is killed: a machine that is busy then kills nobody who would have been in time.
        """
        limit = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        seconds = limit if told_seconds is None else told_seconds
        arn = self.arn if qualifier is None else f"{self.arn}:{qualifier}"
        invocation = Invocation(event, seconds, arn, request_id or str(uuid.uuid4()))
        environment = self._take()
        init_error = environment.wait_ready()
        if init_error is None:
            environment.api.submit(invocation)
        else:
            environment.kill()
            invocation.end(init_error)
        return Pending(environment, invocation, time.monotonic(), limit, self)

    def run(self, event: Any, request_id: str, qualifier: str | None) -> Result:
        """The form that :class:`tests.kit.stand_ins.lambda_service.LambdaService` calls."""
        return self.invoke(event, request_id, qualifier=qualifier)

    def go_cold(self) -> None:
        """End the warm environments; the next invocation starts a new one. Logs are kept."""
        self._end(self._idle)

    @property
    def logs(self) -> str:
        """Everything that every environment so far has written to stdout and stderr."""
        return self._last_logs + self._read_logs()

    def _read_logs(self) -> str:
        return "".join(
            path.read_text(errors="replace") for path in sorted(Path(self._folder.name).glob("*.log"))
        )

    @property
    def log_records(self) -> list[dict[str, Any]]:
        records = []
        for line in self.logs.splitlines():
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if isinstance(record, dict):
                    records.append(record)
        return records

    def _take(self) -> Environment:
        with self._lock:
            while self._idle:
                environment = self._idle.pop()
                if environment.alive:
                    return environment
            log = Path(self._folder.name) / f"{next(self._numbers):04d}.log"
            environment = Environment(self._artefact, self.environment, log)
            self._living.add(environment)
            return environment

    def _end(self, environments: Iterable[Environment]) -> None:
        with self._lock:
            ended = set(environments)
            self._living -= ended
            self._idle = [environment for environment in self._idle if environment not in ended]
        for environment in ended:
            environment.close()

    def give_back(self, environment: Environment) -> None:
        """Keep a living environment warm for the next invocation; stop the API of a dead one."""
        if environment.alive:
            with self._lock:
                self._idle.append(environment)
        else:
            self._end([environment])


def coverage_settings(logical_id: str) -> str | None:
    """Of each file of tests the first process of each function is measured: it doubles what a start costs."""
    file = os.environ.get("PYTEST_CURRENT_TEST", "").partition("::")[0]
    if (file, logical_id) in _MEASURED:
        return None
    _MEASURED.add((file, logical_id))
    return os.environ.get("COVERAGE_PROCESS_CONFIG")


def bytecode_variables(folder: Path | None) -> dict[str, str]:
    """Never a cache beside a build: its files all have one date, by which Python cannot tell old code from new."""
    return {"PYTHONDONTWRITEBYTECODE": "1"} if folder is None else {"PYTHONPYCACHEPREFIX": str(folder)}


def lambda_variables(name: str) -> dict[str, str]:
    """The variables that Lambda itself sets, nothing of this process's environment but PATH.

    Without AWS_LAMBDA_INITIALIZATION_TYPE: where it says "on-demand", the hand-out reads the token while it
    starts, and a test that counts calls or breaks them means those of an invocation.
    """
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "ASIAEXECUTIONROLE000",
        "AWS_SECRET_ACCESS_KEY": "execution-role-secret-key",
        "AWS_SESSION_TOKEN": "execution-role-session",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[1]0123456789abcdef",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_LEVEL": "INFO",
        "_HANDLER": "app.handler",
    }
