"""Every world searches its logs and queues for secrets when it ends: it would see one."""

import base64
import json
from pathlib import Path

import pytest

from tests.integration.world import CREDENTIALS, TOKEN, Stage
from tests.kit.personr import DEFAULT_EMAIL, DEFAULT_PASSWORD
from tests.kit.stand_ins.lambda_service import Invocation

NEXT_PASSWORD = "the next password"
BY_HAND = "bus|put-there-by-hand"


def test_a_world_fails_that_has_logged_a_secret() -> None:
    with Stage() as world:
        world.mint_first()
        world.vendor.mint_elsewhere()
        for password in (NEXT_PASSWORD, DEFAULT_PASSWORD):
            world.secrets.put(CREDENTIALS, {"email": DEFAULT_EMAIL, "password": password})
        world.secrets.put(TOKEN, {"access_token": BY_HAND})
        world.start_over()
        world.assert_no_leak()
        assert "refreshed" in world.logs
        basic = base64.b64encode(f"{DEFAULT_EMAIL}:{DEFAULT_PASSWORD}".encode()).decode()
        as_json = json.dumps(DEFAULT_PASSWORD)[1:-1]
        log = Path(world.vend._folder.name, "9999.log")
        for secret in (*world.vendor.ever_minted, BY_HAND, DEFAULT_PASSWORD, as_json, NEXT_PASSWORD, basic):
            log.write_text(f"so {secret} it is\n")
            with pytest.raises(AssertionError, match="secret texts") as failure:
                world.assert_no_leak()
            assert secret not in str(failure.value)
        log.unlink()


def test_a_world_fails_at_its_end_that_has_put_a_secret_into_a_queue() -> None:
    world = Stage()
    with pytest.raises(AssertionError, match="secret texts"), world:  # noqa: PT012 - the end fails
        event = {"id": DEFAULT_PASSWORD}
        world.lambda_service.failed_events.append(Invocation("refresh", "live", "Event", event, "request"))
