"""Brings the schema to this program's version: numbered migrations once, functions whenever their text changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
    """What a run of migrate did, or would do."""

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


async def _apply(connection: Connection, server: PostgresServer, on_step: Callable[[str], None]) -> MigrationReport:
    rows = await connection.fetch("select name, number, sha256 from outbox_meta.installed")
    installed = {row["name"]: row["sha256"] for row in rows}
    known = migrations()
    newest = known[-1].number or 0
    version = max((row["number"] for row in rows if row["number"] is not None), default=0)
    if version > newest:
        raise Misconfigured(
            f"{server}: the outbox schema has version {version}, this program knows versions up to {newest}",
            "run the newer release of outbox that migrated this database",
        )
    applied: list[str] = []
    for script in known:
        if script.name not in installed:
            on_step(f"migration {script.name}")
            await _run(connection, server, script)
            applied.append(script.name)
        elif installed[script.name] != script.sha256():
            raise Misconfigured(
                f"{server}: migration {script.name} was applied with another text",
                "migrations are never edited once released: restore the file, and put the change into a new one",
            )
    replaced: list[str] = []
    for script in functions():
        if installed.get(script.name) != script.sha256():
            on_step(f"function {script.name}")
            await _run(connection, server, script)
            replaced.append(script.name)
    return MigrationReport(tuple(applied), tuple(replaced), newest)


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
