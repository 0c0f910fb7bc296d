from collections.abc import Iterator

import pytest

import bootstrap
from tests.e2e.aws_cli import AwsCli
from tests.stack import EmbeddedStack

FIRES_WITHIN_SECONDS = 90.0


@pytest.fixture(scope="session")
def stack() -> Iterator[EmbeddedStack]:
    """One deployed stack for all end-to-end tests, with the credentials put in."""
    with EmbeddedStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def minted(stack: EmbeddedStack) -> EmbeddedStack:
    """The stack once its schedule has minted the first token, which nobody asked for."""
    stack.wait_for("the schedule mints", lambda: stack.personr.mint_count() > 0, FIRES_WITHIN_SECONDS)
    stack.wait_for("the token is stored", lambda: stack.vend().function_error is None, 10)
    return stack


@pytest.fixture(scope="session")
def aws() -> Iterator[AwsCli]:
    """The AWS CLI, quick to start."""
    bootstrap.make_environment("awscli", quiet=True)
    with AwsCli(bootstrap.BUILD / "awscli" / "bin" / "python") as cli:
        yield cli
