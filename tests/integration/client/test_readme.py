"""README.md holds: its ways to a token are run, and what it names is there under that name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.personr import WHOAMI_PATH

from .surroundings import ROOT, template, works

if TYPE_CHECKING:
    from tests.integration.world import Stage

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
PARAMETERS = README + (ROOT / "docs" / "parameters.md").read_text()
VENDOR = "https://enterprise.personr.co/api/1.1/wf/…"


def block(language: str, containing: str) -> str:
    """The one block of that language that contains this."""
    (found,) = [text for kind, text in BLOCKS if kind == language and containing in text]
    return found


@pytest.mark.usefixtures("in_process")
def test_the_lambda_function_at_the_top_and_its_fragment_of_a_template(world: Stage) -> None:
    lines = block("python", "TokenClient()")
    assert lines.count(VENDOR) == 1
    names: dict[str, Any] = {}

    exec(lines.replace(VENDOR, f"{world.vendor.url}{WHOAMI_PATH}"), names)  # noqa: S102 - our own page

    assert works(names["handler"]({"id": 5}, None))
    example = (ROOT / "examples" / "consumer" / "template.yaml").read_text()
    assert block("yaml", "TokenClientLayerArn") in example


def test_its_make_verbs_and_events_are_there() -> None:
    verbs = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    events = set(re.findall(r"\bevents/[\w-]+\.json", README))

    assert {"demo", "test", "doctor"} <= verbs
    assert verbs <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
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
