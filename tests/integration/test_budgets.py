"""How many calls each path makes, counted at the wire."""

from tests.integration.world import MIN_AGE_SECONDS, MINT, Stage


def test_a_fresh_tick_makes_three_aws_calls_and_none_to_the_vendor(world: Stage) -> None:
    world.mint_first()
    result = world.tick()
    assert result.payload["outcome"] == "fresh", result
    assert world.store_calls <= 3, world.wire.counts()
    assert world.vendor_calls == 0


def test_a_refresh_makes_eight_aws_calls_and_one_mint(world: Stage) -> None:
    world.mint_first()
    world.age_token(22 * 86_400)
    result = world.tick()
    assert result.payload["outcome"] == "refreshed", result
    assert world.store_calls <= 8, world.wire.counts()
    assert world.wire.counts()[MINT] == 1
    assert world.vendor_calls == 1
    assert world.holds()


def test_the_first_mint_keeps_the_same_budget(world: Stage) -> None:
    result = world.tick()
    assert result.payload["outcome"] == "refreshed", result
    assert world.store_calls <= 8, world.wire.counts()
    assert world.vendor_calls == 1
    assert world.holds()


def test_a_hand_out_makes_one_aws_call_and_a_cached_one_none(world: Stage) -> None:
    version = world.mint_first()
    first = world.ask()
    assert first.payload["version"] == version
    assert first.payload["access_token"] == world.stored_token
    assert world.store_calls == 1
    again = world.ask()
    assert again.payload["access_token"] == first.payload["access_token"]
    assert world.store_calls == 1
    assert world.vendor_calls == 0


def test_a_rejection_heals_in_one_mint(world: Stage) -> None:
    version = world.mint_first()
    world.vendor.mint_elsewhere()
    assert not world.holds()
    world.age_token(MIN_AGE_SECONDS + 1)
    refused = world.ask(rejected_version=version)
    assert refused.error_type == "TokenUnavailable"
    assert refused.problem["retry_after"] > 0
    world.lambda_service.settle()
    assert world.holds()
    healed = world.ask(rejected_version=version)
    assert healed.payload["version"] != version
    assert world.vendor.is_live(healed.payload["access_token"])
    assert world.vendor_calls == 1
