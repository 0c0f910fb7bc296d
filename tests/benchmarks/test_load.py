import pytest

from tests.benchmarks.load import CACHE_SECONDS, ENVIRONMENTS, Run, run_with

SECONDS = 8.0
pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def crowd() -> Run:
    return run_with(16, SECONDS)


def test_reads_of_the_secret_do_not_grow_with_the_number_of_callers(crowd: Run) -> None:
    assert crowd.hand_outs > crowd.callers
    assert crowd.secret_reads <= ENVIRONMENTS * (1 + crowd.seconds / CACHE_SECONDS)


def test_callers_keep_about_as_many_calls_to_themselves_as_the_model_says(crowd: Run) -> None:
    assert crowd.kept_by_callers == pytest.approx(crowd.expected().client_hit_ratio, abs=0.03)


def test_callers_ask_as_often_as_the_model_says(crowd: Run) -> None:
    assert crowd.hand_outs / crowd.seconds == pytest.approx(crowd.expected().vends, rel=0.15)
