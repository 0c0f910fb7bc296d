"""README.md holds: its ways to a token are run, and what it names is there under that name."""

from __future__ import annotations

import json
import re
import shutil
import stat
from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.personr import WHOAMI_PATH

from .surroundings import ROOT, needs, run, template, works

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.world import Stage

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
PARAMETERS = README + (ROOT / "docs" / "parameters.md").read_text()
VENDOR = "https://enterprise.personr.co/api/1.1/wf/…"

# Answers for CloudFormation, which is not here; everything else is the AWS CLI's own.
AWS = """#!/bin/bash
if [ "$1 $2" = "cloudformation describe-stacks" ]; then
  [[ "$*" =~ OutputKey==\\'([A-Za-z]+)\\' ]] && case "${BASH_REMATCH[1]}" in
    VendFunctionArn) echo "$PERSONR_TOKEN_FUNCTION" ;;
    *) exit 1 ;;
  esac
else
  exec "$REAL_AWS" "$@"
fi
"""


def block(language: str, containing: str) -> str:
    """The one block of that language that contains this."""
    (found,) = [text for kind, text in BLOCKS if kind == language and containing in text]
    return found


@pytest.fixture
def with_aws(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    needs("aws", "jq")
    program = tmp_path / "aws"
    program.write_text(AWS)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    environment |= {"REAL_AWS": shutil.which("aws") or "", "PATH": f"{tmp_path}:{environment['PATH']}"}
    return {**environment, "AWS_SESSION_TOKEN": ""}


@pytest.mark.usefixtures("in_process")
def test_the_lambda_function_at_the_top(world: Stage) -> None:
    lines = block("python", "TokenClient()")
    assert lines.count(VENDOR) == 1
    names: dict[str, Any] = {}

    exec(lines.replace(VENDOR, f"{world.vendor.url}{WHOAMI_PATH}"), names)  # noqa: S102 - our own page

    assert works(names["handler"]({"id": 5}, None))


def test_the_consumers_fragment_is_the_examples() -> None:
    example = (ROOT / "examples" / "consumer" / "template.yaml").read_text()

    assert block("yaml", "TokenClientLayerArn") in example


def test_the_direct_invoke_shows_all_of_the_answer_but_the_token(
    with_aws: dict[str, str], world: Stage
) -> None:
    function = block("sh", "output()").partition("\n\n")[0]
    text = f"{function}\n{block('sh', 'aws lambda invoke')}"

    finished = run(["bash", "-euo", "pipefail", "-c", text], with_aws, ROOT)

    assert finished.returncode == 0, finished.stderr
    printed = finished.stdout
    answer, _ = json.JSONDecoder().raw_decode(printed)
    assert list(answer)[:2] == ["token_type", "expires_in"]
    assert (world.stored_token or "nothing is stored") not in printed


def test_every_make_verb_is_one() -> None:
    verbs = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))

    assert {"demo", "test", "doctor"} <= verbs
    assert verbs <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_event_it_names_is_there() -> None:
    events = set(re.findall(r"\bevents/[\w-]+\.json", README))

    assert events
    assert [event for event in events if not (ROOT / event).exists()] == []


def test_outputs_and_functions_are_the_templates() -> None:
    found = template()
    named = set(re.findall(r"OutputKey=='(\w+)'|\$\(output (\w+)\)|output `(\w+)`", README))
    outputs = {name for names in named for name in names if name}

    assert {"VendFunctionArn", "CredentialsSecretArn"} <= outputs
    assert outputs <= set(found["Outputs"])
    assert set(re.findall(r"sam (?:remote|local) invoke (\w+)", README)) <= set(found["Resources"])


def test_parameters_and_their_defaults_are_the_templates() -> None:
    parameters = template()["Parameters"]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PARAMETERS, re.MULTILINE)

    assert len(rows) > 10
    for name, shown in rows:
        default = str(parameters[name].get("Default", ""))
        assert shown.strip("`") == default or (default == "" and shown in {"none", "nobody"}), name
