import pytest

from bench.load import CACHE_SECONDS, ENVIRONMENTS, Run, run_with

SECONDS = 4.0
pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def crowd() -> Run:
    return run_with(16, SECONDS)


def test_reads_of_the_secret_do_not_grow_with_the_number_of_callers(crowd: Run) -> None:
    assert crowd.hand_outs > crowd.callers
    assert crowd.secret_reads <= ENVIRONMENTS * (1 + crowd.seconds / CACHE_SECONDS)
