"""README.md as a newcomer follows it: each of its `sh` commands, in its order, in a clean clone of this checkout.

What is not as on a newcomer's machine: the environments under .build are those of the checkout, and so is the built
template that `make demo` deploys, since no package registry can be reached from a test. AWS and Personr are stand-ins;
the deployment is told where they are. `make test` runs one file instead of this test again. `make demo` waits for a
schedule, so the other commands run beside it.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import build
from tests.kit.personr import DEFAULT_EMAIL, DEFAULT_PASSWORD, PersonrServer
from tests.kit.stack import MiniStack
from tests.kit.stack.embedded import ROOT

ENVIRONMENTS = ("uv", "venv", "sam", "ministack", "awscli")
OTHERS = ("ARGS", "AWS_", "COV", "MAKE", "MFLAGS", "PYTEST", "PYTHON", "WORKERS")
EMPTY_SECRETS = """
import boto3
from tests.kit.stack.embedded import empty_secrets
empty_secrets(boto3.client("secretsmanager"))
"""
pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not on this machine"),
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no clone that could be cloned"),
]


def git(folder: Path, *arguments: str) -> str:
    finished = subprocess.run(
        ["git", "-C", str(folder), *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    return finished.stdout.strip()


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone, of uncommitted changes too."""
    folder = tmp_path_factory.mktemp("newcomer") / "clone"
    somebody = ("-c", "user.name=n", "-c", "user.email=n@example.com")
    commit = git(ROOT, *somebody, "stash", "create") or git(ROOT, "rev-parse", "HEAD")
    git(ROOT, "clone", "--quiet", "--no-checkout", str(ROOT), str(folder))
    (folder / ".git" / "objects" / "info" / "alternates").write_text(
        git(ROOT, "rev-parse", "--path-format=absolute", "--git-path", "objects") + "\n"
    )
    git(folder, "checkout", "--quiet", "--detach", commit)
    built = build.build()
    (folder / ".build" / "artifacts").mkdir(parents=True)
    (folder / ".build" / "artifacts" / built.name).symlink_to(built)
    for name in ENVIRONMENTS:
        (folder / ".build" / name).symlink_to(ROOT / ".build" / name)
    for lock in (folder / "requirements").glob("*.txt"):
        # Else make would take the environments for older than their locks.
        os.utime(lock, (0, 0))
    return folder


@pytest.fixture(scope="session")
def environment(clone: Path, aws: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)}
    path = f"{aws}:{clone}/.build/sam/bin:{kept['PATH']}"
    return {**kept, "PATH": path, "SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "0.5"}


@pytest.fixture(scope="session")
def demo(clone: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """`make demo`, which has begun."""
    with subprocess.Popen(
        ["make", "demo"],
        cwd=clone,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)


def test_every_command_of_the_readme_works_in_its_order_in_a_clean_clone(
    clone: Path, environment: dict[str, str], demo: subprocess.Popen[str]
) -> None:
    commands = re.findall(r"^```sh\n(.*?)^```$", (clone / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert commands[0].startswith("make demo")
    (clone / "credentials.json").write_text(
        f'{{"email": "{DEFAULT_EMAIL}", "password": "{DEFAULT_PASSWORD}"}}'
    )
    with PersonrServer() as personr, MiniStack() as ministack:
        parameters = f"CompositeAlarm=false PersonrBaseUrl={personr.base_url}"
        script = ""
        for block in commands:
            text = re.sub(r"^make demo.*\n", "", block, flags=re.MULTILINE)
            text = re.sub(
                r"^make test", "ARGS=tests/unit/operations/test_releases.py WORKERS=0 make test", text
            )
            script += text.replace("--parameter-overrides", f"--parameter-overrides {parameters}")
            if "sam deploy" in text:
                script += f"PYTHONPATH={ROOT} {sys.executable} -c '{EMPTY_SECRETS}'\n"
        # One shell, as a newcomer has: what an earlier command defines, a later one uses.
        finished = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{script}make doctor STACK=token-vending || true"],
            cwd=clone,
            env={**environment, **ministack.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stdout
        token = personr.live_token()
    assert token is not None
    assert token not in finished.stdout
    for said in (
        "Successfully created/updated stack - token-vending",
        '"outcome": "refreshed"',
        '"expires_in"',
    ):
        assert said in finished.stdout
    assert re.search(r"^OK +token ", finished.stdout, re.MULTILINE)
    assert not (clone / "credentials.json").exists()
    assert git(clone, "status", "--porcelain") == "", "what the commands leave is ignored by git"


@pytest.mark.last
def test_the_demo_of_a_clean_clone_holds(demo: subprocess.Popen[str]) -> None:
    printed, _ = demo.communicate(timeout=300)
    assert demo.returncode == 0, printed
    assert "All steps had the expected result" in printed
