"""Whose credentials a run mints with, by which of them are latched and who asks."""

from collections.abc import Callable

import pytest

from tests.unit.made_up import VERSION, credentials, intent
from token_vending.accounts import REFUSED_PREFIX, choose_account, latch
from token_vending.errors import StoreUnavailable
from token_vending.ports import LabelHeld
from token_vending.requests import RefreshRequest

FIRST, SECOND = credentials("standby:a"), credentials("b")
TICK = RefreshRequest("run-1")
REJECTION = RefreshRequest("run-1", force=True, rejected_version=VERSION)
PERSON = RefreshRequest("run-1", force=True)


@pytest.mark.parametrize(
    ("refused_by", "request_", "chosen"),
    [
        ([None, None], TICK, FIRST),
        (["run-9/1", None], TICK, SECOND),
        (["run-9/1", None], PERSON, SECOND),
        (["run-9/1", "run-9/2"], TICK, None),
        (["run-9/1", "run-9/2"], REJECTION, None),
        (["run-9/1", "run-9/2"], PERSON, FIRST),
        (["run-1/1", "run-9/2"], PERSON, SECOND),
        (["run-1/1", "run-1/2"], PERSON, None),
    ],
)
def test_latched_credentials_are_sent_again_only_for_a_person_and_once_an_event(
    refused_by: list[str | None], request_: RefreshRequest, chosen: object
) -> None:
    """`refused_by` is the run after which each of the two accounts was latched."""
    pairs = zip((FIRST, SECOND), refused_by, strict=True)
    labels = {REFUSED_PREFIX + account.version: run for account, run in pairs if run}
    assert choose_account([FIRST, SECOND], labels, request_, lambda run: intent(run=run)) == chosen


class Labels:
    """A token secret's labels, moved or taken off by `latch`; `fails` is what becomes of each move."""

    def __init__(self, fails: Exception | None) -> None:
        self.calls: list[tuple[str, str | None]] = []
        self.fails = fails

    def move_label(self, label: str, *, to: str, expected_on: str | None) -> None:
        self.calls.append((label, to))
        if self.fails:
            raise self.fails

    def remove_label(self, label: str, *, expected_on: str) -> None:
        self.calls.append((label, None))


def once(write: Callable[[], None]) -> None:
    write()


@pytest.mark.parametrize(
    ("fails", "noted"), [(None, []), (LabelHeld("made up"), []), (StoreUnavailable("made up"), ["made up"])]
)
def test_a_latch_replaces_the_accounts_older_ones_and_no_other_label(
    fails: Exception | None, noted: list[str]
) -> None:
    labels, notes = Labels(fails), list[str]()
    held = {"AWSCURRENT": "v", "REFUSED-old": "v", "REFUSED-standby:old": "v", "REFUSED-b": "v"}
    latch(labels, intent(version="i"), SECOND, held, insist=once, notes=notes)  # type: ignore[arg-type]
    assert labels.calls == [("REFUSED-b", "i"), ("REFUSED-old", None)]
    assert [note.rpartition(": ")[2] for note in notes] == noted
