"""A downstream service: its database, its consumer from docs/consuming.md as a process, and its effects."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.node import NODE_LOCK, find_node, node_packages
from tests.kit.broker import Broker
from tests.kit.database import Database
from tests.kit.process import Process
from tests.kit.service import service_database
from tests.kit.waiting import until

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "consuming.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
QUEUE = "billing"
# Nothing but once() keeps a second effect out.
_TABLE = "create table invoice (id bigserial, event_id text not null, order_ref text not null, amount numeric not null)"


def blocks(language: str) -> list[str]:
    return [code for name, code in BLOCKS if name == language]


@dataclass(frozen=True, slots=True)
class Consumer:
    """How to start one: the command, to which the name of a message is added whose ack never ends."""

    command: Sequence[str]
    folder: Path


@dataclass(frozen=True, slots=True)
class Service:
    database: Database
    broker: Broker
    consumer: Consumer

    @asynccontextmanager
    async def consuming(self, *, hang_at: str = "", amqp_url: str = "") -> AsyncIterator[Process]:
        """Run the consumer for the length of the block, at the end of which it is killed."""
        process = await Process.start(
            "consumer",
            [hang_at] if hang_at else [],
            env={
                **os.environ,
                "AMQP_URL": amqp_url or self.broker.url,
                "DATABASE_URL": self.database.url,
                "PYTHONPATH": str(ROOT),
            },
            folder=self.consumer.folder,
            command=self.consumer.command,
        )
        try:
            await process.logged("consuming")
            yield process
        finally:
            await process.kill()

    async def invoices(self) -> list[tuple[str, str]]:
        """Return event and order of every effect, in the order in which they were made."""
        rows = await self.database.rows("select event_id, order_ref from invoice order by id")
        return [(row["event_id"], row["order_ref"]) for row in rows]


def python_consumer(folder: Path) -> Consumer:
    (code,) = (code for code in blocks("python") if "asyncio.run" in code)
    file = folder / "billing.py"
    file.write_text(code, encoding="utf-8")
    return Consumer((sys.executable, "-m", "tests.kit.observed_consumer", str(file)), folder)


def node_consumer(folder: Path) -> Consumer:
    """Write the consumer beside the packages that it imports; without Node or the packages, skip the test."""
    node = find_node()
    if node is None:
        pytest.skip('needs Node 18 or newer: "make test" installs a wheel with it; else install nodejs and npm')
    try:
        packages = node_packages(node)
    except SandboxError as error:
        pytest.skip(f"needs amqplib and pg from npm: {error}")
    (folder / "node_modules").symlink_to(packages)
    for name, code in zip(("billing.mjs", "payload.mjs"), sorted(blocks("js"), key=_is_payload), strict=True):
        (folder / name).write_text(code, encoding="utf-8")
    shutil.copy(NODE_LOCK / "observe.mjs", folder)
    return Consumer((str(node.program), "--import", "./observe.mjs", "billing.mjs"), folder)


def _is_payload(code: str) -> bool:
    return "function payload" in code


@asynccontextmanager
async def downstream(pg_url: str, broker: Broker, consumer: Consumer) -> AsyncIterator[Service]:
    async with service_database(pg_url) as database:
        async with database.connection() as connection:
            await connection.execute(_TABLE)
        yield Service(database, broker, consumer)


async def acknowledged(process: Process, event_ids: set[str]) -> None:
    """Wait until a consumer has begun to acknowledge all of these, whatever else it acknowledged."""

    async def are_told() -> bool:
        return event_ids <= {str(line["message_id"]) for line in process.find("acknowledging")}

    await until(are_told, what=f"{len(event_ids)} messages are acknowledged\n{process.tail()}")
