"""The Secrets Manager stand-in keeps the rules that the product leans on, seen through boto3."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.kit.secrets_manager.rules import MAX_VERSIONS, PRUNE_AGE
from tests.kit.secrets_manager.server import REGION, SecretsManager

NAME = "token"


@pytest.fixture
def service() -> Iterator[SecretsManager]:
    with SecretsManager() as server:
        server.create(NAME)
        yield server


@pytest.fixture
def client(service: SecretsManager) -> Any:
    return boto3.client(
        "secretsmanager",
        endpoint_url=service.url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


def put(client: Any, text: str) -> str:
    return str(client.put_secret_value(SecretId=NAME, SecretString=text)["VersionId"])


def code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


def test_current_cannot_be_taken_off(client: Any) -> None:
    version = put(client, "1")
    with pytest.raises(ClientError) as caught:
        client.update_secret_version_stage(
            SecretId=NAME, VersionStage="AWSCURRENT", RemoveFromVersionId=version
        )
    assert code(caught) == "InvalidParameterException"


def test_a_value_past_64_kib_is_refused(client: Any) -> None:
    with pytest.raises(ClientError) as caught:
        put(client, "x" * 65_537)
    assert code(caught) == "ValidationException"


def test_versions_of_the_last_day_count_towards_a_quota_and_are_not_pruned(
    service: SecretsManager, client: Any
) -> None:
    for number in range(MAX_VERSIONS):
        put(client, str(number))
    with pytest.raises(ClientError) as caught:
        put(client, "one too many")
    assert code(caught) == "LimitExceededException"
    service.age(NAME, PRUNE_AGE.total_seconds() + 1)
    put(client, "a day later")
    assert len(service.destroyed(NAME)) == 1
