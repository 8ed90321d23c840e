"""Runs a consumer of docs/consuming.md as its own process, and tells on standard error what it does with the broker.

`python -m tests.kit.observed_consumer FILE [MESSAGE-ID]`: acknowledging that message never ends, so that the process
can be killed between its commit and the acknowledgement.
"""

from __future__ import annotations

import asyncio
import json
import runpy
import sys
from typing import Any

import aio_pika.message
import aio_pika.queue


def _tell(event: str, **fields: object) -> None:
    sys.stderr.write(json.dumps({"event": event} | fields) + "\n")
    sys.stderr.flush()


def _observe(hang_at: str | None) -> None:
    consume, ack, reject = (
        aio_pika.queue.Queue.consume,
        aio_pika.message.IncomingMessage.ack,
        aio_pika.message.IncomingMessage.reject,
    )

    async def told_consume(self: aio_pika.queue.Queue, *arguments: Any, **options: Any) -> str:  # noqa: ANN401 - the library's own
        tag = await consume(self, *arguments, **options)
        _tell("consuming")
        return tag

    async def told_ack(self: aio_pika.message.IncomingMessage, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - the library's own
        _tell("acknowledging", message_id=self.message_id)
        if self.message_id == hang_at:
            await asyncio.Event().wait()
        await ack(self, *arguments, **options)

    async def told_reject(self: aio_pika.message.IncomingMessage, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - the library's own
        _tell("rejecting", message_id=self.message_id)
        await reject(self, *arguments, **options)

    aio_pika.queue.Queue.consume = told_consume
    aio_pika.message.IncomingMessage.ack = told_ack
    aio_pika.message.IncomingMessage.reject = told_reject


def main(file: str, hang_at: str | None = None) -> None:
    _observe(hang_at)
    runpy.run_path(file, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
