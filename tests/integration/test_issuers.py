"""An issuer other than Personr, with the real functions: OAuth 2.0 client credentials, whose old tokens live on."""

from collections.abc import Iterator

import pytest

from tests.integration.test_crash_matrix import REQUEST_ID, Moment, kill_at, outcome
from tests.integration.world import TOKEN, Stage
from tests.kit.issuer import IssuerServer
from tests.kit.personr import scenarios
from token_vending.issuers import load

CALLS = 8
"""Of a forced renewal: to the store and to the issuer."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    with Stage(vendor=IssuerServer(load("oauth2-client-credentials"), lifetime_seconds=60 * 86_400)) as made:
        yield made


@pytest.fixture
def world(shared: Stage) -> Stage:
    shared.start_over()
    shared.mint_first()
    return shared


def test_a_renewal_overlaps_and_the_newer_token_is_handed_out(world: Stage) -> None:
    first = world.stored_token
    assert outcome(world.tick(force=True)) == "refreshed"
    assert world.vendor.is_live(first)
    assert world.ask().payload["access_token"] == world.stored_token != first


def test_an_unclear_answer_leaves_nothing_to_finish(world: Stage) -> None:
    world.vendor.always(scenarios.maintenance(500))
    assert outcome(world.tick(force=True)) == "VendorUnavailable"
    assert "MINTING" not in world.secrets.labels(TOKEN)
    assert world.holds()
    world.vendor.always(None)
    assert outcome(world.tick()) == "fresh"


def test_the_matrix_has_every_call(world: Stage) -> None:
    world.tick(force=True)
    assert len(world.wire.calls) == CALLS


@pytest.mark.parametrize("moment", Moment, ids=lambda moment: moment.name.lower())
@pytest.mark.parametrize("place", range(1, CALLS + 1))
def test_a_run_killed_at_any_call_leaves_callers_a_working_token(
    world: Stage, place: int, moment: Moment
) -> None:
    kill_at(world, world.refresh, {"force": True}, place, moment)
    assert world.holds()
    world.let_lease_pass()
    assert outcome(world.refresh.invoke({"force": True}, REQUEST_ID)) in {"refreshed", "fresh"}
    assert world.holds()
    assert outcome(world.tick()) == "fresh"
    assert "MINTING" not in world.secrets.labels(TOKEN)
