"""The attempts of one run: how many, how long, how far apart, and whether one of them may have minted."""

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.simulation import SimulatedClock
from tests.unit.made_up import NOW, credentials
from token_vending.credentials import Credentials
from token_vending.errors import (
    ConfigurationError,
    CredentialsRefused,
    MintError,
    TokenVendingError,
    VendorProtocolError,
    VendorUnavailable,
)
from token_vending.minting import LONGEST_ATTEMPT, MAX_ATTEMPTS, SHORTEST_ATTEMPT, Minting
from token_vending.ports import Minted
from token_vending.token import Token

if TYPE_CHECKING:
    from collections.abc import Iterator

MINTED = Minted("made up", timedelta(days=365))
DEFINITE = VendorUnavailable("503")
AMBIGUOUS = VendorUnavailable("reset", ambiguous=True)


class Attempts:
    """A vendor that answers what it is told to, one answer an attempt, each after `takes` seconds."""

    def __init__(
        self, *answers: Minted | TokenVendingError, time_left: float = 45.0, takes: float = 1.0
    ) -> None:
        self.clock = SimulatedClock(NOW)
        self.deadline = NOW + timedelta(seconds=time_left)
        self.timeouts: list[float] = []
        self.pauses: list[float] = []
        self.jitter_bounds: list[tuple[float, float]] = []
        self._answers: Iterator[Minted | TokenVendingError] = iter(answers)
        self._takes = takes
        self.minting = Minting(
            self, clock=self.clock, time_left=self.time_left, sleep=self.sleep, jitter=self.jitter
        )

    def time_left(self) -> float:
        return (self.deadline - self.clock()).total_seconds()

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.sleep(seconds)

    def jitter(self, lowest: float, longest: float) -> float:
        self.jitter_bounds.append((lowest, longest))
        return longest

    def mint(self, credentials: Credentials, *, timeout: float) -> Minted:
        self.timeouts.append(timeout)
        self.clock.sleep(min(self._takes, timeout))
        answer = next(self._answers)
        if isinstance(answer, TokenVendingError):
            raise answer
        return answer

    def answers_to(self, token: Token, *, timeout: float) -> bool | None:
        raise NotImplementedError

    def go(self) -> Minted:
        return self.minting.mint(credentials())[0]


def test_a_healthy_vendor_is_called_once() -> None:
    attempts = Attempts(MINTED)
    assert attempts.go() is MINTED
    assert (len(attempts.timeouts), attempts.pauses, attempts.minting.ambiguous) == (1, [], False)


def test_the_token_is_as_old_as_the_beginning_of_its_own_attempt() -> None:
    attempts = Attempts(DEFINITE, MINTED)
    _, began = attempts.minting.mint(credentials())
    assert began == NOW + timedelta(seconds=1 + 0.5)


@pytest.mark.parametrize(
    ("answers", "ambiguous"),
    [
        ([MINTED], False),
        ([DEFINITE, MINTED], False),
        ([AMBIGUOUS, MINTED], True),
        ([AMBIGUOUS, DEFINITE, MINTED], True),
        ([DEFINITE, AMBIGUOUS, MINTED], True),
    ],
)
def test_whether_an_older_attempt_may_have_minted(
    answers: list[Minted | TokenVendingError],
    ambiguous: bool,  # noqa: FBT001
) -> None:
    attempts = Attempts(*answers)
    attempts.go()
    assert attempts.minting.ambiguous is ambiguous


@pytest.mark.parametrize(
    ("answers", "error", "ambiguous"),
    [
        ([CredentialsRefused("400")], CredentialsRefused, False),
        ([AMBIGUOUS, CredentialsRefused("400")], CredentialsRefused, True),
        ([ConfigurationError("302")], ConfigurationError, False),
        ([AMBIGUOUS, ConfigurationError("302")], ConfigurationError, True),
        ([VendorProtocolError("no token", ambiguous=True)], VendorProtocolError, True),
        ([DEFINITE] * MAX_ATTEMPTS, VendorUnavailable, False),
        ([DEFINITE] * (MAX_ATTEMPTS - 1) + [AMBIGUOUS], VendorUnavailable, True),
        ([AMBIGUOUS] + [DEFINITE] * (MAX_ATTEMPTS - 1), VendorUnavailable, True),
    ],
)
def test_a_failure_tells_it_too(
    answers: list[TokenVendingError],
    error: type[MintError],
    ambiguous: bool,  # noqa: FBT001
) -> None:
    attempts = Attempts(*answers)
    with pytest.raises(error):
        attempts.go()
    assert len(attempts.timeouts) == len(answers)
    assert attempts.minting.ambiguous is ambiguous


def test_pauses_have_full_jitter_that_grows() -> None:
    attempts = Attempts(DEFINITE, DEFINITE, DEFINITE, MINTED)
    attempts.go()
    assert attempts.jitter_bounds == [(0.0, 0.5), (0.0, 1.0), (0.0, 2.0)]
    assert attempts.pauses == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("seconds", [0, 3, 20])
def test_retry_after_is_honoured(seconds: int) -> None:
    attempts = Attempts(VendorUnavailable("429", retry_after=seconds), MINTED)
    attempts.go()
    assert attempts.pauses == [float(seconds)]
    assert attempts.jitter_bounds == []


def test_a_retry_after_that_leaves_no_time_ends_the_run() -> None:
    attempts = Attempts(VendorUnavailable("429", retry_after=60), MINTED)
    with pytest.raises(VendorUnavailable, match="429"):
        attempts.go()
    assert attempts.pauses == []


def test_the_longest_retry_after_that_still_fits() -> None:
    # 45 s less the reserve of 10 for storing, less the first attempt's 1, less 2 for the second attempt.
    assert Attempts(VendorUnavailable("429", retry_after=32), MINTED).go() is MINTED
    with pytest.raises(VendorUnavailable):
        Attempts(VendorUnavailable("429", retry_after=33), MINTED).go()


def test_an_attempt_gets_no_more_than_it_should() -> None:
    attempts = Attempts(MINTED, time_left=900)
    attempts.go()
    assert attempts.timeouts == [LONGEST_ATTEMPT]


def test_time_to_store_the_token_is_kept() -> None:
    attempts = Attempts(AMBIGUOUS, AMBIGUOUS, AMBIGUOUS, AMBIGUOUS, takes=60)
    with pytest.raises(VendorUnavailable):
        attempts.go()
    assert attempts.time_left() >= 10.0
    assert sum(attempts.timeouts) <= 35.0


def test_a_short_run_keeps_a_third_of_its_time() -> None:
    attempts = Attempts(MINTED, time_left=9.0)
    attempts.go()
    assert attempts.timeouts == [6.0]


def test_with_too_little_time_nothing_is_sent() -> None:
    attempts = Attempts(MINTED, time_left=SHORTEST_ATTEMPT * 1.5 - 0.1)
    with pytest.raises(VendorUnavailable, match="Too little time"):
        attempts.go()
    assert attempts.timeouts == []
    assert not attempts.minting.ambiguous


def test_a_minted_token_does_not_show_itself() -> None:
    assert "made up" not in repr(MINTED)
