"""The page and the mutants speak of this code: a point that is missing, a cell that nobody has observed, or an edit
that no longer applies, fails. The cells themselves are compared by the plugin tests/summary.py, with what the tests
noted in a run of all of them.
"""

import ast
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import mutants, reliability
from tests.integration.records import Observed, bounded, note, seen, within
from tests.integration.test_crash_matrix import REFRESH_SCENARIOS, VEND_SCENARIOS
from tests.integration.test_faults import (
    AT_THE_HAND_OUT,
    LASTING,
    LASTING_AT_THE_VENDOR,
    PASSING,
    START_FAULTS,
)

PAGE = reliability.PAGE.read_text(encoding="utf-8")


def part(name: str) -> str:
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    return PAGE.partition(begin)[2].partition(end)[0]


@pytest.mark.parametrize("name", REFRESH_SCENARIOS)
def test_the_page_has_every_call_of_the_scenario(name: str) -> None:
    _, _, rest = part("crashes").partition(f"**{name[0].upper()}{name[1:]}**")
    lines = re.findall(r"^\| (\d+) \| ([^|]+) \|", rest.partition("**")[0], re.MULTILINE)
    calls = [reliability.operation_name(call) for call in REFRESH_SCENARIOS[name].calls]
    assert [operation for _, operation in lines] == [*calls, "the answer to Lambda"]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("vend crashes", list(VEND_SCENARIOS)),
        ("store faults", list(LASTING)),
        ("single faults", [f"Secrets Manager: {fault}" for fault in PASSING]),
        ("vendor faults", list(LASTING_AT_THE_VENDOR)),
        ("hand-out faults", [*AT_THE_HAND_OUT, *(f"starting a refresh: {fault}" for fault in START_FAULTS)]),
    ],
)
def test_the_page_has_every_fault(name: str, rows: list[str]) -> None:
    assert [row for row in rows if f"| {row} |" not in part(name)] == []


def test_every_part_of_the_page_is_filled() -> None:
    assert [name for name in reliability.PARTS if "| --- |" not in part(name)] == []


def is_literal(node: ast.expr) -> bool:
    """Whether no name has a part in it, so that it was not observed."""
    return not any(isinstance(part, ast.Name | ast.Call | ast.Attribute) for part in ast.walk(node))


@pytest.mark.parametrize("name", reliability.TESTS)
def test_a_cell_of_the_page_is_no_literal_of_its_test(name: str) -> None:
    tree = ast.parse((reliability.ROOT / name).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    checks = [call for call in calls if ast.unparse(call.func) in {"seen", "within", "bounded"}]
    assert checks
    assert [call.lineno for call in checks if is_literal(call.args[0])] == []
    assert [call.lineno for call in calls if ast.unparse(call.func) == "Observed"] == []


def test_a_note_takes_no_cell_that_was_not_observed() -> None:
    noted: list[object] = []
    with pytest.raises(TypeError, match="nobody has observed the cells found"):
        note(lambda *row: noted.append(row), "race", {"what": "a case"}, found="the token")
    assert noted == []


@pytest.mark.parametrize("check", [lambda: seen(1, 2), lambda: within(5, 0, 4), lambda: bounded(5, 0, 4)])
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
