"""The page and the mutants speak of this code: a point that is missing, or an edit that no longer applies, fails."""

import re
import shutil
from pathlib import Path

import pytest

from scripts import mutants, reliability
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


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.name)
def test_the_mutants_edit_still_applies(tmp_path: Path, mutant: mutants.Mutant) -> None:
    source = mutants.ROOT / mutant.file
    copy = tmp_path / mutant.file
    copy.parent.mkdir(parents=True)
    shutil.copy2(source, copy)
    mutants.apply(mutant, tmp_path)
    assert copy.read_text() != source.read_text()
    compile(copy.read_text(), mutant.file, "exec")
