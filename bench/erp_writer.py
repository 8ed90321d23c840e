"""The ERP's load where pgbench is not installed: the same transactions, and the same lines at the end."""

import argparse
import asyncio
import os
import random
import time

import asyncpg
import uvloop

_UPDATE = "update bench.account set balance = balance + 1 where id = $1"
_INSERTS = {
    "bench.plain": "insert into bench.plain (type, key, payload) values ('order.confirmed', $1, $2)",
    "outbox.event": "insert into outbox.event (type, key, payload) values ('order.confirmed', $1, $2)",
}
_ACCOUNTS = 10_000
_PADDING = "x" * 990


async def main(options: argparse.Namespace) -> None:
    """Press, and print what was done as pgbench does."""
    connections = [await asyncpg.connect(os.environ["OUTBOX_PG_URL"]) for _ in range(options.clients)]
    begun = time.monotonic()
    counts: list[int] = []

    async def work(connection: asyncpg.Connection) -> None:
        update, insert = await connection.prepare(_UPDATE), await connection.prepare(_INSERTS[options.table])
        done = 0
        while time.monotonic() - begun < options.seconds:
            account = random.randint(1, _ACCOUNTS)
            async with connection.transaction():
                await update.fetch(account)
                await insert.fetch(f"A-{account}", f'{{"order" : {account}, "lines" : "{_PADDING}"}}')
            done += 1
        counts.append(done)

    async with asyncio.TaskGroup() as group:
        for connection in connections:
            group.create_task(work(connection))
    seconds = time.monotonic() - begun
    for connection in connections:
        await connection.close()
    print(f"number of transactions actually processed: {sum(counts)}")
    print(f"tps = {sum(counts) / seconds:f} (without initial connection time)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.erp_writer", description=__doc__)
    parser.add_argument("--table", choices=sorted(_INSERTS), default="outbox.event")
    parser.add_argument("--seconds", type=float, default=5.0, help="for how long (5)")
    parser.add_argument("--clients", type=int, default=8, help="connections (8)")
    uvloop.run(main(parser.parse_args()))
