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


async def test_a_batch_does_not_wait_for_the_confirms_of_the_last_one_and_a_kill_repeats_both(
    site: Site, tap: Tap
) -> None:
    async with proxied(site.broker.url) as (amqp, amqp_url):
        relay = await site.start("relay", amqp_url=amqp_url, relay={"save_every": "10ms"})
        await relay.logged("caught up")
        (first,) = await site.confirm_orders()
        await relay.logged("cursor saved")
        amqp.stall(Direction.TO_CLIENT)
        (second,) = await site.confirm_orders()
        await tap.saw(2)
        (third,) = await site.confirm_orders()
        await tap.saw(3)
        await amqp.holds(Direction.TO_CLIENT)
        await relay.kill()
    assert len(relay.find("page published")) == 1

    await site.start("relay")
    await tap.saw(5)
    assert tap.ids() == [first, second, third, second, third]


async def test_batches_that_were_unconfirmed_together_are_passed_once_they_are_confirmed(site: Site, tap: Tap) -> None:
    async with proxied(site.broker.url) as (amqp, amqp_url):
        relay = await site.start("relay", amqp_url=amqp_url, relay={"save_every": "10ms"})
        await relay.logged("caught up")
        amqp.stall(Direction.TO_CLIENT)
        for count in (1, 2):
            await site.confirm_orders()
            await tap.saw(count)
        # There is no room for a third.
        await site.confirm_orders()
        assert not relay.find("cursor saved")
        amqp.resume()
        await tap.saw(3)
        await relay.logged("page published", last_sequence=max(message.sequence for message in tap.seen))
        relay.ask_to_end()
        assert await relay.ended() == 0

    await site.start("relay")
    await site.confirm_orders()
    await tap.saw(4)
    assert tap.ids() == await site.event_ids()


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
