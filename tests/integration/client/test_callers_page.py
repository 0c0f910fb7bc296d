"""Every snippet of docs/callers.md is run: against the real functions, and a vendor's stand-in."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.world import MIN_AGE_SECONDS, Stage
from token_client._aws import CONNECT_SECONDS
from token_client._client import (
    DEFAULT_CALL_TIMEOUT_SECONDS,
    DEFAULT_STALE_WAIT_SECONDS,
    DEFAULT_WAIT_SECONDS,
)

from .surroundings import ROOT, break_the_token, needs, run, template, works

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

PAGE = (ROOT / "docs" / "callers.md").read_text()
SNIPPETS = dict(re.findall(r"<!-- snippet: ([\w-]+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))
ONE_CALL = ["requests", "httpx", "url"]
IN_NODE = ["node", "axios"]  # test_node.py


def run_python(name: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(SNIPPETS[name], f"docs/callers.md: {name}", "exec"), names)  # noqa: S102 - our own page
    return names


@pytest.fixture
def run_bash(environment: dict[str, str]) -> Callable[[str], subprocess.CompletedProcess[str]]:
    return lambda name: run(["bash", "-c", SNIPPETS[name]], environment)


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
def test_each_python_snippet_of_the_page_makes_a_working_call(world: Stage) -> None:
    assert works(run_python("lambda")["handler"]({"id": 5}, None))
    assert run_python("aiohttp")["status"] == 200
    for name in ONE_CALL:
        names = run_python(name)
        if "session" in names:
            names["session"].close()
        assert (names["answer"].status if name == "url" else names["answer"].status_code) == 200, name
    before = len(world.lambda_service.invocations)
    assert run_python("async")["versions"] == {world.version}
    assert len(world.lambda_service.invocations) == before + 1, "one request for all of the 500 tasks"


@pytest.mark.usefixtures("in_process")
def test_the_snippet_that_heals_by_hand_survives_a_dead_token(world: Stage) -> None:
    call = run_python("by-hand")["call"]
    assert works(json.loads(call(b"{}")))
    assert world.tick(force=True).ok  # the token in memory dies, the store has its successor

    assert works(json.loads(call(b"{}")))


def test_the_pages_example_of_a_callers_own_tests_passes_and_another_accounts_function_is_named() -> None:
    run_python("testing")
    assert ":live" in repr(run_python("another-account")["personr"]), "by its alias"


def test_the_policy_allows_what_the_stacks_own_policies_allow() -> None:
    resources = template()["Resources"]
    policy = json.loads(SNIPPETS["policy"])

    def what(statement: dict[str, Any]) -> tuple[Any, Any]:
        return statement["Action"], statement.get("Condition")

    assert [what(statement) for statement in policy["Statement"]] == [
        what(statement)
        for name in ("CallerPolicy", "UrlCallerPolicy")
        for statement in resources[name]["Properties"]["PolicyDocument"]["Statement"]
    ]
    assert [s["Resource"].rpartition(":")[2] for s in policy["Statement"]] == ["live", "url", "url"]


def test_the_pages_aws_cli_recipe_works_and_says_why_there_is_no_token(world: Stage, run_bash: Any) -> None:
    needs("aws", "jq", "curl")
    finished = run_bash("aws-cli")
    assert finished.returncode == 0, finished.stderr
    assert works(json.loads(finished.stdout))

    break_the_token(world)
    finished = run_bash("aws-cli")

    assert finished.returncode == 1
    assert json.loads(finished.stderr)["error"] == "ConfigurationError"


def test_the_pages_curl_recipe_works_reports_a_dead_token_and_says_why_there_is_none(
    world: Stage, run_bash: Any
) -> None:
    needs("curl", "jq")
    finished = run_bash("curl")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    world.age_token(MIN_AGE_SECONDS + 60)
    world.vendor.mint_elsewhere()

    finished = run_bash("curl")

    assert finished.returncode == 1
    assert '"error": "TokenUnavailable"' in finished.stderr

    break_the_token(world)
    finished = run_bash("curl")

    assert (finished.returncode, finished.stdout) == (1, "")
    assert re.search(r'"error": ?"ConfigurationError"', finished.stderr)


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
