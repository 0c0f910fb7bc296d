"""What guards the speed without a clock: instructions, bytes of code, writes and calls, beside the rivals' in one run.

`make bench` measures the times. Both sides are the same on every run and every machine of one Python.
"""

import pytest

from bench.variants import prepared
from bench.work import Work, work

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def done() -> dict[str, Work]:
    names = ("textbook", "boto3", "vend", "vend-http", "refresh")
    with prepared() as variants:
        return {name: work(variants, variants[name]) for name in names}


# What it was when the bound was set stands behind it.
AT_MOST = [
    ("cold", "vend-http", "textbook", 0.25),  # 0.22
    ("cold", "vend", "boto3", 0.37),  # 0.32
    ("cold", "refresh", "boto3", 1.05),  # 1.00
    ("bytecode", "vend-http", "textbook", 0.5),  # 0.44
    ("bytecode", "vend", "boto3", 0.6),  # 0.55
    ("bytecode", "refresh", "boto3", 1.1),  # 1.02
    # A line each for audit and metrics would be more (docs/decisions/0015).
    ("warm", "vend-http", "textbook", 0.3),  # 0.25
    ("warm", "vend", "textbook", 0.2),  # 0.16
]


@pytest.mark.parametrize(("count", "ours", "rival", "most"), AT_MOST)
def test_of_the_rivals_instructions_and_code_we_need_at_most_this_part(
    done: dict[str, Work], count: str, ours: str, rival: str, most: float
) -> None:
    assert getattr(done[ours], count) / getattr(done[rival], count) <= most


@pytest.mark.parametrize("ours", ["vend", "vend-http"])
def test_an_ordinary_hand_out_is_one_write(done: dict[str, Work], ours: str) -> None:
    assert done[ours].writes == 1
