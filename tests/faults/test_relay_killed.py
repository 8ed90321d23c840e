"""A relay that is killed between two of its steps: the wire may show an event twice, the target one effect."""

from __future__ import annotations

from sandbox.tcp_proxy import Direction
from tests.kit.site import Site, proxied
from tests.kit.tap import Tap


async def test_a_relay_killed_between_publish_and_confirm_publishes_again(site: Site, tap: Tap) -> None:
    await site.start("consume")
    async with proxied(site.broker.url) as (amqp, amqp_url):
        relay = await site.start("relay", amqp_url=amqp_url)
        await relay.logged("caught up")
        amqp.stall(Direction.TO_CLIENT)
        (event_id,) = await site.confirm_orders()
        await tap.saw(1)
        await amqp.holds(Direction.TO_CLIENT)
        await relay.kill()
    assert not relay.find("page published")

    await site.start("relay")
    await tap.saw(2)
    assert tap.ids() == [event_id] * 2
    await site.delivered(event_id, copies=2)
    await site.settle()
    assert await site.met("requests") == 1


async def test_a_relay_killed_between_confirm_and_cursor_publishes_again(site: Site, tap: Tap) -> None:
    await site.start("consume")
    relay = await site.start("relay", relay={"save_every": "60s", "stalled_after": "10m"})
    await relay.logged("caught up")
    (event_id,) = await site.confirm_orders()
    await relay.logged("page published")
    await relay.kill()
    assert not relay.find("cursor saved")

    await site.start("relay")
    await tap.saw(2)
    assert tap.ids() == [event_id] * 2
    await site.delivered(event_id, copies=2)
    await site.settle()
    assert await site.met("requests") == 1


async def test_a_relay_killed_after_the_cursor_is_saved_publishes_nothing_again(site: Site, tap: Tap) -> None:
    await site.start("consume")
    relay = await site.start("relay", relay={"save_every": "10ms"})
    await relay.logged("caught up")
    (first,) = await site.confirm_orders()
    await relay.logged("cursor saved")
    await relay.kill()

    await site.start("relay")
    (second,) = await site.confirm_orders()
    await tap.saw(2)
    assert tap.ids() == [first, second]
    await site.settle()
