"""What `make publish-check` and the workflow promise."""

import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import publish_check
from scripts.template import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
VERSION = publish_check.application()["SemanticVersion"]
RELEASED = f"## {VERSION} (2026-11-24)\n\n- First.\n"


@pytest.mark.parametrize(
    "field",
    [
        {"Name": "has a space"},
        {"Description": "x" * 257},
        {"SemanticVersion": "1.0"},
        {"LicenseUrl": "NO-SUCH-FILE"},
        {"Labels": ["a b"]},
        {"Labels": [str(n) for n in range(11)]},
        {"SpdxLicenseId": "WTFPL"},
    ],
    ids=str,
)
def test_metadata_that_would_be_refused_is_a_fault(field: dict[str, Any]) -> None:
    assert list(publish_check.metadata_faults(publish_check.application() | field))


@pytest.mark.parametrize(
    ("version", "changelog", "release", "fault"),
    [
        (VERSION, RELEASED, True, None),
        (VERSION, RELEASED, False, None),
        ("9.9.9", RELEASED, False, "clients/node"),
        (VERSION, "# Changelog\n\n## Unreleased\n\n- New.\n", True, "no section for"),
        (VERSION, "## Unreleased\n\n- New.\n\n" + RELEASED, True, "still unreleased"),
        (VERSION, "## Unreleased\n\n" + RELEASED, True, None),
        (VERSION, "# Changelog\n", False, "neither a section"),
        (VERSION, "## Unreleased\n\n## v1.0.0\n\n- First.\n", False, "not of the form"),
        (VERSION, RELEASED + "\n## 99.1.0 (2026-12-01)\n\n- Second.\n", False, "newest version comes first"),
    ],
)
def test_a_release_has_its_section_and_nothing_unreleased(
    version: str, changelog: str, *, release: bool, fault: str | None
) -> None:
    faults = list(publish_check.version_faults(version, changelog, release=release))
    assert any(fault in found for found in faults) if fault else faults == []


def test_a_release_tags_a_clean_commit_once_with_its_section(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def release() -> str | None:
        return publish_check.tag_release(tmp_path, VERSION, RELEASED)

    git("init", "--quiet")
    git("config", "user.name", "n")
    git("config", "user.email", "e@example.com")
    (tmp_path / "file").write_text("")
    assert release() == "release: something is not committed"
    git("add", "file")
    git("commit", "--quiet", "--message", "first")

    assert release() is None

    assert git("tag", "--list", "--format=%(contents)", f"v{VERSION}").strip() == f"{VERSION}\n\n- First."
    assert release() == f"release: the tag v{VERSION} is there already"


@pytest.mark.parametrize("with_text", [True, False])
@pytest.mark.parametrize("licence", ["MIT", "AGPL-3.0", "MIT AND AGPL-3.0", "LIMITED", "Not MIT"])
def test_a_licence_has_to_be_permissive_and_its_text_shipped(
    tmp_path: Path, licence: str, *, with_text: bool
) -> None:
    about = tmp_path / "an_odd-1.dist-info"
    (about / "licenses").mkdir(parents=True)
    fields = {"Metadata-Version": "2.4", "Name": "an-odd", "Version": "1", "License-Expression": licence}
    (about / "METADATA").write_text("".join(f"{name}: {value}\n" for name, value in fields.items()))
    if with_text:
        (about / "licenses" / "LICENSE").write_text("the licence")
    (odd,) = metadata.distributions(path=[str(tmp_path)])
    wanted = [] if licence == "MIT" else [f"Layer: an-odd has the licence {licence}"]
    wanted += [] if with_text else ["Layer: an-odd comes without its licence text"]
    assert list(publish_check.licence_faults({"Layer": [odd]})) == wanted


def test_what_a_guided_deployment_writes_is_not_tracked() -> None:
    """A tracked samconfig.toml with the user's own answers in it stops `git pull`."""
    assert "/samconfig.toml" in (ROOT / ".gitignore").read_text().splitlines()
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    assert "samconfig.toml" not in tracked.splitlines()


# ------------------------------------------------------------------------------------------------- workflow


WANTED = {
    "check.yml": ["make check", "make build", "make test", "make publish-check"],
    "weekly.yml": ["make audit", "make safeguards"],
}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_verbs_of_the_makefile(workflow: Path) -> None:
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert commands == WANTED[workflow.name]
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {command.removeprefix("make ") for command in commands} <= verbs
