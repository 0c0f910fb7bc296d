"""The verbs of the Makefile that look at a deployed stack."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_smoke_without_a_stack_fails_and_tries_nothing() -> None:
    without = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    finished = subprocess.run(
        ["make", "--assume-old=setup", "smoke", "STACK="],
        cwd=ROOT,
        env=without,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert finished.returncode != 0
    assert "make smoke STACK=name" in finished.stderr
    assert finished.stdout == ""


def test_every_remote_invocation_on_a_page_runs_the_alias() -> None:
    """Without a qualifier it would be $LATEST, whose failures no alarm watches."""
    pages = [ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("**/*.md")]
    text = "\n".join(page.read_text() for page in pages).replace("\\\n", " ")
    commands = re.findall(r"sam remote invoke [^`\n]*", text)
    assert commands
    assert [command for command in commands if "--parameter Qualifier=live" not in command] == []
