"""What a flow is compared with: calls without any care, and a consumer with a table of what it has processed.

Both use nothing of the sidecar. The consumer is the usual one, by people who know what they do: a prefetch, a pool of
connections, dedup row and commit around the call in one transaction, an acknowledgement for each message. (It is not
exactly once: a crash between call and commit repeats the call.)
"""

import argparse
import asyncio
import os

import aio_pika
import aiohttp
import asyncpg
import uvloop
from aio_pika.abc import AbstractIncomingMessage

from bench.waiting import rest

# As many as a flow has by default.
CONCURRENCY = 32

_DAY_SECONDS = 86_400.0
_TABLE = "create table if not exists rival.processed_messages (message_id text primary key)"
_PROCESS = "insert into rival.processed_messages values ($1) on conflict do nothing returning message_id"


async def call(url: str, calls: int, payload_bytes: int) -> None:
    """Make so many calls, a fixed number of them at a time."""
    left = iter(range(calls))
    body = b'{"order":1000000001,"lines":"%b"}' % (b"x" * max(payload_bytes - 31, 1))

    async def work(session: aiohttp.ClientSession) -> None:
        for number in left:
            await _post(session, url, body, f"key-{number}")

    async with _session() as session, asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(work(session))


async def consume(url: str, queue_name: str) -> None:
    """Consume for ever."""
    broker = await aio_pika.connect(os.environ["OUTBOX_AMQP_URL"])
    async with (
        broker,
        asyncpg.create_pool(os.environ["OUTBOX_PG_URL"], min_size=CONCURRENCY, max_size=CONCURRENCY) as pool,
        _session() as session,
    ):
        await pool.execute(_TABLE)
        channel = await broker.channel()
        await channel.set_qos(prefetch_count=CONCURRENCY)

        async def process(message: AbstractIncomingMessage) -> None:
            message_id = str(message.message_id)
            async with pool.acquire() as connection, connection.transaction():
                if await connection.fetchval(_PROCESS, message_id) is not None:
                    await _post(session, url, message.body, message_id)
            await message.ack()

        queue = await channel.get_queue(queue_name)
        await queue.consume(process)
        await rest(_DAY_SECONDS)


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENCY))


async def _post(session: aiohttp.ClientSession, url: str, body: bytes, key: str) -> None:
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    async with session.post(url, data=body, headers=headers) as answer:
        answer.raise_for_status()
        await answer.json()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.flow_rivals", description=__doc__)
    parser.add_argument("url", help="where the target takes a record")
    parser.add_argument("--calls", type=int, help="make so many calls and end")
    parser.add_argument("--payload-bytes", type=int, default=1024)
    parser.add_argument("--queue", help="consume this queue until stopped")
    options = parser.parse_args()
    if options.queue is not None:
        uvloop.run(consume(options.url, options.queue))
    else:
        uvloop.run(call(options.url, options.calls, options.payload_bytes))
