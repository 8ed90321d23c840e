"""A database for one test, cloned from the migrated template."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from outbox.postgres.connection import PostgresServer
from tests.kit.shared_servers import TEMPLATE
from tests.kit.urls import with_database

EMPTY = "template0"


@dataclass(frozen=True, slots=True)
class Database:
    url: str

    @property
    def server(self) -> PostgresServer:
        return PostgresServer(self.url)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.url)
        try:
            yield connection
        finally:
            await connection.close()

    async def value(self, query: str, *arguments: object) -> object:
        async with self.connection() as connection:
            return await connection.fetchval(query, *arguments)

    async def rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        async with self.connection() as connection:
            return await connection.fetch(query, *arguments)


# A clone's first partition is as old as the template: after midnight it would be yesterday's, and upkeep would open the
# next one for the day, unasked.
_OPENED_NOW = "update outbox.partition set opened_at = clock_timestamp() where number = 0"


@asynccontextmanager
async def fresh_database(pg_url: str, *, template: str = TEMPLATE) -> AsyncIterator[Database]:
    name = f"test_{uuid.uuid4().hex[:16]}"
    admin = await asyncpg.connect(pg_url)
    try:
        # Copying files is less work than writing every page of them, and to the log too.
        await admin.execute(f"create database {name} template {template} strategy file_copy")
        try:
            database = Database(with_database(pg_url, name))
            if template != EMPTY:
                await database.value(_OPENED_NOW)
            yield database
        finally:
            await admin.execute(f"drop database {name} with (force)")
    finally:
        await admin.close()
