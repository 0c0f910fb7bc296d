"""scripts/find-python: the interpreter that everything else is made from."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.stack.embedded import ROOT

REAL = getattr(sys, "_base_executable", sys.executable)


def find(path: Path, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{path}:/usr/bin:/bin", "HOME": str(home), **variables}
    program = ROOT / "scripts" / "find-python"
    return subprocess.run([program], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder with a python3.13 that does not run, as pyenv's shims do when another version is selected."""
    shim = tmp_path / "bin" / "python3.13"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\necho 'python3.13: command not found' >&2\nexit 127\n", encoding="utf-8")
    shim.chmod(0o755)
    return shim.parent


def test_a_named_interpreter_wins(broken: Path, tmp_path: Path) -> None:
    found = find(broken, tmp_path, PYTHON=REAL)
    assert Path(found.stdout.strip()).samefile(REAL)


def test_a_name_on_the_path_that_does_not_run_is_passed_over(broken: Path, tmp_path: Path) -> None:
    versions = tmp_path / ".pyenv" / "versions" / "3.13.99" / "bin"
    versions.mkdir(parents=True)
    (versions / "python3.13").symlink_to(REAL)
    found = find(broken, tmp_path)
    program = [found.stdout.strip(), "-c", "import sys; print(*sys.version_info[:2])"]
    assert subprocess.run(program, capture_output=True, text=True, check=True).stdout == "3 13\n"


def test_another_version_is_no_python_for_us(broken: Path, tmp_path: Path) -> None:
    other = broken / "python3.12"
    other.symlink_to("/bin/true")
    found = find(broken, tmp_path, PYTHON=str(other))
    assert str(other) not in found.stdout


def test_without_any_it_says_what_to_do(broken: Path, tmp_path: Path) -> None:
    found = find(broken, tmp_path)
    if found.returncode == 0:
        pytest.skip(f"this machine has one in a usual place: {found.stdout.strip()}")
    assert "Mend: install Python 3.13" in found.stderr
    assert found.stdout == ""
