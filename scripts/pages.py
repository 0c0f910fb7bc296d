"""Pages that are written in part by programs."""

from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(map(_cell, line)) + " |\n" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).replace("|", "\\|")


def replaced(text: str, name: str, part: str) -> str:
    """The text with another part between its markers of that name. Raises ValueError if it has no such place."""
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the page has no single place for {name}")
    head, _, rest = text.partition(begin)
    return head + begin + part + end + rest.partition(end)[2]


def put(page: Path, name: str, part: str) -> None:
    """The same in a file."""
    page.write_text(replaced(page.read_text(encoding="utf-8"), name, part), encoding="utf-8")
