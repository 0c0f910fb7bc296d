"""docs/operations.md, executed: its `sh` blocks, in order, against the embedded stack."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.test_doctor import set_schedule
from tests.kit.personr import DEFAULT_EMAIL, DEFAULT_PASSWORD
from tests.kit.stack import EmbeddedStack
from tests.kit.stack.embedded import ROOT

PAGE = ROOT / "docs" / "operations.md"
pytestmark = pytest.mark.timeout(300)


def _sections(page: Path) -> dict[str, str]:
    """The commands of each section, by its title; the ones before the first title under an empty one."""
    parts = re.split(r"^#{2,3} (.+)$", page.read_text(), flags=re.MULTILINE)
    titles = ["", *parts[1::2]]
    blocks = [
        "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)) for text in parts[::2]
    ]
    return {title: commands for title, commands in zip(titles, blocks, strict=True) if commands}


SECTIONS = _sections(PAGE)
PREAMBLE = SECTIONS.pop("")


def _write_credentials(_stack: EmbeddedStack) -> None:
    credentials = {"email": DEFAULT_EMAIL, "password": DEFAULT_PASSWORD}
    (ROOT / ".build" / "credentials.json").write_text(json.dumps(credentials))


def _delete_both_secrets(stack: EmbeddedStack) -> None:
    for output in ("TokenSecretArn", "CredentialsSecretArn"):
        stack.client("secretsmanager").delete_secret(SecretId=stack.outputs[output], RecoveryWindowInDays=7)


def _publish_and_deploy(stack: EmbeddedStack) -> None:
    """A version that never goes live, as a failed deployment leaves it, and then a deployment: it leaves the token."""
    functions, version = stack.client("lambda"), stack.current_version()
    for output in ("VendFunctionName", "RefreshFunctionName"):
        name = stack.outputs[output]
        functions.update_function_configuration(FunctionName=name, Description="left by a failed deployment")
        functions.publish_version(FunctionName=name)
    stack.deploy({"CacheSeconds": "2"})
    assert stack.current_version() == version
    answer = stack.vend().payload
    assert (answer["version"], answer["cache_seconds"]) == (version, 2)


BEFORE: dict[str, Callable[[EmbeddedStack], None]] = {
    "Rotate the service account's password": _write_credentials,
    "Restore a deleted secret": _delete_both_secrets,
    "no-tick": lambda stack: set_schedule(stack, "DISABLED"),
    "Roll back": _publish_and_deploy,
}


def _schedule_is_enabled(stack: EmbeddedStack) -> None:
    schedule = stack.client("scheduler").get_schedule(Name=stack.resource("Schedule"))
    assert schedule["State"] == "ENABLED"
    assert schedule["Target"]["Arn"].endswith(":live")
    assert "<aws.scheduler.execution-id>" in schedule["Target"]["Input"]


def _the_token_can_be_had(stack: EmbeddedStack) -> None:
    assert stack.vend({"rejected_version": "none"}).function_error is None


def _the_version_before_is_live(stack: EmbeddedStack) -> None:
    """Not the one that was published last before it: that one was never deployed."""
    functions = stack.client("lambda")
    for output in ("VendFunctionName", "RefreshFunctionName"):
        name = stack.outputs[output]
        live = functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
        versions = [v["Version"] for v in functions.list_versions_by_function(FunctionName=name)["Versions"]]
        assert int(live) < int(versions[-2]) < int(versions[-1])


AFTER: dict[str, Callable[[EmbeddedStack], None]] = {
    "no-tick": _schedule_is_enabled,
    "Restore a deleted secret": _the_token_can_be_had,
    "Rotate the service account's password": _the_token_can_be_had,
    "Roll back": _the_version_before_is_live,
}


def _run(stack: EmbeddedStack, aws: Path, commands: str) -> str:
    finished = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=ROOT,
        env={
            **stack.ministack.environment,
            "PATH": f"{aws}:{ROOT}/.build/sam/bin:{os.environ['PATH']}",
            "HOME": os.environ.get("HOME", "/"),
            "AWS_PAGER": "",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, f"{commands}\n{finished.stdout}"
    assert "errorMessage" not in finished.stdout, finished.stdout
    return finished.stdout


def test_the_page_has_the_sections_that_need_a_hand() -> None:
    assert BEFORE.keys() | AFTER.keys() <= SECTIONS.keys()


@pytest.mark.parametrize("title", SECTIONS)
def test_the_commands_of_a_section_work(minted: EmbeddedStack, aws: Path, title: str) -> None:
    BEFORE.get(title, lambda _stack: None)(minted)
    # `make smoke` would start this suite again; that it passes here is shown by test_first_day.py.
    commands = SECTIONS[title].replace('make smoke STACK="$STACK"', "true")
    # Not the file of that name which an operator may have there.
    commands = commands.replace("credentials.json", ".build/credentials.json")
    # The emulator takes /aliases/url for the path of a Function URL and finds no such function.
    commands = commands.replace(
        "bash -eu .build", "sed -i '/--name url/d' .build/roll-back.sh; bash -eu .build"
    )
    _run(minted, aws, f"{PREAMBLE}\n{commands}")
    AFTER.get(title, lambda _stack: None)(minted)
