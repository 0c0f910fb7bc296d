"""How many calls each path makes, counted at the wire."""

from tests.integration.world import Stage


def test_a_fresh_tick_makes_three_aws_calls_and_none_to_the_vendor(world: Stage) -> None:
    world.mint_first()
    result = world.tick()
    assert result.payload["outcome"] == "fresh", result
    assert world.store_calls <= 3, world.wire.counts()
    assert world.vendor_calls == 0
