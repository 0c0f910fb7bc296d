import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.aws_cli import quick_aws
from tests.kit.stack import EmbeddedStack
from tests.kit.stack.embedded import ROOT

FIRES_WITHIN_SECONDS = 90.0
# It wants a deployed stack to be named.
collect_ignore = [] if os.environ.get("AWS_SAM_STACK_NAME") else ["test_smoke.py"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """End-to-end tests first, and of these the ones that need no token: the schedule takes a minute for the first."""
    items.sort(
        key=lambda item: (
            item.get_closest_marker("e2e") is None,
            item.get_closest_marker("last") is not None,
            "minted" in getattr(item, "fixturenames", ()),
        )
    )


@pytest.fixture(scope="session")
def stack() -> Iterator[EmbeddedStack]:
    """One deployed stack for all end-to-end tests, with the credentials put in."""
    # A caller's copy and the vend function's are old soon, so that a test need not wait long for it.
    with EmbeddedStack({"CacheSeconds": "1"}) as stack:
        yield stack


@pytest.fixture(scope="session")
def minted(stack: EmbeddedStack) -> EmbeddedStack:
    """The stack once its schedule has minted the first token, which nobody asked for."""
    stack.wait_for("the schedule mints", lambda: stack.personr.mint_count() > 0, FIRES_WITHIN_SECONDS)
    stack.wait_for("the token is stored", lambda: stack.vend().function_error is None, 10)
    return stack


@pytest.fixture(scope="session")
def aws() -> Iterator[Path]:
    """The folder of an AWS CLI that is quick to start."""
    with quick_aws(ROOT / ".build" / "awscli" / "bin" / "python") as folder:
        yield folder
