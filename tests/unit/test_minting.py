"""The attempts of one run: how many, how long, how far apart, and whether one of them may have minted."""

from contextlib import nullcontext
from datetime import timedelta

import pytest

from tests.simulation import SimulatedClock
from tests.unit.made_up import NOW, credentials
from token_vending.credentials import Credentials
from token_vending.errors import (
    ConfigurationError,
    CredentialsRefused,
    TokenVendingError,
    VendorProtocolError,
    VendorUnavailable,
)
from token_vending.minting import LONGEST_ATTEMPT, MAX_ATTEMPTS, SHORTEST_ATTEMPT, Minting
from token_vending.ports import Minted
from token_vending.token import Token

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
        self._answers = iter(answers)
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
    _, began = Attempts(DEFINITE, MINTED).minting.mint(credentials())
    assert began == NOW + timedelta(seconds=1 + 0.5)


@pytest.mark.parametrize(
    ("answers", "ambiguous"),
    [
        ([DEFINITE, MINTED], False),
        ([AMBIGUOUS, MINTED], True),
        ([AMBIGUOUS, DEFINITE, MINTED], True),
        ([DEFINITE, AMBIGUOUS, MINTED], True),
        ([CredentialsRefused("400")], False),
        ([AMBIGUOUS, CredentialsRefused("400")], True),
        ([ConfigurationError("302")], False),
        ([AMBIGUOUS, ConfigurationError("302")], True),
        ([VendorProtocolError("no token", ambiguous=True)], True),
        ([DEFINITE] * MAX_ATTEMPTS, False),
        ([DEFINITE] * (MAX_ATTEMPTS - 1) + [AMBIGUOUS], True),
        ([AMBIGUOUS] + [DEFINITE] * (MAX_ATTEMPTS - 1), True),
    ],
)
def test_a_run_knows_whether_one_of_its_attempts_may_have_minted(
    answers: list[Minted | TokenVendingError],
    ambiguous: bool,  # noqa: FBT001
) -> None:
    attempts = Attempts(*answers)
    last = answers[-1]
    with pytest.raises(type(last)) if isinstance(last, TokenVendingError) else nullcontext():
        attempts.go()
    assert len(attempts.timeouts) == len(answers)
    assert attempts.minting.ambiguous is ambiguous


def test_pauses_have_full_jitter_that_grows() -> None:
    attempts = Attempts(DEFINITE, DEFINITE, DEFINITE, MINTED)
    attempts.go()
    assert attempts.jitter_bounds == [(0.0, 0.5), (0.0, 1.0), (0.0, 2.0)]
    assert attempts.pauses == [0.5, 1.0, 2.0]


# 32 s are 45 less the reserve of 10 for storing, less the first attempt's 1, less 2 for the second attempt.
@pytest.mark.parametrize("seconds", [0, 3, 20, 32])
def test_retry_after_is_honoured(seconds: int) -> None:
    attempts = Attempts(VendorUnavailable("429", retry_after=seconds), MINTED)
    assert attempts.go() is MINTED
    assert attempts.pauses == [float(seconds)]
    assert attempts.jitter_bounds == []


@pytest.mark.parametrize("seconds", [33, 60])
def test_a_retry_after_that_leaves_no_time_ends_the_run(seconds: int) -> None:
    attempts = Attempts(VendorUnavailable("429", retry_after=seconds), MINTED)
    with pytest.raises(VendorUnavailable, match="429"):
        attempts.go()
    assert attempts.pauses == []


@pytest.mark.parametrize(("time_left", "timeout"), [(900, LONGEST_ATTEMPT), (9.0, 6.0)])
def test_an_attempt_gets_a_bounded_time_and_a_short_run_keeps_a_third(
    time_left: float, timeout: float
) -> None:
    attempts = Attempts(MINTED, time_left=time_left)
    attempts.go()
    assert attempts.timeouts == [timeout]


def test_time_to_store_the_token_is_kept() -> None:
    attempts = Attempts(AMBIGUOUS, AMBIGUOUS, AMBIGUOUS, AMBIGUOUS, takes=60)
    with pytest.raises(VendorUnavailable):
        attempts.go()
    assert attempts.time_left() >= 10.0
    assert sum(attempts.timeouts) <= 35.0


def test_with_too_little_time_nothing_is_sent() -> None:
    attempts = Attempts(MINTED, time_left=SHORTEST_ATTEMPT * 1.5 - 0.1)
    with pytest.raises(VendorUnavailable, match="Too little time"):
        attempts.go()
    assert attempts.timeouts == []
    assert not attempts.minting.ambiguous
