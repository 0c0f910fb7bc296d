"""The composition root: the one place that builds adapters and hands them to the use cases.

Each function builds its own half, and imports only that: the vend function never loads the vendor client.
"""

import os
import time
import uuid
from functools import cache
from random import SystemRandom
from typing import TYPE_CHECKING

from token_vending.settings import RefreshSettings, VendSettings
from token_vending.token import utc_now

if TYPE_CHECKING:
    import boto3

    from token_vending.adapters.event_bus import EventBus
    from token_vending.handing_out import HandOutDesk
    from token_vending.refreshing import Refresher


def build_refresher() -> "Refresher":
    """The refresh use case on AWS and the vendor. Raises ConfigurationError for a bad environment."""
    from botocore.config import Config

    from token_vending.accounts import Accounts
    from token_vending.adapters.issuer import DescribedIssuer
    from token_vending.adapters.secrets_manager import SecretsManagerCredentials, SecretsManagerStore
    from token_vending.refreshing import Refresher

    settings = RefreshSettings.read(os.environ)
    # A store that hangs must leave time for the retries that matter: those after the mint. A call that hangs in
    # both attempts takes 9 s at most, and one that cannot connect 5 s: the pause between them is up to 1 s.
    config = Config(
        connect_timeout=2.0, read_timeout=4.0, retries={"mode": "standard", "total_max_attempts": 2}
    )
    client = _sdk().client("secretsmanager", config=config)
    standby_id, wanted = settings.standby_credentials_secret_id, settings.issuer.fields
    return Refresher(
        store=SecretsManagerStore(client, settings.token_secret_id),
        accounts=Accounts(
            SecretsManagerCredentials(client, settings.credentials_secret_id, wanted=wanted),
            SecretsManagerCredentials(client, standby_id, account="standby", wanted=wanted)
            if standby_id
            else None,
        ),
        issuer=DescribedIssuer(
            settings.issuer, settings.base_url, probe_url=settings.probe_url, address=settings.address
        ),
        clock=utc_now,
        sleep=time.sleep,
        jitter=SystemRandom().uniform,
        new_version=lambda: str(uuid.uuid4()),
        rules=settings.rules,
        probe=settings.probe_url is not None,
    )


def build_event_bus() -> "EventBus | None":
    """The bus that the template names; None where none is. Raises ConfigurationError for a bad environment."""
    from botocore.config import Config

    from token_vending.adapters.event_bus import EventBus

    settings = RefreshSettings.read(os.environ)
    if settings.event_bus_name is None:
        return None
    # One short attempt: the run is over, and nobody waits for this.
    config = Config(connect_timeout=1.0, read_timeout=1.0, retries={"total_max_attempts": 1})
    return EventBus(
        lambda: _sdk().client("events", config=config),
        settings.event_bus_name,
        resource=settings.token_secret_id,
    )


@cache
def _sdk() -> "boto3.Session":
    import boto3

    return boto3.Session()


def build_desk(settings: VendSettings) -> "HandOutDesk":
    """The hand-out use case on AWS."""
    from token_vending.adapters.signed_aws import LambdaRefreshStarter, SignedAws, SignedSecretReader
    from token_vending.handing_out import HandOutDesk

    aws = SignedAws(os.environ)
    desk = HandOutDesk(
        store=SignedSecretReader(aws, settings.token_secret_id),
        refresh=LambdaRefreshStarter(aws, settings.refresh_function_name),
        clock=utc_now,
        cache_for=settings.cache_for,
        min_age=settings.min_age,
        probed=settings.probed,
    )
    if settings.read_ahead:
        # One attempt: a start that takes longer than ten seconds is a failed one.
        desk.read_ahead(SignedSecretReader(aws, settings.token_secret_id, attempts=1))
    return desk
