"""What a caller has around it: programs, keys, and the names of things."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.kit.runtime.function_url import CALLER, Principal
from tests.kit.secrets_manager.server import ACCOUNT_ID, REGION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.integration.world import Stage

ROOT = Path(__file__).parents[3]
VEND_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:vend:live"
STRANGER = Principal(
    "AKIASTRANGER00000000", "strangers-secret", f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/stranger/session"
)
# They shadow what a test says, were they set where the tests run.
ELSEWHERE = (
    *("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)


def keys(principal: Principal = CALLER) -> dict[str, str]:
    """What signs as this principal."""
    return {
        "AWS_ACCESS_KEY_ID": principal.access_key,
        "AWS_SECRET_ACCESS_KEY": principal.secret_key,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@cache
def _is_here(program: str) -> bool:
    found = shutil.which(program)
    version = [str(found), "--version"]
    # A shim may be there without its program.
    return (
        found is not None
        and not subprocess.run(version, capture_output=True, timeout=60, check=False).returncode
    )


def needs(*programs: str) -> None:
    """Skip the test where one of them is not on this machine."""
    for program in programs:
        if not _is_here(program):
            pytest.skip(f"{program} is not on this machine")


def run(
    command: Sequence[str | Path], environment: Mapping[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program in this environment alone, to its end."""
    return subprocess.run(
        command, env=dict(environment), cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


@cache
def template() -> Any:
    """template.yaml, with what CloudFormation's tags are attached to in their place."""

    class Tags(yaml.SafeLoader):
        """Reads any tag."""

    Tags.add_multi_constructor("!", lambda _loader, _tag, node: getattr(node, "value", None))
    return yaml.load((ROOT / "template.yaml").read_text(), Tags)  # noqa: S506 - a SafeLoader


def break_the_token(world: Stage) -> None:
    """Once no refresh is under way: what is stored is no token any more, and the vend function has none in memory."""
    world.lambda_service.settle()
    world.secrets.rewrite("token", str(world.version), lambda _token: {"edited": "by hand"})
    world.vend.go_cold()


def works(body: Any) -> bool:
    """Whether this is the vendor's answer to a token that it accepts."""
    return bool(body["status"] == "success")
