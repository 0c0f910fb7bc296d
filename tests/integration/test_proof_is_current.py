"""A cell that nobody has observed, or a mutant's edit that no longer applies, fails. The page itself is compared by the
plugin tests/summary.py, with what the tests noted in a run of all of them.
"""

import ast
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import mutants, reliability
from tests.integration.records import Observed, bounded, note, seen


def is_literal(node: ast.expr) -> bool:
    """Whether no name has a part in it, so that it was not observed."""
    return not any(isinstance(part, ast.Name | ast.Call | ast.Attribute) for part in ast.walk(node))


@pytest.mark.parametrize("name", reliability.TESTS)
def test_a_cell_of_the_page_is_no_literal_of_its_test(name: str) -> None:
    tree = ast.parse((reliability.ROOT / name).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    checks = [call for call in calls if ast.unparse(call.func) in {"seen", "bounded"}]
    assert checks
    assert [call.lineno for call in checks if is_literal(call.args[0])] == []
    assert [call.lineno for call in calls if ast.unparse(call.func) == "Observed"] == []


def test_a_note_takes_no_cell_that_was_not_observed() -> None:
    noted: list[object] = []
    with pytest.raises(TypeError, match="nobody has observed the cells found"):
        note(lambda *row: noted.append(row), "race", {"what": "a case"}, found="the token")
    assert noted == []


@pytest.mark.parametrize("check", [lambda: seen(1, 2), lambda: bounded(5, 0, 4)])
def test_what_was_not_expected_makes_no_cell(check: Callable[[], Observed]) -> None:
    with pytest.raises(AssertionError):
        check()


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.name)
def test_the_mutants_edit_still_applies(tmp_path: Path, mutant: mutants.Mutant) -> None:
    source = mutants.ROOT / mutant.file
    copy = tmp_path / mutant.file
    copy.parent.mkdir(parents=True)
    shutil.copy2(source, copy)
    mutants.apply(mutant, tmp_path)
    assert copy.read_text() != source.read_text()
    compile(copy.read_text(), mutant.file, "exec")
