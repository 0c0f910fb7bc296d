"""The composition root: the one place that builds adapters and hands them to the use cases.

Each function builds its own half, and imports only that: the vend function never loads the vendor client.
"""

import os
import random
import time
import uuid
from typing import TYPE_CHECKING

from token_vending.settings import RefreshSettings, VendSettings
from token_vending.token import utc_now

if TYPE_CHECKING:
    from token_vending.handing_out import TokenVendor
    from token_vending.refreshing import Refresher


def build_refresher() -> "Refresher":
    """The refresh use case on AWS and the vendor. Raises ConfigurationError for a bad environment."""
    from botocore.config import Config
    from botocore.session import Session

    from token_vending.adapters.personr import PersonrVendor
    from token_vending.adapters.secrets_manager import SecretsManagerCredentials, SecretsManagerStore
    from token_vending.refreshing import Refresher

    settings = RefreshSettings.read(os.environ)
    client = Session().create_client(
        "secretsmanager",
        # A store that hangs must leave time for the retries that matter: those after the mint.
        config=Config(
            connect_timeout=2, read_timeout=4, retries={"mode": "standard", "total_max_attempts": 2}
        ),
    )
    standby_id = settings.standby_credentials_secret_id
    return Refresher(
        store=SecretsManagerStore(client, settings.token_secret_id),
        primary=SecretsManagerCredentials(client, settings.credentials_secret_id),
        standby=SecretsManagerCredentials(client, standby_id, account="standby") if standby_id else None,
        vendor=PersonrVendor(settings.base_url, probe_url=settings.probe_url),
        clock=utc_now,
        sleep=time.sleep,
        jitter=random.uniform,
        new_version=lambda: str(uuid.uuid4()),
        rules=settings.rules,
        probe=settings.probe_url is not None,
    )


def build_vendor(settings: VendSettings) -> "TokenVendor":
    """The hand-out use case on AWS."""
    from token_vending.adapters.signed_aws import LambdaRefreshStarter, SignedAws, SignedSecretReader
    from token_vending.handing_out import TokenVendor

    aws = SignedAws(os.environ)
    return TokenVendor(
        store=SignedSecretReader(aws, settings.token_secret_id),
        refresh=LambdaRefreshStarter(aws, settings.refresh_function_name),
        clock=utc_now,
        cache_for=settings.cache_for,
        min_age=settings.min_age,
    )
