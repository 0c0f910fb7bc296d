"""The composition root: the one place that builds adapters and hands them to the use cases.

Each function builds its own half, and imports only that: the vend function never loads the vendor client.
"""

import os
import time
import uuid
from random import SystemRandom
from typing import TYPE_CHECKING

from token_vending.settings import RefreshSettings, VendSettings
from token_vending.token import utc_now

if TYPE_CHECKING:
    from token_vending.handing_out import TokenVendor
    from token_vending.refreshing import Refresher


def build_refresher() -> "Refresher":
    """The refresh use case on AWS and the vendor. Raises ConfigurationError for a bad environment."""
    import urllib3

    from token_vending.accounts import Accounts
    from token_vending.adapters.personr import PersonrVendor
    from token_vending.adapters.secrets_manager import SecretsManagerCredentials, SecretsManagerStore
    from token_vending.adapters.signed_aws import SignedAws, SignedSecretsManager
    from token_vending.refreshing import Refresher

    settings = RefreshSettings.read(os.environ)
    # A store that hangs must leave time for the retries that matter: those after the mint.
    aws = SignedAws(os.environ, attempts=2, timeout=urllib3.Timeout(connect=2.0, read=4.0))
    client = SignedSecretsManager(aws)
    standby_id = settings.standby_credentials_secret_id
    return Refresher(
        store=SecretsManagerStore(client, settings.token_secret_id),
        accounts=Accounts(
            SecretsManagerCredentials(client, settings.credentials_secret_id),
            SecretsManagerCredentials(client, standby_id, account="standby") if standby_id else None,
        ),
        issuer=PersonrVendor(settings.base_url, probe_url=settings.probe_url),
        clock=utc_now,
        sleep=time.sleep,
        jitter=SystemRandom().uniform,
        new_version=lambda: str(uuid.uuid4()),
        rules=settings.rules,
        probe=settings.probe_url is not None,
    )


def build_vendor(settings: VendSettings) -> "TokenVendor":
    """The hand-out use case on AWS."""
    from token_vending.adapters.signed_aws import LambdaRefreshStarter, SignedAws, SignedSecretReader
    from token_vending.handing_out import TokenVendor

    aws = SignedAws(os.environ)
    vendor = TokenVendor(
        store=SignedSecretReader(aws, settings.token_secret_id),
        refresh=LambdaRefreshStarter(aws, settings.refresh_function_name),
        clock=utc_now,
        cache_for=settings.cache_for,
        min_age=settings.min_age,
        probed=settings.probed,
    )
    if settings.read_ahead:
        # One attempt: a start that takes longer than ten seconds is a failed one.
        vendor.read_ahead(SignedSecretReader(aws, settings.token_secret_id, attempts=1))
    return vendor
