"""A partner that sends signed webhooks at a fixed rate over connections that stay, and notes how each was answered.

Open loop: the moments to begin are fixed beforehand, and a time begins at its moment, not when a connection was free.
Plain sockets and requests made beforehand: what is measured shares the cores with whoever measures.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count, takewhile

import uvloop

from bench.summary import percentile
from bench.waiting import becomes_true

_LEAD_SECONDS = 0.1
_READY_SECONDS = 30.0
_ANSWER_SECONDS = 15.0
_FRAME_BYTES = 70
_TAKEN = 202


class Load:
    """The connections share one timetable."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._key = base64.b64decode(options.secret.removeprefix("whsec_"))
        self._turns: Iterator[int] = takewhile(lambda turn: turn < options.rate * options.seconds, count())
        self._padding = "x" * max(options.payload_bytes - _FRAME_BYTES, 0)
        self._loop = asyncio.get_running_loop()
        self._begun_at = 0.0
        self.statuses: Counter[int] = Counter()
        self.lateness_seconds: list[float] = []
        self.answered: list[tuple[int, float]] = []
        self.errors = 0

    async def run(self) -> float:
        """Send everything and return how many seconds it took."""
        if not await becomes_true(self._is_ready, within_seconds=_READY_SECONDS):
            raise TimeoutError("the intake took nothing")
        self._begun_at = self._loop.time() + _LEAD_SECONDS
        async with asyncio.TaskGroup() as group:
            for _ in range(self._options.connections):
                group.create_task(self._work())
        return self._loop.time() - self._begun_at

    async def _is_ready(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._options.port)
        except OSError:
            return False
        try:
            writer.write(self._request("first"))
            return await _status(reader) == _TAKEN
        finally:
            writer.close()

    async def _work(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._options.port)
        for turn in self._turns:
            due_at = self._begun_at + turn / self._options.rate
            await self._until(due_at)
            self.lateness_seconds.append(max(self._loop.time() - due_at, 0.0))
            writer.write(self._request(f"turn-{turn}"))
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    self.statuses[await _status(reader)] += 1
            except (TimeoutError, OSError, EOFError):
                self.errors += 1
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", self._options.port)
                continue
            self.answered.append((turn, self._loop.time() - due_at))
        writer.close()

    async def _until(self, moment: float) -> None:
        if moment > self._loop.time():
            due: asyncio.Future[None] = self._loop.create_future()
            self._loop.call_at(moment, due.set_result, None)
            await due

    def _request(self, name: str) -> bytes:
        body = f'{{"type":"order.placed","data":{{"order":"{name}"}},"lines":"{self._padding}"}}'.encode()
        at = int(time.time())
        digest = hmac.digest(self._key, f"{name}.{at}.".encode() + body, hashlib.sha256)
        head = (
            "POST /intake/partner HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            f"webhook-id: {name}\r\nwebhook-timestamp: {at}\r\n"
            f"webhook-signature: v1,{base64.b64encode(digest).decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


async def _status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            await reader.readexactly(int(value))
    return int(head.split(b" ", 2)[1])


async def main(options: argparse.Namespace) -> None:
    """Send, and print what was answered."""
    load = Load(options)
    seconds = await load.run()
    counted = [spent for turn, spent in load.answered if turn >= options.warm_up_seconds * options.rate]
    print(
        json.dumps(
            {
                "seconds": seconds,
                "taken": load.statuses[_TAKEN],
                "others": sum(load.statuses.values()) - load.statuses[_TAKEN] + load.errors,
                "late_p99_ms": percentile(load.lateness_seconds, 99) * 1000,
                "p50_ms": percentile(counted, 50) * 1000,
                "p99_ms": percentile(counted, 99) * 1000,
                "max_ms": max(counted) * 1000,
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.intake_load", description=__doc__)
    parser.add_argument("port", type=int, help="where the intake listens")
    parser.add_argument("--secret", required=True, help="of the source called partner")
    parser.add_argument("--rate", type=int, default=2000, help="requests per second (2000)")
    parser.add_argument("--seconds", type=float, default=5.0, help="for how long (5)")
    parser.add_argument("--warm-up-seconds", type=float, default=0.5, help="not counted in the times (0.5)")
    parser.add_argument("--payload-bytes", type=int, default=1024, help="size of a body (1024)")
    parser.add_argument("--connections", type=int, default=64, help="open at once (64)")
    uvloop.run(main(parser.parse_args()))
