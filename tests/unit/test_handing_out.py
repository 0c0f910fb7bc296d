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


@pytest.mark.parametrize("rejected", [VERSION, NEWER, "never heard of"])
def test_every_rejection_asks_the_store_whatever_version_it_names(rejected: str) -> None:
    counter = Counter(token())
    counter.ask()
    counter.shelf.holds = token(version=NEWER)
    counter.ask()
    # A copy that is newer than what is rejected may be dead as well.
    counter.shelf.holds = token(version="newest")
    assert counter.ask(VendRequest(rejected_version=rejected)).token.version == "newest"
    assert counter.shelf.reads == 2
    assert counter.shelf.started == []


@pytest.mark.parametrize(
    ("held", "probed", "retry_after"),
    [
        (aged(59 * SECOND), False, 2),
        (aged(40 * SECOND), False, 20),
        (aged(40.5 * SECOND), False, 20),
        (aged(0 * SECOND), False, 60),
        (aged(SECOND, suspect_until=NOW + SECOND), False, 2),
        (aged(SECOND, suspect_until=NOW), False, 59),
        (aged(DAY), False, 2),
        # With a probe nobody waits for a token to grow older.
        (aged(SECOND), True, 2),
        # The callers' budget: the pause after so many mints for callers, in minutes ago.
        (minted_for_callers(0.5), False, 30),
        (minted_for_callers(5, 4, 2, 0), False, 480),
        (minted_for_callers(59, 58, 57, 56, 55, 20), False, 720),
    ],
)
def test_a_rejection_of_the_current_version_starts_a_refresh_and_says_when_to_come_back(
    held: Token, retry_after: int, *, probed: bool
) -> None:
    counter = Counter(held)
    counter.vendor.probed = probed
    told = f"next refresh in {retry_after} s" if retry_after > 2 else "A refresh was started"
    with pytest.raises(TokenUnavailable, match=told) as caught:
        counter.ask(REJECTION)
    assert caught.value.retry_after == retry_after
    assert counter.shelf.started == [{"rejected_version": VERSION}]


def test_the_previous_version_is_never_handed_out_again() -> None:
    counter = Counter(token())
    counter.ask()
    counter.shelf.holds = token(version=NEWER)
    counter.ask(REJECTION)
    counter.shelf.holds = OUTAGE
    with pytest.raises(StoreUnavailable):
        counter.ask(VendRequest(rejected_version=NEWER))


def started_by_rejections(counter: Counter, *holds: Token | None) -> int:
    """How many refreshes these rejections in a row have started."""
    before = len(counter.shelf.started)
    for held in holds:
        counter.shelf.holds = held
        with pytest.raises(TokenUnavailable):
            counter.ask(REJECTION)
    return len(counter.shelf.started) - before


def test_one_process_starts_one_refresh_for_many_rejections_and_another_one_later() -> None:
    counter = Counter(token())
    assert started_by_rejections(counter, *[token()] * 50) == 1
    counter.clock.advance(5 * SECOND)
    assert started_by_rejections(counter, token()) == 1


def test_one_cause_does_not_make_another_forgotten() -> None:
    assert started_by_rejections(Counter(None), token(), None, token(), None) == 2


def test_a_refresh_that_could_not_be_started_is_tried_again_at_once() -> None:
    counter = Counter(token())
    counter.shelf.refuses = True
    with pytest.raises(TokenUnavailable, match="could not be started"):
        counter.ask(REJECTION)
    counter.shelf.refuses = False
    assert started_by_rejections(counter, token()) == 1


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
    # The same in every process, so that it is served once for everybody.
    event = {"id": f"min-seconds/{VERSION}", "force": True, "rejected_version": VERSION}
    assert counter.shelf.started == [event]


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


# The failure table ---------------------------------------------------------------------------------------


def with_a_copy(held: Token | None) -> Counter:
    """A process that has handed this token out, and whose copy has just become too old."""
    counter = Counter(held)
    if held is not None:
        counter.ask()
    counter.clock.advance(300 * SECOND)
    return counter


def test_while_the_store_cannot_be_read_a_good_copy_is_handed_out() -> None:
    counter = with_a_copy(token())
    counter.shelf.holds = OUTAGE
    given = counter.ask()
    assert given.token == token()
    assert "copy" in given.warning


@pytest.mark.parametrize(
    ("copy", "request_"),
    [(None, ANYTHING), (expiring(MINUTE), ANYTHING), (token(), REJECTION)],
    ids=["none", "expired", "the rejected one"],
)
def test_while_the_store_cannot_be_read_no_other_copy_is(copy: Token | None, request_: VendRequest) -> None:
    counter = with_a_copy(copy)
    counter.shelf.holds = OUTAGE
    with pytest.raises(StoreUnavailable):
        counter.ask(request_)


def test_after_an_outage_the_next_callers_do_not_wait_for_the_store() -> None:
    counter = with_a_copy(token())
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
    counter = with_a_copy(token())
    counter.shelf.holds = holds
    with pytest.raises(error):
        counter.ask()
