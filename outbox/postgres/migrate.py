"""Brings the schema to this program's version: numbered migrations once, functions whenever their text changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import asyncpg

from outbox.model.errors import Misconfigured
from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.errors import postgres_errors
from outbox.postgres.scripts import Script, functions, migrations

# "outb" in ASCII; the two-number form of advisory locks is ours alone, emit(ordered) uses the one-number form.
LOCK_CLASS = 0x6F757462
_MIGRATION_LOCK = 0
_LOCK_WAIT = "60s"
_NEEDS = "use a user who may create schemas in this database, for example its owner"

_LEDGER = """
create schema if not exists outbox_meta;
revoke all on schema outbox_meta from public;
create table if not exists outbox_meta.installed (
    name         text        primary key,
    number       integer     unique,
    sha256       text        not null,
    installed_at timestamptz not null default now()
);
comment on table outbox_meta.installed is 'SQL files that "outbox migrate" has applied.'
"""


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a run of migrate did, or would do; ``version`` is this program's."""

    applied: tuple[str, ...]
    replaced: tuple[str, ...]
    version: int


async def migrate(
    server: PostgresServer, *, is_dry_run: bool = False, on_step: Callable[[str], None] = lambda _: None
) -> MigrationReport:
    """Apply what is missing, in one transaction, under an advisory lock.

    Args:
        server: a user who may create schemas (and the group roles, unless they exist).
        is_dry_run: roll everything back at the end.
        on_step: told each file before it is applied.

    Raises:
        Misconfigured: the schema is newer than this program, or an applied migration was edited.
        AccessRefused: the user may not create what is missing.
        Unavailable: the server is away.
    """
    async with connect(server) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(f"set local lock_timeout = '{_LOCK_WAIT}'")
        await connection.execute("select pg_advisory_xact_lock($1, $2)", LOCK_CLASS, _MIGRATION_LOCK)
        with postgres_errors(str(server), needs=_NEEDS):
            await connection.execute(_LEDGER)
        report = await _apply(connection, server, on_step)
        if is_dry_run:
            await transaction.rollback()
        else:
            await transaction.commit()
        return report


async def compare(server: PostgresServer) -> MigrationReport:
    """Say what migrate would do, as a user who may do none of it.

    Raises:
        Misconfigured: there is no schema, or one that is newer than this program; an applied migration was edited.
        AccessRefused: the login is refused, or the user may not see what is installed.
        Unavailable: the server is away.
    """
    async with connect(server) as connection:
        with postgres_errors(str(server)):
            rows = await connection.fetch("select * from outbox.installed()")
    missing, different = _differences(server, rows)
    return MigrationReport(_names(missing), _names(different), _newest())


async def _apply(connection: Connection, server: PostgresServer, on_step: Callable[[str], None]) -> MigrationReport:
    rows = await connection.fetch("select name, number, sha256 from outbox_meta.installed")
    missing, different = _differences(server, rows)
    for kind, scripts in (("migration", missing), ("function", different)):
        for script in scripts:
            on_step(f"{kind} {script.name}")
            await _run(connection, server, script)
    return MigrationReport(_names(missing), _names(different), _newest())


def _differences(server: PostgresServer, rows: list[asyncpg.Record]) -> tuple[list[Script], list[Script]]:
    """Return the migrations that are missing and the functions whose text is another."""
    installed = {row["name"]: row["sha256"] for row in rows}
    newest = _newest()
    version = max((row["number"] for row in rows if row["number"] is not None), default=0)
    if version > newest:
        raise Misconfigured(
            f"{server}: the outbox schema has version {version}, this program knows versions up to {newest}",
            "run the newer release of outbox that migrated this database",
        )
    for script in migrations():
        if installed.get(script.name, script.sha256()) != script.sha256():
            raise Misconfigured(
                f"{server}: migration {script.name} was applied with another text",
                "migrations are never edited once released: restore the file, and put the change into a new one",
            )
    return (
        [script for script in migrations() if script.name not in installed],
        [script for script in functions() if installed.get(script.name) != script.sha256()],
    )


def _names(scripts: Iterable[Script]) -> tuple[str, ...]:
    return tuple(script.name for script in scripts)


def _newest() -> int:
    return migrations()[-1].number or 0


async def _run(connection: Connection, server: PostgresServer, script: Script) -> None:
    with postgres_errors(f"{server}, {script.name}.sql", needs=_NEEDS):
        await connection.execute(script.text)
    await connection.execute(
        "insert into outbox_meta.installed (name, number, sha256) values ($1, $2, $3) "
        "on conflict (name) do update set sha256 = excluded.sha256, installed_at = now()",
        script.name,
        script.number,
        script.sha256(),
    )
