"""clients/node: its own tests under node's own runner, and the built package through both doors of the functions."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.integration.world import MIN_AGE_SECONDS, Stage
from tests.kit.personr import WHOAMI_PATH
from tests.kit.runtime import FunctionUrl
from tests.kit.runtime.artefacts import build_of_the_sources
from tests.kit.runtime.function_url import CALLER, Principal
from tests.kit.secrets_manager.server import ACCOUNT_ID, REGION

from .test_callers_page import IN_NODE, SNIPPETS, VEND_ARN, environment, needs, works

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["environment"]  # a fixture

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "clients" / "node"
IN_LAYER = Path("TokenClientNodeLayer", "nodejs", "node_modules", "@token-vending", "client")
INSTALLED = ROOT / ".build" / "node"
PROMISES = 64
STRANGER = Principal(
    "AKIASTRANGER00000000", "strangers-secret", f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/stranger/session"
)


@pytest.fixture(scope="session")
def node() -> str:
    needs("node")
    found = shutil.which("node")
    assert found is not None
    version = subprocess.run(
        [found, "--version"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    if int(version.removeprefix("v").split(".")[0]) < 20:
        pytest.skip(f"node is {version.strip()} on this machine; the package needs 20")
    return found


@pytest.fixture(scope="session")
def packages() -> Path:
    """A node_modules with what the package's own package.json names for its development; fetched once."""
    folder = INSTALLED / "node_modules"
    wanted: dict[str, str] = json.loads((SOURCE / "package.json").read_text())["devDependencies"]
    if any(_version_of(folder / name) != version for name, version in wanted.items()):
        needs("npm")
        INSTALLED.mkdir(parents=True, exist_ok=True)
        (INSTALLED / "package.json").write_text(json.dumps({"private": True, "dependencies": wanted}))
        options = ["--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund"]
        npm = subprocess.run(
            ["npm", "install", *options], cwd=INSTALLED, capture_output=True, timeout=100, check=False
        )
        if npm.returncode:
            pytest.skip("npm cannot install the AWS SDK, axios and TypeScript on this machine")
    return folder


def _version_of(package: Path) -> str | None:
    description = package / "package.json"
    return str(json.loads(description.read_text())["version"]) if description.exists() else None


def run_tests(node: str, files: list[Path], packages: Path | None = None) -> str:
    """What node's runner says of these files; no test may be skipped."""
    finished = subprocess.run(
        [node, "--test", "--test-reporter=tap", *map(str, files)],
        env={"PATH": "", "NODE_PATH": str(packages or "")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    counts = dict(re.findall(r"^# (tests|pass|skipped) (\d+)$", finished.stdout, re.MULTILINE))
    assert counts["tests"] == counts["pass"] != "0", finished.stdout
    return finished.stdout


def test_the_packages_own_tests_pass(node: str) -> None:
    run_tests(node, [file for file in SOURCE.glob("test/*.test.js") if file.name != "axios.test.js"])


def test_the_axios_interceptor_passes_its_tests(node: str, packages: Path) -> None:
    run_tests(node, [SOURCE / "test" / "axios.test.js"], packages)


def test_the_declarations_compile_and_refuse_misuse(node: str, packages: Path, tmp_path: Path) -> None:
    (tmp_path / "node_modules" / "@token-vending").mkdir(parents=True)
    (tmp_path / "node_modules" / "@token-vending" / "client").symlink_to(SOURCE)
    (tmp_path / "node_modules" / "axios").symlink_to(packages / "axios")
    shutil.copy(SOURCE / "test" / "types.ts", tmp_path)
    options = [
        "--noEmit",
        "--strict",
        "--preserveSymlinks",
        "--module",
        "nodenext",
        "--lib",
        "es2023,dom,dom.iterable",
    ]

    compiled = subprocess.run(
        [packages / ".bin" / "tsc", *options, "types.ts"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert compiled.stdout == ""
    assert compiled.returncode == 0


@dataclass
class Door:
    """One of the two doors: what the package needs for it, and how often the function was asked through it."""

    world: Stage
    options: dict[str, Any]
    variables: dict[str, str]
    url: FunctionUrl | None = None

    def serve(self, run: Any) -> None:
        """Let this be behind the door instead of the function."""
        if self.url is None:
            self.world.lambda_service.wire("vend", run)
        else:
            self.url._run = run

    @property
    def asked(self) -> int:
        if self.url is not None:
            return len(self.url.events)
        return sum(invocation.function == "vend" for invocation in self.world.lambda_service.invocations)


def package() -> Path:
    """The layer's, where these sources are built."""
    folder = build_of_the_sources()
    return SOURCE if folder is None else folder / IN_LAYER


class Driver:
    """The package in a process of its own."""

    def __init__(self, node: str, door: Door, **options: Any) -> None:
        self._process = subprocess.Popen(
            [node, str(SOURCE / "test" / "driver.js")],
            env={
                "PATH": "",
                "AWS_ACCESS_KEY_ID": CALLER.access_key,
                "AWS_SECRET_ACCESS_KEY": CALLER.secret_key,
                "AWS_SESSION_TOKEN": "a-session-token",
                "AWS_REGION": REGION,
                "PERSONR_ENDPOINT": f"{door.world.vendor.url}{WHOAMI_PATH}",
                "PACKAGE": (package() / "src" / "index.js").as_uri(),
                "OPTIONS": json.dumps({"minSeconds": 60, "waitSeconds": 60, **door.options, **options}),
                **door.variables,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._secrets = door.world.secret_texts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing that it wrote, its log included, may hold a secret."""
        output, log = self._process.communicate(timeout=60)
        assert [number for number, secret in enumerate(self._secrets()) if secret in output + log] == []

    def __call__(self, calls: int, *, wait_seconds: float | None = None) -> list[Any]:
        """So many calls of the vendor at once, or with 0 one `get`: statuses, a version, or errors."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        command = {"calls": calls} if wait_seconds is None else {"calls": calls, "waitSeconds": wait_seconds}
        print(json.dumps(command), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, self._process.stderr and self._process.stderr.read()
        answers: list[Any] = json.loads(line)
        return answers


@pytest.fixture(params=["direct", "http"])
def door(request: pytest.FixtureRequest, world: Stage) -> Iterator[Door]:
    if request.param == "direct":
        packages = request.getfixturevalue("packages")
        world.lambda_service.wire("vend", world.vend.run)
        variables = {"NODE_PATH": str(packages), "AWS_ENDPOINT_URL_LAMBDA": world.lambda_service.url}
        yield Door(world, {"functionName": VEND_ARN}, variables)
    else:
        with FunctionUrl(world.vend.run, [CALLER, STRANGER]) as url:
            yield Door(world, {"url": f"{url.url}/"}, {}, url)


def test_64_promises_with_no_token_yet_make_one_mint(node: str, door: Door, world: Stage) -> None:
    with Driver(node, door) as calls:
        assert calls(PROMISES) == [200] * PROMISES
    assert world.vendor.mint_count() == 1


def test_64_promises_cold_make_one_request(node: str, door: Door, world: Stage) -> None:
    version = world.mint_first()

    with Driver(node, door) as calls:
        assert calls(PROMISES) == [200] * PROMISES
        assert calls(0) == [version]
    assert door.asked == 1


def test_64_promises_with_a_killed_token_cost_time_and_no_failure(
    node: str, door: Door, world: Stage
) -> None:
    world.mint_first()
    with Driver(node, door) as calls:
        assert calls(1) == [200]
        world.age_token(MIN_AGE_SECONDS + 60)
        world.vendor.mint_elsewhere()

        assert calls(PROMISES) == [200] * PROMISES
    assert world.vendor.mint_count() == 3, "ours, the foreign one, and one to heal"
    assert world.holds()


def test_a_token_replaced_by_the_schedule_costs_one_report_and_no_mint(
    node: str, door: Door, world: Stage
) -> None:
    world.mint_first()
    with Driver(node, door) as calls:
        assert calls(1) == [200]
        assert world.tick(force=True).payload["outcome"] == "refreshed"

        assert calls(PROMISES) == [200] * PROMISES
    assert door.asked == 2
    assert world.vendor.mint_count() == 2


def test_a_token_too_young_to_be_replaced_is_a_clear_error(node: str, door: Door, world: Stage) -> None:
    world.mint_first()
    with Driver(node, door) as calls:
        assert calls(1) == [200]
        world.vendor.mint_elsewhere()

        (error,) = calls(1, wait_seconds=5)

    assert (error["name"], error["retryable"]) == ("TokenUnavailable", True)
    assert error["retryAfter"] > 5, "or it would have waited"
    assert world.vendor.mint_count() == 2


def test_a_request_the_function_does_not_take_is_named(node: str, door: Door, world: Stage) -> None:
    world.mint_first()
    with Driver(node, door, minSeconds=-1) as calls:
        (error,) = calls(0)

    assert error["name"] == "InvalidRequest"
    assert "min_seconds" in error["message"]


def test_a_function_that_hangs_takes_no_good_token_away(node: str, door: Door, world: Stage) -> None:
    world.mint_first()
    released = threading.Event()
    hangs = threading.Event()

    def may_hang(event: Any, request_id: str, qualifier: str | None) -> Any:
        outcome = world.vend.run(event, request_id, qualifier)
        if outcome.error is None and hangs.is_set():
            released.wait(60)
        # Kept for no time, the token is stale at once.
        return _with_cache_seconds(outcome, 0)

    door.serve(may_hang)
    with Driver(node, door, callTimeoutSeconds=5) as calls:
        assert calls(1) == [200]
        hangs.set()
        assert calls(PROMISES) == [200] * PROMISES, "while the one request hangs"
        assert not released.is_set()
        assert door.asked == 2
        released.set()


def test_a_request_that_hangs_is_given_up_and_made_again(node: str, door: Door, world: Stage) -> None:
    world.mint_first()
    released = threading.Event()
    first = threading.Lock()

    def hangs_once(event: Any, request_id: str, qualifier: str | None) -> Any:
        if first.acquire(blocking=False):
            released.wait(60)
        return world.vend.run(event, request_id, qualifier)

    door.serve(hangs_once)
    with Driver(node, door, callTimeoutSeconds=3) as calls:
        assert calls(PROMISES) == [200] * PROMISES
        assert not released.is_set()
        released.set()
    assert door.asked >= 2


@dataclass
class Answered:
    """What a function came to."""

    payload: Any
    error: dict[str, Any] | None = None


def _with_cache_seconds(outcome: Any, seconds: int) -> Any:
    payload = dict(outcome.payload)
    if "body" in payload:
        payload["body"] = json.dumps({**json.loads(payload["body"]), "cache_seconds": seconds})
    else:
        payload["cache_seconds"] = seconds
    return Answered(payload)


def test_after_a_timeout_and_a_crash_the_function_is_asked_again(node: str, door: Door, world: Stage) -> None:
    world.mint_first()
    falls = [
        {"errorType": "Sandbox.Timedout", "errorMessage": "Task timed out after 10.00 seconds"},
        {"errorType": "Runtime.ExitError", "errorMessage": "null"},
    ]

    def flaky(event: Any, request_id: str, qualifier: str | None) -> Any:
        return Answered(None, falls.pop(0)) if falls else world.vend.run(event, request_id, qualifier)

    door.serve(flaky)
    with Driver(node, door) as calls:
        assert calls(4) == [200] * 4
    assert door.asked == 3


def test_what_lambda_refuses_is_named(node: str, packages: Path, world: Stage) -> None:
    named = {
        ("AccessDeniedException", 403): "CallerNotAllowed",
        ("TooManyRequestsException", 429): "VendingUnavailable",
        ("ServiceException", 500): "VendingUnavailable",
        ("UnrecognizedClientException", 403): "ConfigurationError",
        ("ResourceNotFoundException", 404): "ConfigurationError",
    }
    variables = {"NODE_PATH": str(packages), "AWS_ENDPOINT_URL_LAMBDA": world.lambda_service.url}
    seen = {}
    for refusal, name in named.items():
        world.lambda_service.refuse(*refusal)
        with Driver(node, Door(world, {"functionName": "vend"}, variables)) as calls:
            (error,) = calls(0, wait_seconds=5 if name == "VendingUnavailable" else None)
        assert error["retryable"] == (error["name"] == "VendingUnavailable")
        seen[refusal] = error["name"]

    assert seen == named


def test_a_caller_that_is_not_listed_is_refused_over_http(node: str, world: Stage) -> None:
    world.mint_first()
    keys = {"AWS_ACCESS_KEY_ID": STRANGER.access_key, "AWS_SECRET_ACCESS_KEY": STRANGER.secret_key}
    with (
        FunctionUrl(world.vend.run, [CALLER, STRANGER]) as url,
        Driver(node, Door(world, {"url": url.url}, keys, url)) as calls,
    ):
        (error,) = calls(0)

    assert error["name"] == "CallerNotAllowed"
    assert "AllowedCallers" in error["message"]


def test_a_signature_that_aws_does_not_accept_is_named(node: str, world: Stage) -> None:
    with (
        FunctionUrl(world.vend.run, [CALLER]) as url,
        Driver(node, Door(world, {"url": url.url}, {"AWS_SECRET_ACCESS_KEY": "wrong"}, url)) as calls,
    ):
        (error,) = calls(0)

    assert error["name"] == "CallerNotAllowed"
    assert "HTTP 403" in error["message"]


@pytest.mark.parametrize("name", IN_NODE)
def test_a_lambda_of_the_page(
    node: str, packages: Path, environment: Mapping[str, str], tmp_path: Path, name: str
) -> None:
    # As npm lays it out.
    modules = tmp_path / "node_modules"
    shutil.copytree(
        package(), modules / "@token-vending" / "client", ignore=shutil.ignore_patterns("node_modules")
    )
    for needed in ("@aws-sdk", "axios"):
        (modules / needed).symlink_to(packages / needed)
    (tmp_path / "index.mjs").write_text(SNIPPETS[name])
    once = 'const { handler } = await import("./index.mjs");\nconsole.log(JSON.stringify(await handler({ id: 5 })));\n'
    (tmp_path / "once.mjs").write_text(once)

    finished = subprocess.run(
        [node, "once.mjs"],
        cwd=tmp_path,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr
    assert works(json.loads(finished.stdout))
