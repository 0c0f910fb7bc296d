"""What the other end-to-end tests leave behind: nothing secret. Runs last, on what they have logged."""

import base64
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.personr import DEFAULT_EMAIL, DEFAULT_PASSWORD
from tests.stack import EmbeddedStack
from tests.stack.embedded import ROOT

pytestmark = pytest.mark.timeout(240)


def test_no_log_line_holds_a_secret(minted: EmbeddedStack) -> None:
    lines = minted.log_lines("refresh") + minted.log_lines("vend")
    basic = base64.b64encode(f"{DEFAULT_EMAIL}:{DEFAULT_PASSWORD}".encode()).decode()
    secrets = [*minted.personr.ever_minted, DEFAULT_PASSWORD, basic]
    assert len(lines) > 20
    assert [line for line in lines if any(secret in line for secret in secrets)] == []


def test_a_stack_that_is_told_to_end_leaves_nothing(tmp_path: Path) -> None:
    program = (
        "from tests.stack import MiniStack\n"
        "from tests.stack.embedded import sigterm_raises\n"
        "import time\n"
        "with sigterm_raises(), MiniStack() as ministack:\n"
        "    print(ministack.url, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}", "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert list(tmp_path.iterdir()) != []
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=2)
