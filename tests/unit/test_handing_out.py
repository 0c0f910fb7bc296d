"""What a caller gets, by the state of the cache, the state of the store, and what was asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from tests.simulation import SimulatedClock
from tests.unit.made_up import DAY, MINUTE, NOW, SECOND, SECRET, VERSION, aged, expiring, intent, token
from token_vending.errors import ConfigurationError, StoreUnavailable, TokenUnavailable, TokenVendingError
from token_vending.handing_out import HandOutDesk
from token_vending.requests import VendRequest
from token_vending.token import History, Intent, Token

NEWER = "44444444-0000-4000-8000-000000000000"
ANYTHING = VendRequest()
REJECTION = VendRequest(rejected_version=VERSION)
OUTAGE = StoreUnavailable("GetSecretValue got no usable answer (made up).")


@dataclass
class Shelf:
    """The store and the refresh function, as the hand-out sees them."""

    holds: Token | Intent | TokenVendingError | None = None
    reads: int = 0
    started: list[dict[str, Any]] = field(default_factory=list)
    refuses: bool = False

    def read_current(self) -> Token | Intent | None:
        self.reads += 1
        if isinstance(self.holds, TokenVendingError):
            raise self.holds
        return self.holds

    def start(self, event: Mapping[str, object]) -> None:
        if self.refuses:
            raise StoreUnavailable("Invoke failed: made up.")
        self.started.append(dict(event))


def minted_for_callers(*minutes_ago: float, **changes: Any) -> Token:
    """The last of the tokens that callers have caused to be minted so many minutes ago."""
    history = History(tuple(NOW - ago * MINUTE for ago in minutes_ago))
    return aged(minutes_ago[-1] * MINUTE, history=history, **changes)


class Counter:
    """One process of the vend function with a shelf behind it."""

    def __init__(
        self, holds: Token | Intent | TokenVendingError | None, cache_for: timedelta = 300 * SECOND
    ) -> None:
        self.clock = SimulatedClock(NOW)
        self.shelf = Shelf(holds)
        self.vendor = HandOutDesk(self.shelf, self.shelf, self.clock, cache_for=cache_for)

    def ask(self, request: VendRequest = ANYTHING) -> Any:
        return self.vendor.hand_out(request)


# The answer ----------------------------------------------------------------------------------------------


def test_the_answer_has_the_contracts_fields() -> None:
    assert Counter(expiring(3600 * SECOND)).ask().answer() == {
        "access_token": SECRET,
        "token_type": "Bearer",
        "expires_in": 3600,
        "expires_at": "2026-11-24T03:15:00Z",
        "version": VERSION,
        "cache_seconds": 300,
    }


def test_a_caller_may_not_cache_past_expiry_and_seconds_are_never_rounded_up() -> None:
    given = Counter(expiring(timedelta(seconds=10.9))).ask()
    assert (given.expires_in, given.cache_seconds) == (10, 10)


def test_neither_a_hand_out_nor_its_process_shows_the_token() -> None:
    counter = Counter(token())
    assert SECRET not in repr(counter.ask())
    assert SECRET not in repr(counter.vendor)


# The cache -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("later", "cache_for", "hit"),
    [
        (300 * SECOND - timedelta(microseconds=1), 300 * SECOND, True),
        (300 * SECOND, 300 * SECOND, False),
        (timedelta(0), timedelta(0), False),
        # A clock that was set back makes a copy's age unknown.
        (-DAY, 300 * SECOND, False),
    ],
)
def test_a_copy_is_served_for_the_time_it_is_meant_to(
    later: timedelta, cache_for: timedelta, *, hit: bool
) -> None:
    counter = Counter(token(), cache_for)
    counter.ask()
    counter.clock.advance(later)
    assert counter.ask().cache_hit is hit
    assert counter.shelf.reads == 2 - hit


def test_a_copy_that_expires_is_not_served() -> None:
    counter = Counter(expiring(MINUTE))
    counter.ask()
    counter.shelf.holds = token(version=NEWER)
    counter.clock.advance(MINUTE)
    assert counter.ask().token.version == NEWER


def test_a_store_that_was_read_ahead_is_a_copy() -> None:
    counter = Counter(token())
    counter.vendor.read_ahead(counter.shelf)
    assert counter.ask().cache_hit


@pytest.mark.parametrize("holds", [None, intent(), OUTAGE, ConfigurationError("made up")])
def test_what_cannot_be_read_ahead_is_read_when_asked_for(holds: Any) -> None:
    counter = Counter(holds)
    counter.vendor.read_ahead(counter.shelf)
    counter.shelf.holds = token()
    assert not counter.ask().cache_hit


# Rejections ----------------------------------------------------------------------------------------------


def test_a_rejection_bypasses_the_copy_and_gets_the_newer_version() -> None:
    counter = Counter(token())
    counter.ask()
    counter.shelf.holds = token(version=NEWER)
    assert counter.ask(REJECTION).token.version == NEWER
    assert counter.shelf.started == []


def test_every_rejection_asks_the_store_whatever_version_it_names() -> None:
    counter = Counter(token())
    counter.ask()
    counter.shelf.holds = token(version=NEWER)
    counter.ask(REJECTION)
    counter.shelf.holds = token(version="newest")
    # The copy is newer than what is rejected, and dead as well.
    assert counter.ask(REJECTION).token.version == "newest"
    assert counter.shelf.reads == 3


def test_a_rejection_of_an_unknown_version_asks_the_store() -> None:
    counter = Counter(token())
    counter.ask()
    assert not counter.ask(VendRequest(rejected_version="never heard of")).cache_hit
    assert counter.shelf.started == []


def test_a_rejection_of_the_current_version_starts_a_refresh_and_asks_to_wait() -> None:
    counter = Counter(token())
    with pytest.raises(TokenUnavailable) as caught:
        counter.ask(REJECTION)
    assert counter.shelf.started == [{"rejected_version": VERSION}]
    assert caught.value.retry_after == 2


@pytest.mark.parametrize(
    ("held", "retry_after"),
    [
        (aged(59 * SECOND), 2),
        (aged(40 * SECOND), 20),
        (aged(40.5 * SECOND), 20),
        (aged(0 * SECOND), 60),
        (aged(SECOND, suspect_until=NOW + SECOND), 2),
        (aged(SECOND, suspect_until=NOW), 59),
        (aged(DAY), 2),
        # The callers' budget: the pause after so many mints for callers, in minutes ago.
        (minted_for_callers(0.5), 30),
        (minted_for_callers(5, 4, 2, 0), 480),
        (minted_for_callers(59, 58, 57, 56, 55, 20), 720),
    ],
)
def test_how_long_to_wait_with_a_rejected_version(held: Token, retry_after: int) -> None:
    with pytest.raises(TokenUnavailable) as caught:
        Counter(held).ask(REJECTION)
    assert caught.value.retry_after == retry_after


def test_one_cause_does_not_make_another_forgotten() -> None:
    counter = Counter(token())
    for held in (token(), None, token(), None):
        counter.shelf.holds = held
        with pytest.raises(TokenUnavailable):
            counter.ask(REJECTION)
    assert len(counter.shelf.started) == 2


def test_a_version_that_callers_may_not_replace_yet_says_when_they_may() -> None:
    with pytest.raises(TokenUnavailable, match="next refresh in 20 s"):
        Counter(aged(40 * SECOND)).ask(REJECTION)


def test_with_a_probe_nobody_waits_for_a_token_to_grow_older() -> None:
    counter = Counter(aged(SECOND))
    counter.vendor.probed = True
    with pytest.raises(TokenUnavailable) as caught:
        counter.ask(REJECTION)
    assert caught.value.retry_after == 2


def test_the_previous_version_is_never_handed_out_again() -> None:
    counter = Counter(token())
    counter.ask()
    counter.shelf.holds = token(version=NEWER)
    counter.ask(REJECTION)
    counter.shelf.holds = OUTAGE
    with pytest.raises(StoreUnavailable):
        counter.ask(VendRequest(rejected_version=NEWER))


def test_one_process_starts_one_refresh_for_many_rejections() -> None:
    counter = Counter(token())
    for _ in range(50):
        with pytest.raises(TokenUnavailable):
            counter.ask(REJECTION)
    assert len(counter.shelf.started) == 1
    counter.clock.advance(5 * SECOND)
    with pytest.raises(TokenUnavailable):
        counter.ask(REJECTION)
    assert len(counter.shelf.started) == 2


def test_a_refresh_that_could_not_be_started_is_tried_again_at_once() -> None:
    counter = Counter(token())
    counter.shelf.refuses = True
    with pytest.raises(TokenUnavailable, match="could not be started"):
        counter.ask(REJECTION)
    counter.shelf.refuses = False
    with pytest.raises(TokenUnavailable):
        counter.ask(REJECTION)
    assert len(counter.shelf.started) == 1


# No token ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holds", [None, intent()])
def test_without_a_token_a_plain_tick_is_started(holds: Intent | None) -> None:
    counter = Counter(holds)
    with pytest.raises(TokenUnavailable, match="No token has been minted yet") as caught:
        counter.ask()
    assert caught.value.retry_after == 2
    (event,) = counter.shelf.started
    assert set(event) == {"id"}


@pytest.mark.parametrize("left", [-1, 0, 0.999])
def test_a_token_without_a_whole_second_left_is_never_handed_out(left: float) -> None:
    counter = Counter(expiring(timedelta(seconds=left)))
    with pytest.raises(TokenUnavailable, match="expired"):
        counter.ask()
    (event,) = counter.shelf.started
    assert "force" not in event


# min_seconds ---------------------------------------------------------------------------------------------


def test_a_shorter_lived_token_is_handed_out_and_a_refresh_started() -> None:
    counter = Counter(expiring(MINUTE))
    given = counter.ask(VendRequest(min_seconds=61))
    assert given.token.version == VERSION
    assert given.cache_seconds == 2
    (event,) = counter.shelf.started
    assert (event["force"], event["rejected_version"]) == (True, VERSION)


def test_a_short_lived_copy_is_handed_out_while_its_successor_is_made() -> None:
    counter = Counter(expiring(MINUTE))
    counter.ask()
    assert counter.ask(VendRequest(min_seconds=61)).cache_hit
    assert len(counter.shelf.started) == 1


@pytest.mark.parametrize(
    ("held", "seconds", "starts"),
    [
        (aged(59 * SECOND, expires_at=NOW + MINUTE), 90, 0),
        (aged(60 * SECOND, expires_at=NOW + MINUTE), 90, 1),
        (minted_for_callers(3, 1.5, expires_at=NOW + MINUTE), 90, 0),
        (aged(59 * SECOND, expires_at=NOW + MINUTE, suspect_until=NOW + MINUTE), 90, 0),
        # It lives long enough as it is.
        (expiring(MINUTE), 60, 0),
        # Or a new one would not either: a token is some seconds old when it is handed out.
        *((expiring(MINUTE, lifetime=DAY), wish, 0) for wish in (86_401, 86_400, 86_391)),
        (expiring(MINUTE, lifetime=DAY), 86_390, 1),
    ],
)
def test_a_wish_starts_a_mint_only_if_it_would_help_and_the_budget_allows_it(
    held: Token, seconds: int, starts: int
) -> None:
    counter = Counter(held)
    given = counter.ask(VendRequest(min_seconds=seconds))
    assert len(counter.shelf.started) == starts
    assert (given.warning is not None) == bool(starts)


def test_the_same_wish_in_other_processes_is_the_same_event() -> None:
    first, second = Counter(expiring(MINUTE)), Counter(expiring(MINUTE))
    for counter in (first, second):
        counter.ask(VendRequest(min_seconds=61))
    assert first.shelf.started == second.shelf.started


# The failure table ---------------------------------------------------------------------------------------

GOOD, BAD = "handed out", "raises"
COPIES: dict[str, Token | None] = {
    "none": None,
    "good": token(),
    "expired": expiring(MINUTE),
    "the rejected one": token(version=NEWER),
}


@pytest.mark.parametrize(
    ("copy", "outcome"),
    [("none", BAD), ("good", GOOD), ("expired", BAD), ("the rejected one", BAD)],
)
def test_while_the_store_cannot_be_read(copy: str, outcome: str) -> None:
    held = COPIES[copy]
    counter = Counter(held)
    if held is not None:
        counter.ask()
    counter.clock.advance(300 * SECOND)
    counter.shelf.holds = OUTAGE
    request = VendRequest(rejected_version=NEWER) if copy == "the rejected one" else ANYTHING
    if outcome is BAD:
        with pytest.raises(StoreUnavailable):
            counter.ask(request)
    else:
        given = counter.ask(request)
        assert given.token == held
        assert "copy" in given.warning


def test_after_an_outage_the_next_callers_do_not_wait_for_the_store() -> None:
    counter = Counter(token())
    counter.ask()
    counter.clock.advance(300 * SECOND)
    counter.shelf.holds = OUTAGE
    counter.ask()
    reads = counter.shelf.reads
    counter.clock.advance(4 * SECOND)
    assert counter.ask().token.version == VERSION
    assert counter.shelf.reads == reads
    counter.clock.advance(SECOND)
    counter.shelf.holds = token(version=NEWER)
    assert counter.ask().token.version == NEWER


@pytest.mark.parametrize(
    ("holds", "error"), [(ConfigurationError("made up"), ConfigurationError), (None, TokenUnavailable)]
)
def test_a_secret_that_was_overwritten_or_emptied_is_not_hidden_by_a_copy(
    holds: TokenVendingError | None, error: type[TokenVendingError]
) -> None:
    counter = Counter(token())
    counter.ask()
    counter.clock.advance(300 * SECOND)
    counter.shelf.holds = holds
    with pytest.raises(error):
        counter.ask()
