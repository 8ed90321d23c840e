"""A downstream service that notes when it has each message, and does nothing else. It runs until it is killed.

On the library's lower level, without acknowledgements: it shares the cores with what is being measured.
"""

import argparse
import os
import time
from pathlib import Path

import aiormq
import uvloop
from aiormq.abc import DeliveredMessage

from bench.queue import NAME
from bench.stamps import Stamps
from bench.waiting import rest

_DAY_SECONDS = 86_400.0


async def main(deliveries: Stamps) -> None:
    """Consume the queue."""

    async def take(message: DeliveredMessage) -> None:
        at_ns = time.monotonic_ns()
        headers = message.header.properties.headers or {}
        sequence = headers["sequence"]
        if not isinstance(sequence, int):
            raise TypeError(f"sequence is {sequence!r}")
        deliveries.add((sequence,), at_ns)

    connection = await aiormq.connect(os.environ["OUTBOX_AMQP_URL"])
    channel = await connection.channel()
    await channel.basic_consume(NAME, take, no_ack=True)
    await rest(_DAY_SECONDS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.consumer", description=__doc__)
    parser.add_argument("deliveries", type=Path, help="file that gets the moments of arrival")
    with Stamps(parser.parse_args().deliveries) as deliveries:
        uvloop.run(main(deliveries))
