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

from tests.integration.world import MIN_AGE_SECONDS, Stage
from tests.kit.personr import WHOAMI_PATH
from tests.kit.runtime import FunctionUrl
from tests.kit.runtime.function_url import CALLER
from tests.kit.secrets_manager.server import ACCOUNT_ID, REGION
from token_client._aws import CONNECT_SECONDS
from token_client._client import (
    DEFAULT_CALL_TIMEOUT_SECONDS,
    DEFAULT_STALE_WAIT_SECONDS,
    DEFAULT_WAIT_SECONDS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "callers.md").read_text()
SNIPPETS = dict(re.findall(r"<!-- snippet: ([\w-]+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))
ONE_CALL = ["requests", "httpx", "url"]
IN_NODE = ["node", "axios"]  # test_node.py
VEND_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:vend:live"


@pytest.fixture
def environment(world: Stage) -> Iterator[dict[str, str]]:
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

    assert set(SNIPPETS) == {*used, *ONE_CALL, *IN_NODE}
    assert len(SNIPPETS) == PAGE.count("<!-- snippet:")
    assert PAGE.count("```\n") == len(SNIPPETS) + 1, "only the operator's add-permission is not run"


def test_the_template_is_the_examples() -> None:
    assert SNIPPETS["consumer"] in (ROOT / "examples" / "consumer" / "template.yaml").read_text().replace(
        "          PERSONR_ENDPOINT: !Ref PersonrEndpoint\n", ""
    )


@pytest.mark.usefixtures("in_process")
def test_the_pages_lambda_handler_works() -> None:
    handler = run_python("lambda")["handler"]

    assert works(handler({"id": 5}, None))


@pytest.mark.usefixtures("in_process")
def test_by_hand_with_a_dead_token(world: Stage) -> None:
    call = run_python("by-hand")["call"]
    assert works(json.loads(call(b"{}")))
    assert world.tick(force=True).ok  # the token in memory dies, the store has its successor

    assert works(json.loads(call(b"{}")))


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("name", ONE_CALL)
def test_each_way_on_the_page_makes_one_working_call(name: str) -> None:
    names = run_python(name)
    if "session" in names:
        names["session"].close()
    answer = names["answer"]

    assert (answer.status if name == "url" else answer.status_code) == 200


@pytest.mark.usefixtures("in_process")
def test_500_tasks_on_the_page_make_one_request(world: Stage) -> None:
    before = len(world.lambda_service.invocations)

    assert run_python("async")["versions"] == {world.version}
    assert len(world.lambda_service.invocations) == before + 1, "one request for all"


@pytest.mark.usefixtures("in_process")
def test_the_pages_aiohttp_example_makes_a_working_call() -> None:
    assert run_python("aiohttp")["status"] == 200


def test_the_pages_example_of_a_callers_own_tests_passes() -> None:
    run_python("testing")


def test_the_page_names_another_accounts_function_by_its_alias() -> None:
    assert ":live" in repr(run_python("another-account")["personr"])


def test_the_policy_allows_what_the_stacks_own_policies_allow() -> None:
    class Tags(yaml.SafeLoader):
        """Reads CloudFormation's tags as whatever they are attached to."""

    Tags.add_multi_constructor("!", lambda loader, _tag, node: node.value if hasattr(node, "value") else None)
    resources = yaml.load((ROOT / "template.yaml").read_text(), Tags)["Resources"]  # noqa: S506 - a SafeLoader
    policy = json.loads(SNIPPETS["policy"])

    def what(statement: dict[str, Any]) -> tuple[Any, Any]:
        return statement["Action"], statement.get("Condition")

    assert [what(statement) for statement in policy["Statement"]] == [
        what(statement)
        for name in ("CallerPolicy", "UrlCallerPolicy")
        for statement in resources[name]["Properties"]["PolicyDocument"]["Statement"]
    ]
    assert [s["Resource"].rpartition(":")[2] for s in policy["Statement"]] == ["live", "url", "url"]


def test_the_pages_aws_cli_recipe_works(world: Stage, environment: Mapping[str, str]) -> None:
    needs("aws", "jq", "curl")

    finished = run_bash("aws-cli", environment)

    assert finished.returncode == 0, finished.stderr
    assert works(json.loads(finished.stdout))


def test_the_aws_cli_says_why_not(world: Stage, environment: Mapping[str, str]) -> None:
    needs("aws", "jq", "curl")
    assert world.version is not None
    world.secrets.rewrite("token", world.version, lambda _token: {"edited": "by hand"})

    finished = run_bash("aws-cli", environment)

    assert finished.returncode == 1
    assert json.loads(finished.stderr)["error"] == "ConfigurationError"


def test_the_pages_curl_recipe_works(world: Stage, environment: Mapping[str, str]) -> None:
    needs("curl", "jq")

    finished = run_bash("curl", environment)

    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


def test_curl_reports_a_dead_token_and_fails(world: Stage, environment: Mapping[str, str]) -> None:
    needs("curl", "jq")
    world.age_token(MIN_AGE_SECONDS + 60)
    world.vendor.mint_elsewhere()

    finished = run_bash("curl", environment)

    assert finished.returncode == 1
    assert '"error": "TokenUnavailable"' in finished.stderr


def test_curl_says_why_there_is_no_token(world: Stage, environment: Mapping[str, str]) -> None:
    needs("curl", "jq")
    assert world.version is not None
    world.secrets.rewrite("token", world.version, lambda _token: {"edited": "by hand"})

    finished = run_bash("curl", environment)

    assert finished.returncode == 1
    assert (
        '"error": "ConfigurationError"' in finished.stderr
        or '"error":"ConfigurationError"' in finished.stderr
    )
    assert finished.stdout == ""


def test_no_recipe_puts_a_secret_on_a_command_line() -> None:
    for name in ("aws-cli", "curl"):
        commands = re.sub(r"<<EOF\n.*?\nEOF\n", "\n", SNIPPETS[name], flags=re.DOTALL)
        assert "SECRET_ACCESS_KEY" not in commands
        assert "SESSION_TOKEN" not in commands
        assert "$token" not in commands


def test_the_examples_timeout_is_the_sum_of_what_it_may_wait_for() -> None:
    found = re.search(r"Timeout: (\d+)", SNIPPETS["consumer"])
    assert found is not None

    assert int(found[1]) == DEFAULT_WAIT_SECONDS + 2 * 5
    assert f"{DEFAULT_WAIT_SECONDS:g} s waiting" in PAGE
    assert f"`stale_wait_seconds` ({DEFAULT_STALE_WAIT_SECONDS:g})" in PAGE
    assert (
        f"{CONNECT_SECONDS:g} s to connect and `call_timeout_seconds` ({DEFAULT_CALL_TIMEOUT_SECONDS:g})"
        in PAGE
    )
