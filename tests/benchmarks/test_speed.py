"""The gate: ratios to the rivals within one run, with room for a busy machine. The ambitions are tighter and are
judged by `make bench` (docs/performance.md).
"""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import build
from tests.benchmarks.aws import Aws
from tests.benchmarks.measure import Cold, cold, percentile, warm
from tests.benchmarks.variants import Variants

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


def test_a_warm_hand_out_takes_at_most_this_part_of_the_textbooks(variants: Variants) -> None:
    rows = [(name, name, variants[name].event) for name in ("empty", "textbook", "vend-http")]
    times = {name: percentile(taken, 50) for name, taken in warm(variants, rows, 200, lambda _: None).items()}
    assert times["vend-http"] - times["empty"] <= 0.7 * (times["textbook"] - times["empty"])
