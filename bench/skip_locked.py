"""The outbox relay as it is usually written, by people who know what they do. It is the rival, so it must be good.

One transaction for a batch: lock what waits, publish all of it, await all confirms together, mark it, commit. One
process and one channel keep the order; a second one would share the same core of Python.

It must use nothing of the sidecar but the envelope's headers, so that its messages have the same size.
"""

import argparse
import asyncio
import os

import aio_pika
import asyncpg
import uvloop
from aio_pika.abc import AbstractExchange
from pamqp.commands import Basic

from bench.waiting import rest
from outbox.model.envelope import Envelope, wire_headers

BATCH_EVENTS = 500
POLL_SECONDS = 0.005

_EXCHANGE = "outbox.events"
_SELECT = """
    select id, event_id::text, type, version, key, payload::text, extract(epoch from created_at)::bigint as created_at
      from rival.event
     where published_at is null
     order by id
     limit $1
       for update skip locked
"""
_MARK = "update rival.event set published_at = now() where id = any($1::bigint[])"


async def main(*, is_draining: bool) -> None:
    """Publish until stopped; when draining, until nothing waits."""
    database = await asyncpg.connect(os.environ["OUTBOX_PG_URL"])
    broker = await aio_pika.connect(os.environ["OUTBOX_AMQP_URL"])
    async with broker:
        channel = await broker.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.get_exchange(_EXCHANGE, ensure=False)
        select, mark = await database.prepare(_SELECT), await database.prepare(_MARK)
        while True:
            async with database.transaction():
                rows = await select.fetch(BATCH_EVENTS)
                if rows:
                    async with asyncio.TaskGroup() as group:
                        for row in rows:
                            group.create_task(_publish(exchange, row))
                    await mark.fetch([row["id"] for row in rows])
            if not rows:
                if is_draining:
                    break
                await rest(POLL_SECONDS)
    await database.close()


async def _publish(exchange: AbstractExchange, row: asyncpg.Record) -> None:
    event = Envelope(
        row["event_id"],
        row["id"],
        row["type"],
        row["version"],
        row["key"],
        row["payload"].encode(),
        row["created_at"],
        {},
    )
    message = aio_pika.Message(
        event.payload,
        headers=dict(wire_headers(event, source="/outbox")),
        message_id=event.message_id,
        type=event.type,
        timestamp=event.created_at_epoch_seconds,
        app_id="outbox",
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    confirmation = await exchange.publish(message, event.type, mandatory=True)
    if not isinstance(confirmation, Basic.Ack):
        raise TypeError(f"the broker answered {type(confirmation).__name__}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.skip_locked", description=__doc__)
    parser.add_argument("--drain", action="store_true", help="end when nothing waits")
    uvloop.run(main(is_draining=parser.parse_args().drain))
