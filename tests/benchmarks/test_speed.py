"""The gate: ratios to the rivals within one run, with room for a busy machine. The ambitions are tighter and are
judged by `make bench` (docs/performance.md).
"""

import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts import build
from tests.benchmarks.aws import Aws
from tests.benchmarks.measure import Cold, cold, percentile, warm
from tests.benchmarks.variants import HTTP_EVENT, Variants

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROUNDS = 5


@pytest.fixture(scope="module")
def variants() -> Iterator[Variants]:
    with tempfile.TemporaryDirectory() as folder, Aws(Path(folder)) as aws:
        yield Variants(build.build(), aws)


@pytest.fixture(scope="module")
def starts(variants: Variants) -> dict[str, Cold]:
    return cold(variants, ["textbook", "boto3", "vend", "vend-http", "refresh"], ROUNDS, lambda _: None)


def processor(measured: Cold) -> float:
    """Processor time rather than the clock's: other tests run beside this one."""
    return statistics.median(measured.processor)


@pytest.mark.parametrize(
    ("ours", "rival", "most"),
    [("vend-http", "textbook", 0.6), ("vend", "boto3", 0.75), ("refresh", "boto3", 0.85)],
)
def test_a_cold_start_takes_at_most_this_part_of_the_rivals(
    starts: dict[str, Cold], ours: str, rival: str, most: float
) -> None:
    assert processor(starts[ours]) / processor(starts[rival]) <= most


def test_the_hand_out_takes_at_most_this_part_of_the_textbooks_memory(starts: dict[str, Cold]) -> None:
    ours, textbook = (statistics.median(starts[name].memory) for name in ("vend-http", "textbook"))
    assert ours / textbook <= 0.68


@pytest.fixture(scope="module")
def surplus(variants: Variants) -> Callable[[str, str], float]:
    """Seconds of a warm invocation beyond those of an empty function that is given the same event."""
    rows = [
        ("empty", "empty", {}),
        ("empty-http", "empty", HTTP_EVENT),
        ("textbook", "textbook", HTTP_EVENT),
        ("vend", "vend", {}),
        ("vend-http", "vend-http", HTTP_EVENT),
    ]
    # The lower quartile: beside other tests half of the invocations may have waited for a processor.
    times = {name: percentile(taken, 25) for name, taken in warm(variants, rows, 400, lambda _: None).items()}
    return lambda function, nothing: times[function] - times[nothing]


@pytest.mark.parametrize(
    ("ours", "nothing", "most"), [("vend-http", "empty-http", 0.45), ("vend", "empty", 0.38)]
)
def test_a_warm_hand_out_takes_at_most_this_part_of_what_the_textbook_does(
    surplus: Callable[[str, str], float], ours: str, nothing: str, most: float
) -> None:
    # On a busy machine 0.28 to 0.32 and 0.14 to 0.26; with a line each for audit and metrics, as the Logger
    # and Metrics would write them, 0.59 to 0.69 and 0.47 to 0.59 (docs/decisions/0015).
    assert surplus(ours, nothing) / surplus("textbook", "empty-http") <= most


def test_our_functions_trust_what_their_layer_ships(variants: Variants) -> None:
    for name in ("vend", "vend-http", "refresh", "refresh-mint"):
        environment = variants.environment_of(variants[name])
        assert not {"AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"} & environment.keys()
