"""A downstream service's own database: its role owns nothing else, and has installed what `outbox once sql` prints."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from outbox.postgres.scripts import once
from tests.kit.database import EMPTY, Database, fresh_database
from tests.kit.urls import with_user

_PASSWORD = "service"


@asynccontextmanager
async def service_database(pg_url: str) -> AsyncIterator[Database]:
    """Make a database that nobody has migrated, owned by a role without any other right."""
    role = f"service_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(pg_url)
    try:
        await admin.execute(f"create role {role} login password '{_PASSWORD}'")
        try:
            async with fresh_database(pg_url, template=EMPTY) as fresh:
                name = await fresh.value("select current_database()")
                await admin.execute(f"alter database {name} owner to {role}")
                service = Database(with_user(fresh.url, role, _PASSWORD))
                await install(service)
                yield service
        finally:
            await admin.execute(f"drop role {role}")
    finally:
        await admin.close()


async def install(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(once())
