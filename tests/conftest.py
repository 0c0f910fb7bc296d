"""What holds for every test: nothing leaves this machine, and nobody's AWS settings come in."""

import ipaddress
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, override

import pytest
from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase
from xdist.scheduler import LoadScopeScheduling

pytest_plugins = ["tests.summary"]

ROOT = Path(__file__).resolve().parent.parent
LIVE = bool(os.environ.get("AWS_SAM_STACK_NAME"))
# Names that no resolver knows (RFC 6761), for the tests of a failing resolution.
UNRESOLVABLE = (".invalid", ".test")
END_TO_END = ROOT / "tests" / "e2e"

# The same examples each time in CI; Hypothesis allows no database beside that.
IN_CI = bool(os.environ.get("CI"))
settings.register_profile(
    "default",
    deadline=None,
    print_blob=True,
    derandomize=IN_CI,
    database=None if IN_CI else DirectoryBasedExampleDatabase(ROOT / ".build" / "hypothesis"),
)
settings.load_profile("default")


@pytest.fixture(autouse=True, scope="module")
def _metrics_of_its_own() -> Iterator[None]:
    """Powertools keeps a process's metrics and dimensions in one place; what a module leaves is not the next one's."""
    yield
    if "aws_lambda_powertools.metrics" in sys.modules:
        from aws_lambda_powertools import Metrics  # noqa: PLC0415 - only where something has used it

        for left in (Metrics._metrics, Metrics._dimensions, Metrics._metadata, Metrics._default_dimensions):
            left.clear()


class LeftTheMachineError(BaseException):
    """A test tried to reach another machine. Not an Exception, so that no product code can swallow it."""


def _stay_on_loopback(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
    elif event == "socket.getaddrinfo":
        address = arguments[:2]
    else:
        return
    if isinstance(address, tuple) and not _is_here(address[0]):
        raise LeftTheMachineError(f"{event}: {address}")


def _is_here(host: str | bytes | None) -> bool:
    name = host.decode(errors="replace") if isinstance(host, bytes) else host
    if name in {None, "", "localhost"} or str(name).endswith(UNRESOLVABLE):
        return True
    try:
        return ipaddress.ip_address(str(name)).is_loopback
    except ValueError:
        return False


def _forget_the_machines_aws_settings() -> None:
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
            del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


if not LIVE:
    _forget_the_machines_aws_settings()
    sys.addaudithook(_stay_on_loopback)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The end-to-end tests first, since they wait the longest; then the files that are marked as slow."""
    for item in items:
        if END_TO_END in item.path.parents:
            item.add_marker(pytest.mark.e2e)
    items.sort(key=lambda item: (not item.get_closest_marker("e2e"), not item.get_closest_marker("slow")))


class OneStack(LoadScopeScheduling):
    """The end-to-end tests on one worker, since they share a stack; other tests by file.

    A scheduler of our own, since it knows tests by their ids alone, and with these versions of xdist and of pytest
    the name of an `xdist_group` does not get into them.
    """

    @override
    def _split_scope(self, nodeid: str) -> str:
        return "e2e" if nodeid.startswith("tests/e2e/") else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """What xdist asks for."""
    return OneStack(config, log)
