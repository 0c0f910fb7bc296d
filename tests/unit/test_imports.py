"""What the refresh function must not bring with it, seen in a fresh interpreter.

The vend function's imports are pinned in tests/bench/test_imports.py, the modules' directions by import-linter.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    "PYTHONPATH": f"{ROOT}/layers/token_vending:{ROOT}/functions/refresh",
    "TOKEN_SECRET_ID": "token",
    "CREDENTIALS_SECRET_ID": "credentials",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "PATH": os.environ["PATH"],
}


def test_the_refresh_function_carries_no_hand_out() -> None:
    program = "import app, sys; app.refresher(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = done.stdout.split()
    assert "token_vending.refreshing" in loaded
    assert not {"token_vending.doors", "token_vending.handing_out"} & {*loaded}
