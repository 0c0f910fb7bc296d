"""Every Secrets Manager that the tests or the product use, each with an empty scratch secret in it.

The simulation, the strict stand-in over HTTP, and, with AWS_SAM_STACK_NAME set and WRITE=1, the service itself.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.kit.secrets_manager.server import REGION, SecretsManager
from tests.simulation import (
    Personr,
    Process,
    SimulatedClient,
    SimulatedClock,
    SimulatedSecretsManager,
)
from token_vending.adapters.secrets_manager import SecretsManagerStore

MOST_AT_ONCE = 20


@dataclass(frozen=True)
class Service:
    """One Secrets Manager with an empty scratch secret in it."""

    client: Any
    secret_id: str
    put: Callable[[str], str]
    """A new current version with this content, as an operator writes it; returns its id."""

    @property
    def store(self) -> SecretsManagerStore:
        return SecretsManagerStore(self.client, self.secret_id)


def simulated() -> Iterator[Service]:
    clock = SimulatedClock()
    secrets = SimulatedSecretsManager(clock)
    secrets.create("scratch")
    client = SimulatedClient(secrets, Process(clock, Personr(clock)))
    yield Service(client, "scratch", lambda content: secrets.put("scratch", content))


def stand_in() -> Iterator[Service]:
    with SecretsManager() as server:
        server.create("scratch")
        client = boto3.client(
            "secretsmanager",
            endpoint_url=server.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, max_pool_connections=MOST_AT_ONCE),
        )
        yield Service(client, "scratch", lambda content: server.put("scratch", content))


def real() -> Iterator[Service]:
    """SCRATCH_ENDPOINT_URL is for the test of this suite: an emulator's secret differs, the stand-in's does not."""
    client: Any = boto3.client(
        "secretsmanager",
        endpoint_url=os.environ.get("SCRATCH_ENDPOINT_URL"),
        config=Config(max_pool_connections=MOST_AT_ONCE),
    )
    name = f"{os.environ['AWS_SAM_STACK_NAME']}-contract-{uuid.uuid4()}"
    client.create_secret(Name=name)
    try:
        yield Service(
            client,
            name,
            lambda content: str(client.put_secret_value(SecretId=name, SecretString=content)["VersionId"]),
        )
    finally:
        client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


SERVICES = {"simulation": simulated, "stand-in": stand_in, "real": real}


HERE: list[Any] = ["simulation", "stand-in"]
OVER_HTTP: list[Any] = ["stand-in"]
if "AWS_SAM_STACK_NAME" in os.environ and os.environ.get("WRITE") == "1":
    for services in (HERE, OVER_HTTP):
        services.append(pytest.param("real", marks=pytest.mark.live))
