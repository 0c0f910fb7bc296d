"""Removes one of the safeguards listed here at a time, in a copy of the sources, and asks for a test that notices.

Run it by `make safeguards`. Exit status 0 if the untouched copy passes and every edit makes a test fail.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
CORE = "layers/token_vending/token_vending"
COPIED = (
    "layers",
    "functions",
    "tests",
    "scripts",
    "events",
    "docs",
    "pyproject.toml",
    "template.yaml",
    "Makefile",
)
LIMIT_SECONDS = 300
TESTS_FAILED = 1
"""pytest's exit status for failing tests; 2 and more are broken runs, which prove nothing."""


class Mutant(NamedTuple):
    """One safeguard taken out: `old` becomes `new` in `file`, and `tests` must fail."""

    name: str
    """What the edit takes away: what it makes of the protocol."""
    file: str
    old: str
    new: str
    tests: str


RACES = "tests/integration/test_races.py"
CRASHES = "tests/integration/test_crash_matrix.py"
FAULTS = "tests/integration/test_faults.py"
BAD_INPUT = "tests/integration/test_bad_input.py"
STORIES = "tests/simulation/test_found_by_the_model.py"
OUTAGES = "tests/simulation/test_long_outages.py"
CALLERS = "tests/simulation/test_callers.py"
PROTOCOL = "tests/unit/test_refreshing.py"
DOORS = "tests/unit/test_doors.py"

MUTANTS = (
    Mutant(
        "claim: a run goes on although another one has announced itself for the same state",
        f"{CORE}/claiming.py",
        "            version = _after(version, taken.record, state, now)\n",
        "            return intent\n",
        f"{RACES}::test_of_two_runs_that_both_saw_no_lock_one_mints",
    ),
    Mutant(
        "claim by a random id: each run draws the version id of its intent",
        f"{CORE}/claiming.py",
        "    version: str | None = state.next_version\n",
        "    version: str | None = attempt\n",
        f"{CALLERS}::test_a_crowd_of_any_size_writes_one_intent_and_one_token",
    ),
    Mutant(
        "intent not read: what a run that died left unfinished is not looked at",
        f"{CORE}/refreshing.py",
        "        state = State(token, present, seen.unfinished)\n",
        "        state = State(token, present)\n",
        f"{CRASHES}::test_a_command_killed_and_not_retried_is_finished_by_the_next_tick",
    ),
    Mutant(
        "lease: an unfinished run is taken over at once, though it may be alive",
        f"{CORE}/observing.py",
        "        return run is not None and not lease_over(run, now) and self",
        "        return run is None and not lease_over(run, now) and self",
        f"{PROTOCOL}::test_a_run_that_finds_the_lock_held_is_busy",
    ),
    Mutant(
        "store retry: a token in hand is offered to the store once",
        f"{CORE}/keeping.py",
        "                if attempt == self.attempts or ",
        "                if attempt or attempt == self.attempts or ",
        f"{FAULTS}::test_a_minted_token_is_stored_as_soon_as_the_store_takes_it",
    ),
    Mutant(
        "latch: refused credentials are not remembered",
        f"{CORE}/accounts.py",
        "    label = REFUSED_PREFIX + account.version\n    try:",
        "    label = REFUSED_PREFIX + account.version\n    if account:\n        return\n    try:",
        f"{BAD_INPUT}::test_refused_credentials_are_sent_once",
    ),
    Mutant(
        "minimum age: a rejection is believed however young the token is",
        f"{CORE}/history.py",
        "    youth = timedelta(0) if proven_dead else",
        "    youth = timedelta(0) if min_age else",
        "tests/unit/test_due.py",
    ),
    Mutant(
        "budget: callers may cause a mint whenever the token is old enough",
        f"{CORE}/history.py",
        "    return max(youth, caller_wait(token, now, min_age))\n",
        "    return youth\n",
        f"{CALLERS}::test_a_day_of_malice_stays_within_the_budget",
    ),
    Mutant(
        "room: a run mints without room for its token",
        f"{CORE}/claiming.py",
        "    if not has_room(kept, latest, now, for_a_caller=verdict.by_caller, by_a_person=request.by_a_person):\n",
        "    if not kept:\n",
        f"{PROTOCOL}::test_without_room_for_intent_and_token_nothing_is_minted",
    ),
    Mutant(
        "pause: however many runs have failed, the next one tries at once",
        f"{CORE}/history.py",
        "    if last.history.failures + 1 < FREE_FAILURES:\n",
        "    if last.history.failures + 1 < FREE_FAILURES * 1_000_000:\n",
        f"{OUTAGES}::test_three_days_of_failures_leave_room_for_the_token",
    ),
    Mutant(
        "growing pause: the first pause is as long as the longest",
        f"{CORE}/history.py",
        "    pause = min(max(failing_for / PAUSE_DIVISOR, FIRST_PAUSE), LONGEST_PAUSE)\n",
        "    pause = max(failing_for * 0, LONGEST_PAUSE)\n",
        f"{CALLERS}::test_an_outage_with_a_dead_token_costs_callers_a_tenth_more_or_a_minute",
    ),
    Mutant(
        "abandoned: a run that gave up alive keeps its lease to the end",
        f"{CORE}/observing.py",
        " and self.labels.get(ABANDONED) != run.version\n",
        "\n",
        f"{STORIES}::test_after_a_run_that_gave_up_alive_the_next_one_need_not_wait",
    ),
    Mutant(
        "door: whatever is invoked is the URL's door",
        f"{CORE}/doors.py",
        '    return invoked_function_arn.split(":")[7:] == ["url"]\n',
        '    return invoked_function_arn != ""\n',
        DOORS,
    ),
)


def apply(mutant: Mutant, root: Path) -> None:
    """Edits the file under `root`. Raises ValueError if the text to replace is not there exactly once."""
    path = root / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(
            f"{mutant.name}: the text to replace is in {mutant.file} {text.count(mutant.old)} times"
        )
    path.write_text(text.replace(mutant.old, mutant.new))


def main(arguments: Sequence[str] | None = None) -> int:
    """The table of mutants; 1 if one lives, 2 if the check itself is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="names of mutants, up to the colon; all if none is given")
    chosen = parser.parse_args(arguments).only
    mutants = [mutant for mutant in MUTANTS if not chosen or mutant.name.partition(":")[0] in chosen]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        untouched = Path(folder) / "untouched"
        untouched.mkdir()
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, untouched / name)
        lived = broken = 0
        for mutant in mutants:
            root = Path(folder) / "mutant"
            shutil.copytree(untouched, root)
            apply(mutant, root)
            began = time.monotonic()
            before, after = _test(untouched, mutant), _test(root, mutant)
            shutil.rmtree(root)
            killed = after.returncode == TESTS_FAILED
            lived += not killed
            broken += before.returncode != 0
            verdict = "caught" if killed else f"NOT CAUGHT (pytest ended with {after.returncode})"
            if before.returncode != 0:
                verdict = f"the tests fail without the edit too: {before.stdout.splitlines()[-1]}"
            print(f"{mutant.name}: {verdict} [{time.monotonic() - began:.0f} s]", flush=True)
            said = after.stdout.splitlines()
            for line in [line for line in said if line.startswith("FAILED ")] if killed else said[-15:]:
                print(f"    {line}", flush=True)
    return 2 if broken else int(bool(lived))


def _test(root: Path, mutant: Mutant) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", mutant.tests],
        cwd=root,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
