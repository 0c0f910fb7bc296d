"""What `make publish-check` and the workflow promise."""

import re
import subprocess
import sys
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


def test_the_metadata_is_what_the_repository_takes() -> None:
    assert list(publish_check.metadata_faults(publish_check.application())) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Name", "has a space"),
        ("Description", "x" * 257),
        ("SemanticVersion", "1.0"),
        ("SemanticVersion", "01.0.0"),
        ("LicenseUrl", "NO-SUCH-FILE"),
        ("Labels", ["a b"]),
        ("Labels", [str(n) for n in range(11)]),
        ("SpdxLicenseId", "WTFPL"),
    ],
)
def test_metadata_that_would_be_refused_is_a_fault(field: str, value: Any) -> None:
    assert list(publish_check.metadata_faults({**publish_check.application(), field: value}))


def test_template_client_and_changelog_agree_on_the_version() -> None:
    version = publish_check.application()["SemanticVersion"]
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert list(publish_check.version_faults(version, changelog, release=False)) == []


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


@pytest.mark.parametrize("licence", ["AGPL-3.0", "MIT AND AGPL-3.0", "LIMITED", "Not MIT"])
def test_a_licence_that_is_not_permissive_is_a_fault(tmp_path: Path, licence: str) -> None:
    about = tmp_path / "odd-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: odd\nVersion: 1\nLicense-Expression: {licence}\n"
    )
    (odd,) = metadata.distributions(path=[str(tmp_path)])
    assert list(publish_check.licence_faults({"Layer": [odd]})) == [
        f"Layer: odd has the licence {licence}",
        "Layer: odd comes without its licence text",
    ]


def test_a_permissive_licence_whose_text_is_shipped_is_none(tmp_path: Path) -> None:
    about = tmp_path / "well_kept-1.dist-info"
    (about / "licenses").mkdir(parents=True)
    (about / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: well-kept\nVersion: 1\nLicense-Expression: MIT\n"
    )
    (about / "licenses" / "LICENSE").write_text("MIT License")
    (kept,) = metadata.distributions(path=[str(tmp_path)])
    assert list(publish_check.licence_faults({"Layer": [kept]})) == []


def test_the_page_of_licences_names_every_package_that_is_pinned() -> None:
    pinned = dict(
        re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements" / "layer.txt").read_text(), re.MULTILINE)
    )
    rows = re.findall(
        r"^\| (?:TokenVendingLayer|RefreshFunction) \| (\S+) \| (\S+) \|",
        publish_check.LICENCES.read_text(),
        re.MULTILINE,
    )
    assert {name.replace("_", "-").lower(): version for name, version in rows} == pinned


def test_what_a_guided_deployment_writes_is_not_tracked() -> None:
    """A tracked samconfig.toml with the user's own answers in it stops `git pull`."""
    assert "/samconfig.toml" in (ROOT / ".gitignore").read_text().splitlines()
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    assert "samconfig.toml" not in tracked.splitlines()


# ------------------------------------------------------------------------------------------------- workflow


def test_the_workflows_pass_zizmor() -> None:
    finished = subprocess.run(
        [
            Path(sys.executable).with_name("zizmor"),
            "--offline",
            "--no-progress",
            "--persona=pedantic",
            *WORKFLOWS,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_commit_and_says_which_version_that_is(workflow: Path) -> None:
    uses = re.findall(r"uses: (.+)", workflow.read_text())
    assert uses
    assert [use for use in uses if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)] == []


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
