"""What guards the speed without a clock: instructions, bytes of code, writes and calls, beside the rivals' in one run.

`make bench` measures the times. Both sides are the same on every run and every machine of one Python.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.aws import Aws
from bench.variants import Variants
from bench.work import Work, work
from scripts import build

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def variants() -> Iterator[Variants]:
    with tempfile.TemporaryDirectory() as folder, Aws(Path(folder)) as aws:
        yield Variants(build.build(), aws)


@pytest.fixture(scope="module")
def done(variants: Variants) -> dict[str, Work]:
    return {
        name: work(variants, variants[name]) for name in ("textbook", "boto3", "vend", "vend-http", "refresh")
    }


@pytest.mark.parametrize(
    ("ours", "rival", "most"),
    # 0.22, 0.32 and 1.00 when they were set.
    [("vend-http", "textbook", 0.25), ("vend", "boto3", 0.37), ("refresh", "boto3", 1.05)],
)
def test_a_cold_start_runs_at_most_this_part_of_the_rivals_instructions(
    done: dict[str, Work], ours: str, rival: str, most: float
) -> None:
    assert done[ours].cold / done[rival].cold <= most


@pytest.mark.parametrize(
    ("ours", "rival", "most"),
    # 0.44, 0.55 and 1.02 when they were set.
    [("vend-http", "textbook", 0.5), ("vend", "boto3", 0.6), ("refresh", "boto3", 1.1)],
)
def test_a_start_loads_at_most_this_part_of_the_rivals_code(
    done: dict[str, Work], ours: str, rival: str, most: float
) -> None:
    assert done[ours].bytecode / done[rival].bytecode <= most


@pytest.mark.parametrize(("ours", "most"), [("vend-http", 0.3), ("vend", 0.2)])
def test_a_warm_hand_out_runs_at_most_this_part_of_the_textbooks_instructions(
    done: dict[str, Work], ours: str, most: float
) -> None:
    # 0.25 and 0.16 when they were set; a line each for audit and metrics would be more (docs/decisions/0015).
    assert done[ours].warm / done["textbook"].warm <= most


@pytest.mark.parametrize("ours", ["vend", "vend-http"])
def test_an_ordinary_hand_out_is_one_write(done: dict[str, Work], ours: str) -> None:
    assert done[ours].writes == 1


def test_the_hand_out_trusts_what_its_layer_ships(variants: Variants) -> None:
    for name in ("vend", "vend-http"):
        environment = variants.environment_of(variants[name])
        assert not {"AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"} & environment.keys()
