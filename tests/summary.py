"""What the last lines of a test run say beyond pytest's own: coverage, and whether the page of reliability still holds.

Both are judged only after a run of all tests in which none failed. A fault there fails the run.
"""

import difflib
import gc
import io
import os
import tomllib
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path

import coverage
import pytest
from coverage.exceptions import NoDataError

from scripts import reliability

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = ROOT / "pyproject.toml"
LAYERS = ROOT / "layers"
COUNTED = {"unit", "contract", "integration", "simulation"}
"""The tiers whose lines count; of each test of a slow simulation the first case does. Counting doubles what a test
costs, and what the other tiers run of layers/ these run as well: otherwise a floor would tell."""

_noted: list[tuple[str, object]] = []
_simulated: set[tuple[str, str]] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Stops counting for the time of a test that does not count, its processes included."""
    counting = coverage.Coverage.current()
    if counting is None or _counts(item):
        return (yield)
    of_processes = os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    counting.stop()
    try:
        return (yield)
    finally:
        counting.start()
        if of_processes is not None:
            os.environ["COVERAGE_PROCESS_CONFIG"] = of_processes


def _counts(item: pytest.Item) -> bool:
    tier = item.path.relative_to(ROOT / "tests").parts[0]
    if tier != "simulation" or not item.get_closest_marker("slow"):
        return tier in COUNTED
    test, _, case = item.nodeid.partition("[")
    # What is counted once is a test with all its parameters but the last.
    kind = (test, case.rpartition("-")[0])
    first = kind not in _simulated
    _simulated.add(kind)
    return first


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keeps the rows that tests note for the page, from whichever worker."""
    if report.when == "call" and report.passed:
        _noted.extend(report.user_properties)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """A worker saves what it has counted before it tells the controller that it has finished."""
    counting = coverage.Coverage.current()
    if "PYTEST_XDIST_WORKER" in os.environ and counting is not None:
        counting.stop()
        counting.save()
        counting.get_data().close(force=True)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Prints what was found, when the workers have ended; they come here too, and are not the ones to say it."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    chosen = config.args_source is not pytest.Config.ArgsSource.TESTPATHS or any(
        config.getoption(name) for name in ("keyword", "markexpr", "deselect", "lf")
    )
    judged = not chosen and exitstatus == pytest.ExitCode.OK
    faults: list[str] = []
    if "COVERAGE_PROCESS_CONFIG" in os.environ:
        terminalreporter.section("coverage of layers/, lines and branches")
        faults += _of_coverage(terminalreporter, judged=judged)
    faults += _not_on_the_page() if judged else []
    for fault in faults:
        terminalreporter.write_line(f"FAULT  {fault}", red=True)
    if faults:
        terminalreporter._session.exitstatus = pytest.ExitCode.TESTS_FAILED  # type: ignore[union-attr]


def _of_coverage(terminal: pytest.TerminalReporter, *, judged: bool) -> list[str]:
    measured = coverage.Coverage(config_file=str(SETTINGS))
    report = io.StringIO()
    try:
        measured.combine()
        measured.report(file=report)
        return list(_below_their_floors(measured)) if judged else []
    except NoDataError as missing:
        return [f"no coverage was measured: {missing}"] if judged else []
    finally:
        terminal.write(report.getvalue())
        measured.get_data().close(force=True)
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            gc.collect()  # coverage leaves the files open that it has combined


def _below_their_floors(measured: coverage.Coverage) -> Iterator[str]:
    floors = tomllib.loads(SETTINGS.read_text(encoding="utf-8"))["tool"]["token-vending"]["coverage"]
    known = {Path(file).resolve() for file in measured.get_data().measured_files()}
    for source in sorted(LAYERS.rglob("token_*/**/*.py")):
        if source not in known and source.stat().st_size:
            yield f"{source.relative_to(ROOT)}: no test imports it"
    found = measured.report(file=io.StringIO())
    if found < floors["layers"]:
        yield f"layers/: {found:.1f} % covered, the floor is {floors['layers']} %"
    for module in floors["complete"]:
        found = measured.report(file=io.StringIO(), include=[f"*/token_vending/{module}.py"])
        if found < 100:
            yield f"token_vending/{module}.py: {found:.1f} % covered, where everything must be"


def _not_on_the_page() -> Iterator[str]:
    page = reliability.PAGE.read_text(encoding="utf-8")
    now = reliability.page(page, reliability.tables(_noted))
    changed = list(
        difflib.unified_diff(page.splitlines(), now.splitlines(), "the page", "the tests", "", "", 0)
    )
    if changed:
        yield "\n".join(
            [f"{reliability.PAGE.name} is not what the tests observed: make reliability", *changed]
        )
