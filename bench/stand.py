"""Everything a measurement stands on: servers, a database of its own, the queue, the programs, strangers."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from bench.plan import Condition
from bench.queue import BenchQueue, open_queue
from outbox.postgres.connection import PostgresServer
from outbox.postgres.migrate import migrate
from sandbox.demo_audit import Audit
from sandbox.demo_programs import Leash, Program
from sandbox.servers import Servers

_SCHEMA = Path(__file__).with_name("sql") / "schema.sql"

# As a production server of this size would have them; the defaults are for a machine of twenty years ago. All of them
# take effect without a restart, and they are the same for every contender.
POSTGRES_SETTINGS = {
    "max_wal_size": "8GB",
    # What was laid in is kept.
    "min_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "autovacuum_naptime": "5s",
}
# A new server makes each file of its log when it is reached: 16 MiB of zeros, for which every commit waits.
# One that has run for a while has them.
_LOG_FILES = 100


@dataclass(frozen=True, slots=True)
class Database:
    """A migrated database with the benchmark's own schema."""

    url: str

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Open a connection whose statements may take long."""
        connection = await asyncpg.connect(self.url)
        try:
            yield connection
        finally:
            await connection.close()

    async def value(self, statement: str, *arguments: object) -> object:
        """Return one value."""
        async with self.connection() as connection:
            return await connection.fetchval(statement, *arguments)

    async def number(self, statement: str, *arguments: object) -> int:
        """Return one whole number."""
        async with self.connection() as connection:
            return int(await connection.fetchval(statement, *arguments))

    @asynccontextmanager
    async def stranger(self, condition: Condition) -> AsyncIterator[None]:
        """Keep somebody else's transaction open for the length of the block."""
        async with self.connection() as connection:
            match condition:
                case Condition.QUIET:
                    yield
                case Condition.XID:
                    async with connection.transaction():
                        await connection.fetchval("select pg_current_xact_id()::text")
                        yield
                case Condition.SNAPSHOT:
                    async with connection.transaction(isolation="repeatable_read", readonly=True):
                        await connection.fetchval("select count(*) from pg_class")
                        yield


class Stand:
    """The servers of one run, and what is started on them."""

    def __init__(self, servers: Servers, queue: BenchQueue, leash: Leash, limit: Path | None) -> None:
        self.servers = servers
        self.queue = queue
        self.folder = leash.folder
        self.limit = limit
        self._leash = leash

    def program(
        self,
        name: str,
        command: list[str | Path],
        database: Database | None,
        variables: Mapping[str, str] | None = None,
    ) -> Program:
        """Prepare a program that ends with this run, whatever happens."""
        addresses = {
            "OUTBOX_PG_URL": database.url if database is not None else self.servers.pg_url,
            "OUTBOX_AMQP_URL": self.servers.amqp_url,
            # Any free port: others may run a sidecar here.
            "OUTBOX_HTTP_PORT": "0",
        }
        return Program(
            name, command, variables=addresses | dict(variables or {}), folder=self.folder, leash=self._leash
        )

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        """Make a database; it goes with the block."""
        name = f"bench_{secrets.token_hex(4)}"
        admin = await asyncpg.connect(self.servers.pg_url)
        try:
            await admin.execute(f"create database {name}")
            try:
                yield await _installed(urlunsplit(urlsplit(self.servers.pg_url)._replace(path=f"/{name}")))
            finally:
                await admin.execute(f"drop database {name} with (force)")
        finally:
            await admin.close()


@asynccontextmanager
async def open_stand(servers: Servers, leash: Leash, limit: Path | None) -> AsyncIterator[Stand]:
    """Build the stand on servers that run, and take down what it added to them.

    Raises:
        SandboxError: the broker is not the run's own and a sidecar works on it.
    """
    async with AsyncExitStack() as stack:
        if servers.rabbitmq is None:
            audit = Audit(servers.amqp_url)
            stack.push_async_callback(audit.close)
            await audit.require_unused_broker()
            stack.push_async_callback(audit.remove_topology)
        if servers.postgres is not None:
            await _tune(servers.pg_url)
        queue = await stack.enter_async_context(open_queue(servers.amqp_url))
        yield Stand(servers, queue, leash, limit)


async def _installed(url: str) -> Database:
    await migrate(PostgresServer(url))
    database = Database(url)
    async with database.connection() as connection:
        await connection.execute(_SCHEMA.read_text(encoding="utf-8"))
    return database


async def _tune(pg_url: str) -> None:
    admin = await asyncpg.connect(pg_url)
    try:
        for name, value in POSTGRES_SETTINGS.items():
            await admin.execute(f"alter system set {name} = '{value}'")
        await admin.fetchval("select pg_reload_conf()")
        for _ in range(_LOG_FILES):
            # A file without a record would not be given up.
            await admin.execute("select pg_logical_emit_message(false, 'bench', '')")
            await admin.execute("select pg_switch_wal()")
        # Makes the next files of those that were used up.
        await admin.execute("checkpoint")
    finally:
        await admin.close()
