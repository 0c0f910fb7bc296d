"""Scripts, tools and measurements use the stand-ins, and nothing else of the tests; so does the kit itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    file for folder in ("scripts", "tools", "bench", "tests/kit") for file in (ROOT / folder).rglob("*.py")
]


def imported(file: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return names | {f"{node.module}.{alias.name}" for node in froms for alias in node.names}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_of_the_tests_only_the_kit_is_imported(file: Path) -> None:
    of_tests = {name for name in imported(file) if name.split(".")[0] == "tests"}
    assert {name for name in of_tests if not name.startswith("tests.kit.")} == set()
