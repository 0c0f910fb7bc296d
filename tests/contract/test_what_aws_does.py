"""What AWS's documentation leaves open or promises once, measured: against the stand-in always, and against the
service itself with `make live STACK=name WRITE=1`, which puts what was learnt into a report.
"""

import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.contract.services import MOST_AT_ONCE, OVER_HTTP, Service
from token_vending.adapters.secrets_manager import SecretsManagerStore
from token_vending.token import Intent
from token_vending_ops.deployed import DeployedStack

LIVE_STACK = os.environ.get("AWS_SAM_STACK_NAME", "")
RUNNERS = MOST_AT_ONCE
ROUNDS = 5
SEEN_WITHIN_SECONDS = 10.0
MOST_LABELS = 20
NEEDED_VERSIONS = 100
"""After so many failed attempts within a day the last one must still find room (docs/decisions/0017)."""
TRIED_VERSIONS = 150
Record = Callable[[str, object], None]
over_http = pytest.mark.parametrize("service", OVER_HTTP, indirect=True)


def learn(record: Record, what: str, **saw: object) -> None:
    """One row of the report. Call it only after what must hold has been asserted."""
    record("learnt", json.dumps({"what": what, "saw": saw}))


def put_intent(store: SecretsManagerStore) -> str:
    written = Intent(str(uuid.uuid4()), "run-1", datetime.now(UTC), "too_old")
    store.put_intent(written)
    return written.version


def code_of(call: Callable[[], object]) -> str:
    """The error code that AWS answers, or else "done"."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


def move(service: Service, label: str, to: str) -> str:
    """Without RemoveFromVersionId: fails while another version holds the label."""
    client, secret = service.client, service.secret_id
    return code_of(
        lambda: client.update_secret_version_stage(SecretId=secret, VersionStage=label, MoveToVersionId=to)
    )


def create(service: Service, version: str, content: str) -> str:
    client, secret = service.client, service.secret_id
    return code_of(
        lambda: client.put_secret_value(
            SecretId=secret, ClientRequestToken=version, SecretString=content, VersionStages=["INTENT"]
        )
    )


@over_http
def test_of_twenty_concurrent_moves_of_a_free_label_one_is_done(
    service: Service, record_property: Record
) -> None:
    store = service.store
    versions = [put_intent(store) for _ in range(RUNNERS)]
    answers: Counter[str] = Counter()
    with ThreadPoolExecutor(RUNNERS) as pool:
        for _ in range(ROUNDS):
            codes = list(pool.map(lambda to: move(service, "ABANDONED", to), versions))
            winners = [to for to, code in zip(versions, codes, strict=True) if code == "done"]
            assert [store.labels()["ABANDONED"]] == winners, codes
            store.remove_label("ABANDONED", expected_on=winners[0])
            answers.update(codes)
    assert set(answers) == {"done", "InvalidParameterException"}
    learn(record_property, f"{RUNNERS} concurrent moves of a free label, {ROUNDS} times: answers", **answers)


@over_http
def test_of_twenty_concurrent_creations_of_one_version_one_is_done(
    service: Service, record_property: Record
) -> None:
    """One ClientRequestToken, as many contents: the claim of a refresh (docs/evidence/reliability.md)."""
    put_intent(service.store)
    answers: Counter[str] = Counter()
    with ThreadPoolExecutor(RUNNERS) as pool:
        for _ in range(ROUNDS):
            version = str(uuid.uuid4())
            contents = [json.dumps({"runner": number}) for number in range(RUNNERS)]
            codes = list(pool.map(lambda content: create(service, version, content), contents))  # noqa: B023
            winners = [content for content, code in zip(contents, codes, strict=True) if code == "done"]
            held = service.client.get_secret_value(SecretId=service.secret_id, VersionId=version)
            assert [held["SecretString"]] == winners, codes
            answers.update(codes)
    assert set(answers) == {"done", "ResourceExistsException"}
    learn(
        record_property, f"{RUNNERS} concurrent creations of one version, {ROUNDS} times: answers", **answers
    )


@over_http
def test_labels_may_have_the_characters_that_ours_have(service: Service, record_property: Record) -> None:
    store = service.store
    version = put_intent(store)
    labels = ["ABANDONED", f"REFUSED-{uuid.uuid4()}", f"REFUSED-standby:{uuid.uuid4()}"]
    for label in labels:
        store.move_label(label, to=version, expected_on=None)
    assert store.labels() == dict.fromkeys([*labels, "INTENT", "MINTING", "AWSCURRENT"], version)
    learn(record_property, "labels that were attached and read back", **dict.fromkeys(labels, "attached"))


@over_http
def test_what_was_written_is_read_within_seconds(service: Service, record_property: Record) -> None:
    """How many reads right after a write still show what was before, and how long the slowest takes to show."""
    store, stale, slowest = service.store, 0, 0.0
    for _ in range(RUNNERS):
        version = service.put(json.dumps({"number": str(uuid.uuid4())}))
        written = time.monotonic()
        while current_version(service) != version or store.labels()["AWSCURRENT"] != version:
            stale += 1
            assert time.monotonic() - written < SEEN_WITHIN_SECONDS
        slowest = max(slowest, time.monotonic() - written)
    learn(
        record_property,
        f"{RUNNERS} writes, each read at once",
        stale_reads=stale,
        slowest_ms=round(slowest * 1000),
    )


def current_version(service: Service) -> str:
    return str(service.client.get_secret_value(SecretId=service.secret_id)["VersionId"])


@over_http
def test_a_secret_takes_a_day_of_failed_attempts(
    request: pytest.FixtureRequest, service: Service, record_property: Record
) -> None:
    if request.node.get_closest_marker("live") and os.environ.get("QUOTA") != "1":
        pytest.skip("only with QUOTA=1: it writes up to 150 versions")
    written, refusal = 0, "none"
    for number in range(TRIED_VERSIONS):
        try:
            service.put(f'{{"number": {number}}}')
        except ClientError as error:
            refusal = error.response["Error"]["Code"]
            break
        except Exception as error:  # noqa: BLE001  the stand-in's own
            refusal = str(error.args[0])
            break
        written += 1
    assert written >= NEEDED_VERSIONS
    assert refusal in ("none", "LimitExceededException")
    learn(record_property, "versions written without a pause", written=written, then=refusal)


@pytest.mark.live
@pytest.mark.skipif(not LIVE_STACK, reason="AWS_SAM_STACK_NAME names no deployed stack")
def test_the_stacks_token_secret_keeps_within_its_quotas(record_property: Record) -> None:
    """Reads only, and no value."""
    stack = DeployedStack(LIVE_STACK, boto3.Session())
    manager, secret = stack.client("secretsmanager"), stack.outputs["TokenSecretArn"]
    described = manager.describe_secret(SecretId=secret)
    labels = {label for held in described.get("VersionIdsToStages", {}).values() for label in held}
    page = manager.list_secret_version_ids(SecretId=secret, IncludeDeprecated=True, MaxResults=100)
    versions = f"{len(page['Versions'])}{' or more' if 'NextToken' in page else ''}"
    assert len(labels) < MOST_LABELS
    key = described.get("KmsKeyId")
    assert key is not None, "encrypted with the account's default key, which no other account can be given"
    learn(record_property, "the token secret", labels=sorted(labels), versions=versions, key=key)
