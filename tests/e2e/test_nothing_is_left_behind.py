"""What the other end-to-end tests leave behind: nothing secret, nothing running."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.kit.personr import DEFAULT_PASSWORD
from tests.kit.stack import EmbeddedStack
from tests.kit.stack.embedded import ROOT

CANARY = "canary"
WITHIN_SECONDS = 60.0
# A stack in the middle of an invocation.
PROGRAM = """
import io, json, signal, sys, time, zipfile
import boto3
from tests.kit.stack import MiniStack
from tests.kit.stack.embedded import sigterm_raises
from tests.kit.stack.ministack import REGION

CODE = '''
import os, pathlib, time
def handler(event, context):
    pathlib.Path(event["path"]).write_text(str(os.getpid()))
    time.sleep(200)
'''
# Python leaves SIGINT alone where the parent ignores it, as a background job's does.
signal.signal(signal.SIGINT, signal.default_int_handler)
archive = io.BytesIO()
with zipfile.ZipFile(archive, "w") as opened:
    opened.writestr("app.py", CODE)
with sigterm_raises(), MiniStack() as ministack:
    session = boto3.Session("test", "test", region_name=REGION)
    role = session.client("iam", endpoint_url=ministack.url).create_role(
        RoleName="sleeper", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []})
    )["Role"]["Arn"]
    client = session.client("lambda", endpoint_url=ministack.url)
    client.create_function(
        FunctionName="sleeper",
        Runtime="python3.13",
        Handler="app.handler",
        Role=role,
        Timeout=200,
        Code={"ZipFile": archive.getvalue()},
    )
    client.invoke(
        FunctionName="sleeper", InvocationType="Event", Payload=json.dumps({"path": sys.argv[1]})
    )
    print(ministack.url, flush=True)
    time.sleep(200)
"""

# On what the others have logged.
pytestmark = [pytest.mark.last, pytest.mark.timeout(240)]


def test_no_log_no_queue_and_no_setting_holds_a_secret(minted: EmbeddedStack) -> None:
    minted.refresh({"id": "forced-for-the-log", "force": True})
    minted.vend({"rejected_version": "none"})
    minted.wait_for(
        "both functions have logged",
        lambda: '"reason":"forced"' in "".join(minted.log_lines("refresh")) and minted.log_lines("vend"),
        30,
    )
    assert minted.leaks() == []


def test_the_search_finds_a_password_in_a_log_and_a_token_in_a_queue(minted: EmbeddedStack) -> None:
    logs, queues = minted.client("logs"), minted.client("sqs")
    logs.create_log_group(logGroupName=CANARY)
    logs.create_log_stream(logGroupName=CANARY, logStreamName=CANARY)
    event = {"timestamp": int(time.time() * 1000), "message": f"so {DEFAULT_PASSWORD} it is"}
    logs.put_log_events(logGroupName=CANARY, logStreamName=CANARY, logEvents=[event])
    url = queues.create_queue(QueueName=CANARY)["QueueUrl"]
    queues.send_message(QueueUrl=url, MessageBody=f"so {minted.personr.ever_minted[0]} it is")
    try:
        assert minted.leaks() == [f"the log group {CANARY}", f"the queue {CANARY}"]
    finally:
        logs.delete_log_group(logGroupName=CANARY)
        queues.delete_queue(QueueUrl=url)


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGINT, -signal.SIGINT),
        (signal.SIGTERM, 128 + signal.SIGTERM),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_a_stack_whose_owner_is_ended_as_a_background_job_leaves_nothing(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    folder, started = tmp_path / "temporary", tmp_path / "process-id"
    folder.mkdir()
    with subprocess.Popen(
        ["bash", "-c", 'trap "" INT; exec "$@"', "job", sys.executable, "-c", PROGRAM, str(started)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}", "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        process_group=0,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        deadline = time.monotonic() + WITHIN_SECONDS
        while not started.exists() or not started.read_text():
            assert time.monotonic() < deadline, "the function has not started"
            time.sleep(0.05)
        function = int(started.read_text())
        assert psutil.pid_exists(function)
        assert list(folder.iterdir()) != []
        os.killpg(process.pid, number)
        assert process.wait(20) == status
    deadline = time.monotonic() + WITHIN_SECONDS
    while list(folder.iterdir()) or psutil.pid_exists(function):
        assert time.monotonic() < deadline, (list(folder.iterdir()), psutil.pid_exists(function))
        time.sleep(0.05)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=2)
