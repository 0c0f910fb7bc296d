"""What a module must not bring with it, seen in a fresh interpreter. The directions are import-linter's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT / "layers" / "token_vending"),
    "TOKEN_SECRET_ID": "token",
    "REFRESH_FUNCTION_NAME": "refresh",
    "CREDENTIALS_SECRET_ID": "credentials",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "PATH": os.environ["PATH"],
}
USE_CASES = (
    "refreshing",
    "minting",
    "handing_out",
    "doors",
    "due",
    "callers",
    "records",
    "requests",
    "audit",
)


def loaded_by(code: str) -> set[str]:
    """The modules in a fresh interpreter after this code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules, sep='\\n')"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.split())


def function(name: str) -> str:
    return f"import sys; sys.path.insert(0, {str(ROOT / 'functions' / name)!r}); import app"


def test_the_vend_function_never_meets_the_vendor_nor_the_credentials() -> None:
    loaded = loaded_by(function("vend"))
    assert "token_vending.handing_out" in loaded
    for module in (
        "adapters.exchange",
        "adapters.issuer",
        "adapters.secrets_manager",
        "credentials",
        "issuers",
        "minting",
        "refreshing",
        "schemas",
    ):
        assert f"token_vending.{module}" not in loaded


def test_the_refresh_function_carries_no_hand_out() -> None:
    loaded = loaded_by(f"{function('refresh')}; app.refresher()")
    assert "token_vending.refreshing" in loaded
    for module in ("doors", "handing_out"):
        assert f"token_vending.{module}" not in loaded


@pytest.mark.parametrize("use_case", USE_CASES)
def test_a_use_case_brings_neither_aws_nor_http(use_case: str) -> None:
    loaded = loaded_by(f"import token_vending.{use_case}")
    for package in ("aws_lambda_powertools", "boto3", "botocore", "urllib3", "token_vending.adapters"):
        assert package not in loaded
