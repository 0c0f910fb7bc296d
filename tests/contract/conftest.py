from collections.abc import Iterator

import pytest

from tests.contract.services import HERE, SERVICES, Service
from token_vending.adapters.secrets_manager import SecretsManagerStore


@pytest.fixture(params=HERE)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    yield from SERVICES[request.param]()


@pytest.fixture
def store(service: Service) -> SecretsManagerStore:
    return service.store
