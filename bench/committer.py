"""An application that commits single events at a fixed rate, and notes when each COMMIT was answered.

Open loop: the moments to begin are fixed beforehand, so a database that is slow for a while meets the same load
afterwards. How late it began is told too.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Iterator
from itertools import count, takewhile
from pathlib import Path

import asyncpg
import uvloop

from bench.stamps import Stamps
from bench.summary import percentile

_CONNECTIONS = 16
# One statement outside of a block is one transaction: its answer is the answer to the COMMIT.
_INSERTS = {
    "outbox.event": "insert into outbox.event (type, key, payload) values ('order.confirmed', $1, $2) returning id",
    "rival.event": "insert into rival.event (type, key, payload) values ('order.confirmed', $1, $2) returning id",
}
_LEAD_SECONDS = 0.1
_FRAME_BYTES = 31


class Committer:
    """The connections share one timetable."""

    def __init__(self, commits: Stamps, insert: str, *, rate: int, seconds: float, payload_bytes: int) -> None:
        self._commits = commits
        self._insert = insert
        self._turns: Iterator[int] = takewhile(lambda turn: turn < rate * seconds, count())
        self._interval_seconds = 1 / rate
        self._padding = "x" * (payload_bytes - _FRAME_BYTES)
        self._loop = asyncio.get_running_loop()
        self._begun_at = 0.0
        self.lateness_seconds: list[float] = []

    async def run(self) -> float:
        """Commit everything and return how many seconds it took."""
        connections = [await asyncpg.connect(os.environ["OUTBOX_PG_URL"]) for _ in range(_CONNECTIONS)]
        statements = [await connection.prepare(self._insert) for connection in connections]
        self._begun_at = self._loop.time() + _LEAD_SECONDS
        async with asyncio.TaskGroup() as group:
            for statement in statements:
                group.create_task(self._work(statement))
        seconds = self._loop.time() - self._begun_at
        for connection in connections:
            await connection.close()
        return seconds

    async def _work(self, statement: "asyncpg.prepared_stmt.PreparedStatement[asyncpg.Record]") -> None:
        for turn in self._turns:
            due_at = self._begun_at + turn * self._interval_seconds
            await self._until(due_at)
            self.lateness_seconds.append(max(self._loop.time() - due_at, 0.0))
            payload = f'{{"order":{1_000_000_000 + turn},"lines":"{self._padding}"}}'
            sequence = await statement.fetchval(f"SO-{turn % 5000}", payload)
            self._commits.add((sequence,), time.monotonic_ns())

    async def _until(self, moment: float) -> None:
        if moment > self._loop.time():
            due: asyncio.Future[None] = self._loop.create_future()
            self._loop.call_at(moment, due.set_result, None)
            await due


async def main(options: argparse.Namespace) -> None:
    """Commit, and print what was done."""
    with Stamps(options.commits) as commits:
        committer = Committer(
            commits,
            _INSERTS[options.table],
            rate=options.rate,
            seconds=options.seconds,
            payload_bytes=options.payload_bytes,
        )
        seconds = await committer.run()
    late_p99_ms = percentile(committer.lateness_seconds, 99) * 1000
    print(json.dumps({"seconds": seconds, "late_p99_ms": late_p99_ms}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.committer", description=__doc__)
    parser.add_argument("commits", type=Path, help="file that gets the moments of the answers")
    parser.add_argument("--table", choices=sorted(_INSERTS), default="outbox.event")
    parser.add_argument("--rate", type=int, default=1000, help="transactions per second (1000)")
    parser.add_argument("--seconds", type=float, default=5.0, help="for how long (5)")
    parser.add_argument("--payload-bytes", type=int, default=1024, help="size of a payload (1024)")
    uvloop.run(main(parser.parse_args()))
