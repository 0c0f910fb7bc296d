"""clients/node: its own tests under node's own runner, and the built package through both doors of the functions."""

from __future__ import annotations

import json
import os
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
from tests.kit.runtime.artefacts import build_of_the_sources

from .surroundings import ROOT, STRANGER, VEND_ARN, keys, needs, run, works
from .test_callers_page import IN_NODE, SNIPPETS
from .test_doors import Outcome

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tests.kit.runtime import FunctionUrl

SOURCE = ROOT / "clients" / "node"
IN_LAYER = Path("TokenClientNodeLayer", "nodejs", "node_modules", "@token-vending", "client")
INSTALLED = ROOT / ".build" / "node"
PROMISES = 64


@pytest.fixture(scope="session")
def node() -> str:
    needs("node")
    version = run(["node", "--version"], {"PATH": os.environ["PATH"]}).stdout
    if int(version.removeprefix("v").split(".")[0]) < 20:
        pytest.skip(f"node is {version.strip()} on this machine; the package needs 20")
    return str(shutil.which("node"))


@pytest.fixture(scope="session")
def packages() -> Path:
    """A node_modules with what the package's own package.json names for its development; fetched once."""
    folder = INSTALLED / "node_modules"
    wanted: dict[str, str] = json.loads((SOURCE / "package.json").read_text())["devDependencies"]
    descriptions = {name: folder / name / "package.json" for name in wanted}
    found = {
        name: json.loads(path.read_text())["version"] for name, path in descriptions.items() if path.exists()
    }
    if found != wanted:
        needs("npm")
        INSTALLED.mkdir(parents=True, exist_ok=True)
        (INSTALLED / "package.json").write_text(json.dumps({"private": True, "dependencies": wanted}))
        options = ["--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund", "--prefer-offline"]
        if run(["npm", "install", *options], os.environ, INSTALLED).returncode:
            pytest.skip("npm cannot install the AWS SDK, axios and TypeScript on this machine")
    return folder


@pytest.mark.parametrize("with_packages", [False, True], ids=["its own", "with axios"])
def test_the_packages_own_tests_pass(
    node: str, request: pytest.FixtureRequest, *, with_packages: bool
) -> None:
    """In one process, and none skipped; all but axios's where no package is installed."""
    path = request.getfixturevalue("packages") if with_packages else ""
    files = [
        file for file in SOURCE.glob("test/*.test.js") if (file.name == "axios.test.js") == with_packages
    ]
    imports = "".join(f"await import({json.dumps(file.as_uri())});" for file in files)
    command = [node, "--test-reporter=tap", "--input-type=module", "--eval", imports]

    finished = run(command, {"PATH": "", "NODE_PATH": str(path)})

    assert finished.returncode == 0, finished.stdout + finished.stderr
    counts = dict(re.findall(r"^# (tests|pass) (\d+)$", finished.stdout, re.MULTILINE))
    assert counts["tests"] == counts["pass"] != "0", finished.stdout


def test_the_declarations_compile_and_refuse_misuse(node: str, packages: Path, tmp_path: Path) -> None:
    (tmp_path / "node_modules" / "@token-vending").mkdir(parents=True)
    (tmp_path / "node_modules" / "@token-vending" / "client").symlink_to(SOURCE)
    (tmp_path / "node_modules" / "axios").symlink_to(packages / "axios")
    shutil.copy(SOURCE / "test" / "types.ts", tmp_path)
    options = "--noEmit --strict --preserveSymlinks --module nodenext --lib es2023,dom,dom.iterable types.ts"

    compiled = run([packages / ".bin" / "tsc", *options.split()], os.environ, tmp_path)

    assert (compiled.returncode, compiled.stdout) == (0, "")


@dataclass
class Door:
    """One of the two doors: what the package needs for it, and how often the function was asked through it."""

    world: Stage
    options: dict[str, Any]
    variables: dict[str, str]
    url: FunctionUrl | None = None

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
                **keys(),
                "PATH": "",
                "AWS_SESSION_TOKEN": "a-session-token",
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

    def __call__(self, calls: int, **more: Any) -> list[Any]:
        """So many calls of the vendor at once, or with 0 one `get`: statuses, a version, or errors. ``waitSeconds`` is
        the calls'; with ``client`` (options) they are a new client's, with ``environment`` in another environment.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"calls": calls, **more}), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, self._process.stderr and self._process.stderr.read()
        answers: list[Any] = json.loads(line)
        return answers


@pytest.fixture
def direct(world: Stage, packages: Path) -> Door:
    variables = {"NODE_PATH": str(packages), "AWS_ENDPOINT_URL_LAMBDA": world.lambda_service.url}
    return Door(world, {"functionName": VEND_ARN}, variables)


@pytest.fixture
def http(world: Stage, url: FunctionUrl) -> Door:
    return Door(world, {"url": f"{url.url}/"}, {}, url)


@pytest.fixture(params=["direct", "http"])
def door(request: pytest.FixtureRequest) -> Door:
    chosen: Door = request.getfixturevalue(request.param)
    return chosen


def test_64_promises_meet_no_token_a_killed_one_a_replaced_one_and_one_too_young(
    node: str, door: Door, world: Stage
) -> None:
    minted = world.vendor.mint_count()

    def mints() -> int:
        return world.vendor.mint_count() - minted

    with Driver(node, door) as calls:
        assert calls(PROMISES) == [200] * PROMISES, "the first token is waited for"
        assert (calls(0), mints()) == ([world.version], 1)

        world.age_token(MIN_AGE_SECONDS + 60)
        world.vendor.mint_elsewhere()
        assert calls(PROMISES) == [200] * PROMISES, "a killed token costs time and no failure"
        assert mints() == 3, "ours, the foreign one, and one to heal"
        assert world.holds()

        assert world.tick(force=True).payload["outcome"] == "refreshed"
        asked = door.asked
        assert calls(PROMISES) == [200] * PROMISES
        assert (door.asked, mints()) == (asked + 1, 4), (
            "a token replaced by the schedule costs a report and no mint"
        )
        asked = door.asked
        assert calls(PROMISES, client={}) == [200] * PROMISES
        assert door.asked == asked + 1, "64 promises cold make one request"

        world.vendor.mint_elsewhere()
        (error,) = calls(1, waitSeconds=5)
        assert (error["name"], error["retryable"]) == ("TokenUnavailable", True)
        assert error["retryAfter"] > 5, "or it would have waited"
        assert mints() == 5

        (error,) = calls(0, client={"minSeconds": -1})
        assert error["name"] == "InvalidRequest"
        assert "min_seconds" in error["message"]


def test_after_a_hanging_request_a_timeout_and_a_crash_the_function_is_asked_again(
    node: str, direct: Door, world: Stage
) -> None:
    """The door by URL: url_door.test.js and wire.test.js."""
    world.mint_first()
    released = threading.Event()
    first = threading.Lock()
    falls = [
        {"errorType": "Sandbox.Timedout", "errorMessage": "Task timed out after 10.00 seconds"},
        {"errorType": "Runtime.ExitError", "errorMessage": "null"},
    ]

    def flaky(event: Any, request_id: str, qualifier: str | None) -> Any:
        if first.acquire(blocking=False):
            released.wait(60)
        return Outcome(error=falls.pop(0)) if falls else world.vend.run(event, request_id, qualifier)

    world.lambda_service.wire("vend", flaky)
    with Driver(node, direct, callTimeoutSeconds=2) as calls:
        assert calls(PROMISES) == [200] * PROMISES
        assert not released.is_set(), "the one that hangs was given up"
        released.set()
    assert direct.asked >= 4


def test_what_lambda_refuses_is_named(node: str, direct: Door, world: Stage) -> None:
    with Driver(node, direct) as calls:
        for code, status, name in (
            ("AccessDeniedException", 403, "CallerNotAllowed"),
            ("TooManyRequestsException", 429, "VendingUnavailable"),
            ("ServiceException", 500, "VendingUnavailable"),
            ("UnrecognizedClientException", 403, "ConfigurationError"),
            ("ResourceNotFoundException", 404, "ConfigurationError"),
        ):
            world.lambda_service.refuse(code, status)
            (error,) = calls(0, client={"waitSeconds": 5})
            assert (error["name"], error["retryable"]) == (name, name == "VendingUnavailable"), code


def test_who_is_refused_over_http_is_told_why(node: str, http: Door, world: Stage) -> None:
    world.mint_first()
    with Driver(node, http) as calls:
        (stranger,) = calls(0, client={}, environment=keys(STRANGER))
        (forger,) = calls(0, client={}, environment={"AWS_SECRET_ACCESS_KEY": "wrong"})

    assert (stranger["name"], forger["name"]) == ("CallerNotAllowed", "CallerNotAllowed")
    assert "AllowedCallers" in stranger["message"]
    assert "HTTP 403" in forger["message"]


def test_the_lambdas_of_the_page_work(
    node: str, packages: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    # As npm lays it out.
    modules = tmp_path / "node_modules"
    shutil.copytree(
        package(), modules / "@token-vending" / "client", ignore=shutil.ignore_patterns("node_modules")
    )
    for needed in ("@aws-sdk", "axios"):
        (modules / needed).symlink_to(packages / needed)
    once = ""
    for name in IN_NODE:
        (tmp_path / f"{name}.mjs").write_text(SNIPPETS[name])
        once += f'console.log(JSON.stringify(await (await import("./{name}.mjs")).handler({{ id: 5 }})));\n'
    (tmp_path / "once.mjs").write_text(once)

    finished = run([node, "once.mjs"], environment, tmp_path)

    assert finished.returncode == 0, finished.stderr
    assert [works(json.loads(line)) for line in finished.stdout.splitlines()] == [True] * len(IN_NODE)
