"""Every snippet of docs/callers.md is run: against the real functions, and a vendor's stand-in."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.integration.world import MIN_AGE_SECONDS, World
from tests.personr import WHOAMI_PATH
from tests.runtime import FunctionUrl
from tests.runtime.function_url import CALLER
from tests.stand_ins.secrets_manager import ACCOUNT_ID, REGION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "callers.md").read_text()
SNIPPETS = dict(re.findall(r"<!-- snippet: ([\w-]+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))
NODE_FOLDER = ROOT / ".build" / "node"
AWS_SDK = "@aws-sdk/client-lambda@3"
ONE_CALL = ["requests", "httpx", "url"]
VEND_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:vend:live"

FOUR_CALLS_A_LINE = """
import readline from "node:readline";
for await (const body of readline.createInterface({ input: process.stdin })) {
  const call = () => personr(process.env.PERSONR_ENDPOINT, { method: "POST", body });
  const answers = await Promise.all([call(), call(), call(), call()]);
  console.log(JSON.stringify(answers.map((answer) => answer.status)));
}
"""


@pytest.fixture
def environment(world: World) -> Iterator[dict[str, str]]:
    """What a caller's process has: keys, where tokens come from, and the endpoint it calls."""
    world.mint_first()
    world.lambda_service.wire("vend", world.vend.run)
    with FunctionUrl(world.vend.run, [CALLER]) as url:
        yield {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": "/nonexistent",
            "PYENV_ROOT": os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv")),
            "AWS_ACCESS_KEY_ID": CALLER.access_key,
            "AWS_SECRET_ACCESS_KEY": CALLER.secret_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_LAMBDA": world.lambda_service.url,
            "PERSONR_TOKEN_FUNCTION": VEND_ARN,
            "PERSONR_TOKEN_URL": f"{url.url}/",
            "PERSONR_ENDPOINT": f"{world.vendor.url}{WHOAMI_PATH}",
        }


@pytest.fixture
def in_process(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        if name not in {"PATH", "HOME", "PYENV_ROOT"}:
            monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)


def run_python(name: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(SNIPPETS[name], f"docs/callers.md: {name}", "exec"), names)  # noqa: S102 - our own page
    return names


def needs(*programs: str) -> None:
    for program in programs:
        found = shutil.which(program)
        if (
            not found
            or subprocess.run([found, "--version"], capture_output=True, timeout=60, check=False).returncode
        ):
            pytest.skip(f"{program} is not on this machine")


def run_bash(name: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", SNIPPETS[name]],
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def works(body: Any) -> bool:
    return bool(body["status"] == "success")


def test_every_snippet_has_a_test() -> None:
    used = re.findall(r'(?:SNIPPETS\[|run_python\(|run_bash\()"([\w-]+)"', Path(__file__).read_text())

    assert set(SNIPPETS) == {*used, *ONE_CALL}
    assert len(SNIPPETS) == PAGE.count("<!-- snippet:")
    assert PAGE.count("```\n") == len(SNIPPETS) + 1, "only the operator's add-permission is not run"


def test_the_template_is_the_examples() -> None:
    assert SNIPPETS["consumer"] in (ROOT / "examples" / "consumer" / "template.yaml").read_text().replace(
        "          PERSONR_ENDPOINT: !Ref PersonrEndpoint\n", ""
    )


@pytest.mark.usefixtures("in_process")
def test_the_lambda() -> None:
    handler = run_python("lambda")["handler"]

    assert works(handler({"id": 5}, None))


@pytest.mark.usefixtures("in_process")
def test_by_hand_with_a_dead_token(world: World) -> None:
    call = run_python("by-hand")["call"]
    assert works(json.loads(call(b"{}")))
    assert world.tick(force=True).ok  # the token in memory dies, the store has its successor

    assert works(json.loads(call(b"{}")))


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("name", ONE_CALL)
def test_one_call(name: str) -> None:
    names = run_python(name)
    if "session" in names:
        names["session"].close()
    answer = names["answer"]

    assert (answer.status if name == "url" else answer.status_code) == 200


def test_a_callers_own_tests() -> None:
    run_python("testing")


def test_another_account() -> None:
    assert ":live" in repr(run_python("another-account")["personr"])


def test_the_policy_allows_what_the_stacks_own_policy_allows() -> None:
    class Tags(yaml.SafeLoader):
        """Reads CloudFormation's tags as whatever they are attached to."""

    Tags.add_multi_constructor("!", lambda loader, _tag, node: node.value if hasattr(node, "value") else None)
    template = yaml.load((ROOT / "template.yaml").read_text(), Tags)  # noqa: S506 - a SafeLoader
    statements = template["Resources"]["CallerPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    policy = json.loads(SNIPPETS["policy"])

    assert [statement["Action"] for statement in policy["Statement"]] == [
        statement["Action"] for statement in statements
    ]


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """A folder from which Node finds the AWS SDK; fetched once."""
    needs("node")
    if not (NODE_FOLDER / "node_modules" / "@aws-sdk" / "client-lambda").is_dir():
        needs("npm")
        NODE_FOLDER.mkdir(parents=True, exist_ok=True)
        installed = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--no-save", "--no-package-lock", AWS_SDK],
            cwd=NODE_FOLDER,
            capture_output=True,
            timeout=100,
            check=False,
        )
        if installed.returncode:
            pytest.skip(f"npm cannot install {AWS_SDK} on this machine")
    return NODE_FOLDER


def test_node_with_a_dead_token(world: World, environment: Mapping[str, str], node_modules: Path) -> None:
    program = SNIPPETS["node"] + FOUR_CALLS_A_LINE
    script = node_modules / f"recipe-{os.getpid()}.mjs"
    script.write_text(program)
    try:
        with subprocess.Popen(
            ["node", str(script)],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as node:
            assert node.stdin is not None
            assert node.stdout is not None
            before = len(world.lambda_service.invocations)
            print("{}", file=node.stdin, flush=True)
            assert json.loads(node.stdout.readline()) == [200] * 4
            assert len(world.lambda_service.invocations) == before + 1, "one request for all"

            world.age_token(MIN_AGE_SECONDS + 60)
            world.vendor.mint_elsewhere()
            print("{}", file=node.stdin, flush=True)
            assert json.loads(node.stdout.readline()) == [200] * 4
            node.stdin.close()
    finally:
        script.unlink()
    assert world.vendor.mint_count() == 3, "ours, the foreign one, and one to heal"


def test_the_aws_cli(world: World, environment: Mapping[str, str]) -> None:
    needs("aws", "jq", "curl")

    finished = run_bash("aws-cli", environment)

    assert finished.returncode == 0, finished.stderr
    assert works(json.loads(finished.stdout))


def test_the_aws_cli_says_why_not(world: World, environment: Mapping[str, str]) -> None:
    needs("aws", "jq", "curl")
    assert world.version is not None
    world.secrets.rewrite("token", world.version, lambda _token: {"edited": "by hand"})

    finished = run_bash("aws-cli", environment)

    assert finished.returncode == 1
    assert json.loads(finished.stderr)["error"] == "ConfigurationError"


def test_curl(world: World, environment: Mapping[str, str]) -> None:
    needs("curl", "jq")

    finished = run_bash("curl", environment)

    assert (finished.returncode, finished.stdout) == (0, ""), finished.stderr


def test_curl_reports_a_dead_token(world: World, environment: Mapping[str, str]) -> None:
    needs("curl", "jq")
    world.age_token(MIN_AGE_SECONDS + 60)
    world.vendor.mint_elsewhere()

    finished = run_bash("curl", environment)

    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["error"] == "TokenUnavailable"
