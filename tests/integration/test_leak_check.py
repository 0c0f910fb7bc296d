"""Every world searches its logs and queues for secrets when it ends: it would see one."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.world import CREDENTIALS, TOKEN, Stage
from tests.kit.personr import DEFAULT_EMAIL, DEFAULT_PASSWORD
from tests.kit.stand_ins.lambda_service import Invocation

NEXT_PASSWORD = "the next password"
BY_HAND = "bus|put-there-by-hand"


def basic(world: Stage) -> str:
    return base64.b64encode(f"{DEFAULT_EMAIL}:{DEFAULT_PASSWORD}".encode()).decode()


SECRETS: dict[str, Callable[[Stage], str]] = {
    "live token": lambda world: world.vendor.mint_elsewhere(),
    "dead token": lambda world: world.vendor.ever_minted[0],
    "token that somebody put there": lambda _: BY_HAND,
    "password": lambda _: DEFAULT_PASSWORD,
    "password as JSON writes it": lambda _: json.dumps(DEFAULT_PASSWORD)[1:-1],
    "password of before": lambda _: NEXT_PASSWORD,
    "Basic value": basic,
}


def lived_through(world: Stage) -> None:
    world.mint_first()
    world.vendor.mint_elsewhere()
    for password in (NEXT_PASSWORD, DEFAULT_PASSWORD):
        world.secrets.put(CREDENTIALS, {"email": DEFAULT_EMAIL, "password": password})
    world.secrets.put(TOKEN, {"access_token": BY_HAND})
    world.start_over()


def test_a_world_that_has_logged_a_secret_fails_and_one_that_has_not_ends_well() -> None:
    with Stage() as world:
        lived_through(world)
        log = Path(world.vend._folder.name, "9999.log")
        for name, secret_of in SECRETS.items():
            secret = secret_of(world)
            log.write_text(f"so {secret} it is\n")
            with pytest.raises(AssertionError, match="secret texts") as failure:
                world.assert_no_leak()
            assert secret not in str(failure.value), name
        log.unlink()
    assert "refreshed" in world.logs


def test_a_world_fails_that_has_put_a_secret_into_a_queue() -> None:
    world = Stage()
    with pytest.raises(AssertionError, match="secret texts"), world:  # noqa: PT012 - the end fails
        event = {"id": DEFAULT_PASSWORD}
        world.lambda_service.failed_events.append(Invocation("refresh", "live", "Event", event, "request"))
