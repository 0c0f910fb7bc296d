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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class Mutant:
    """One safeguard taken out: `old` becomes `new` in `file`, and one of `tests` must fail."""

    name: str
    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


RACES = "tests/integration/test_races.py"
CRASHES = "tests/integration/test_crash_matrix.py"
FAULTS = "tests/integration/test_faults.py"
BAD_INPUT = "tests/integration/test_bad_input.py"
STORIES = "tests/simulation/test_found_by_the_model.py"
OUTAGES = "tests/simulation/test_long_outages.py"

MUTANTS = (
    Mutant(
        "lock",
        "a run goes on although another one holds the lock",
        f"{CORE}/refreshing.py",
        "        except LabelHeld:\n            return False\n",
        "        except LabelHeld:\n            return True\n",
        (f"{RACES}::test_of_two_runs_that_both_saw_no_lock_one_mints",),
    ),
    Mutant(
        "intent not read",
        "what a run that died left unfinished is not looked at",
        f"{CORE}/due.py",
        "        return self.lock\n",
        "        return None\n",
        (f"{CRASHES}::test_a_command_killed_and_not_retried_is_finished_by_the_next_tick",),
    ),
    Mutant(
        "intent not written",
        "nothing is announced before the mint; the lock lies on the current version",
        f"{CORE}/refreshing.py",
        "        self._store.put_intent(intent)\n",
        "        intent = replace(intent, version=token.version if token else intent.version)\n",
        (f"{RACES}::test_fifty_deliveries_of_the_schedule_at_once_make_one_mint",),
    ),
    Mutant(
        "store retry",
        "a token in hand is offered to the store once",
        f"{CORE}/refreshing.py",
        "                if attempt == attempts or ",
        "                if attempt or attempt == attempts or ",
        (f"{FAULTS}::test_a_minted_token_is_stored_as_soon_as_the_store_takes_it",),
    ),
    Mutant(
        "latch",
        "refused credentials are not remembered",
        f"{CORE}/refreshing.py",
        "        label = REFUSED_PREFIX + account.version\n        try:",
        "        label = REFUSED_PREFIX + account.version\n        if account:\n            return\n        try:",
        (f"{BAD_INPUT}::test_refused_credentials_are_sent_once",),
    ),
    Mutant(
        "minimum age",
        "a rejection is believed however young the token is",
        f"{CORE}/due.py",
        " < rules.min_age and not believed_at_once:\n",
        " < rules.min_age * 0 and not believed_at_once:\n",
        (f"{RACES}::test_a_caller_that_rejects_good_tokens_for_three_hours_is_bounded",),
    ),
    Mutant(
        "pause",
        "however many runs have failed, the next one tries at once",
        f"{CORE}/due.py",
        "    if failures < FREE_FAILURES or ",
        "    if failures < FREE_FAILURES * 1_000_000 or ",
        (f"{OUTAGES}::test_waiting_says_for_how_long_and_writes_nothing",),
    ),
    Mutant(
        "growing pause",
        "the first pause is as long as the longest",
        f"{CORE}/due.py",
        "    return min(FIRST_PAUSE * (1 << doublings), LONGEST_PAUSE)",
        "    return LONGEST_PAUSE * (doublings >= 0)",
        (f"{OUTAGES}::test_a_short_outage_of_the_vendor_costs_callers_a_short_pause",),
    ),
    Mutant(
        "in hand",
        "a token in hand is stored whether or not its run is still the last one",
        f"{CORE}/refreshing.py",
        "if unstored is not None and question is not None and question.version == unstored.intent_version:",
        "if unstored is not None:",
        (f"{STORIES}::test_a_token_in_hand_whose_lock_another_run_has_taken_is_not_stored",),
    ),
    Mutant(
        "abandoned",
        "a run that gave up alive keeps its lease to the end",
        f"{CORE}/refreshing.py",
        "            or labels.get(ABANDONED) == unfinished.version\n",
        "",
        (f"{STORIES}::test_after_a_run_that_gave_up_alive_the_next_one_need_not_wait",),
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
    parser.add_argument("only", nargs="*", help="names of mutants; all if none is given")
    chosen = parser.parse_args(arguments).only
    mutants = [mutant for mutant in MUTANTS if not chosen or mutant.name in chosen]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        untouched = Path(folder) / "untouched"
        _copy(untouched)
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
            print(f"{mutant.name:20} {mutant.what}: {verdict} [{time.monotonic() - began:.0f} s]", flush=True)
            for line in _failed(after) if killed else after.stdout.splitlines()[-15:]:
                print(f"    {line}", flush=True)
    return 2 if broken else int(bool(lived))


def _copy(target: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__", ".build", ".aws-sam")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignore)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


def _test(root: Path, mutant: Mutant) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.tests],
        cwd=root,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


def _failed(result: subprocess.CompletedProcess[str]) -> Iterator[str]:
    for line in result.stdout.splitlines():
        if line.startswith(("FAILED ", "ERROR ")):
            yield line.partition(" - ")[0]


if __name__ == "__main__":
    sys.exit(main())
