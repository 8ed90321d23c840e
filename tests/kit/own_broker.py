"""A broker that belongs to one test module: it may be stopped, frozen and run out of memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sandbox.binaries import find_rabbitmq
from sandbox.private_rabbitmq import PrivateRabbitMQ
from sandbox.watchdog import Watchdog


@contextmanager
def own_rabbitmq(settings: str = "") -> Iterator[PrivateRabbitMQ]:
    """Start one (about four seconds) with more lines for its rabbitmq.conf, and end it."""
    programs = find_rabbitmq()
    if programs is None:
        pytest.skip("needs RabbitMQ on this machine; a container cannot be frozen from here")
    with Watchdog() as watchdog:
        server = PrivateRabbitMQ(programs, watchdog=watchdog, settings=settings)
        server.start()
        yield server


async def forget_consumer(server: PrivateRabbitMQ, queue: str) -> None:
    """Make the queue forget its active consumer, which is not told: its channel and connection stay as they are."""
    name = f'rabbit_misc:r(<<"/">>, queue, <<"{queue}">>)'
    cancel = "rabbit_fifo:make_checkout({element(2, C), element(1, C)}, cancel, #{})"
    found = f"{{ok, Q}} = rabbit_amqqueue:lookup({name}), [C | _] = rabbit_amqqueue:consumers(Q)"
    await asyncio.to_thread(server.ctl, "eval", f"{found}, ra:process_command(amqqueue:get_pid(Q), {cancel}).")


async def set_max_message_size(server: PrivateRabbitMQ, size_bytes: int) -> None:
    """Change what the broker takes while it runs, for channels opened from now on."""
    # RabbitMQ 3 looks at its setting for each channel; 4 keeps the value from its start.
    setting = f"application:set_env(rabbit, max_message_size, {size_bytes})"
    kept = f"persistent_term:put(max_message_size, {size_bytes})"
    await asyncio.to_thread(server.ctl, "eval", f"{setting}, {kept}.")
