"""How many calls each path makes, counted at the wire."""

from tests.integration.world import Stage


def test_a_fresh_tick_makes_three_aws_calls_and_none_to_the_vendor(world: Stage) -> None:
    world.mint_first()
    result = world.tick()
    assert result.payload["outcome"] == "fresh", result
    assert world.store_calls <= 3, world.wire.counts()
    assert world.vendor_calls == 0


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
