"""Every block of code in docs/writing.md is run, against the table of an application like Odoo."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
import sqlalchemy
from django.db import connections
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.kit.database import Database
from tests.kit.django_app import django_connections

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "writing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
PYTHON = [code for language, code in BLOCKS if language == "python"]
SQL = [code for language, code in BLOCKS if language == "sql"]
NAME = "SO-1001"

_ODOO = f"""
create table sale_order (
    id serial primary key, name varchar not null, state varchar default 'draft', partner_id integer not null default 1,
    amount_total numeric, create_uid integer, write_uid integer, write_date timestamp default now()
);
insert into sale_order (name, amount_total) values ('{NAME}', 12.50);
"""


@asynccontextmanager
async def of_psycopg(url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield connection


@asynccontextmanager
async def of_asyncpg(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@asynccontextmanager
async def of_sqlalchemy(url: str) -> AsyncIterator[AsyncSession]:
    engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
    async with AsyncSession(engine) as session:
        yield session
    await engine.dispose()


def psycopg_blocking(url: str, confirm: Callable[..., None]) -> None:
    with psycopg.connect(url) as connection:
        confirm(connection, NAME)


def sqlalchemy_blocking(url: str, confirm: Callable[..., None]) -> None:
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with Session(engine) as session:
        confirm(session, NAME)
    engine.dispose()


def django_blocking(url: str, confirm: Callable[..., None]) -> None:
    connection = django_connections(url)["default"]
    # Where a project has its databases, so that transaction.atomic() finds them.
    connections["default"] = connection
    try:
        confirm(connection, NAME)
    finally:
        connection.close()
        del connections["default"]


def runner(code: str) -> Any:  # noqa: ANN401 - a way to open any library's connection
    """Find the library by what the text in front of the block says."""
    lead = TEXT.partition(code)[0].rpartition("```python")[0].rstrip().rpartition("\n\n")[2]
    ways = {
        "asyncpg": of_asyncpg,
        "psycopg, `AsyncConnection`": of_psycopg,
        "psycopg, `Connection`": psycopg_blocking,
        "SQLAlchemy, `AsyncSession`": of_sqlalchemy,
        "SQLAlchemy, `Session`": sqlalchemy_blocking,
        "Django": django_blocking,
    }
    (way,) = (way for name, way in ways.items() if lead.startswith(name))
    return way


@pytest.mark.parametrize("number", range(len(PYTHON)), ids=lambda n: runner(PYTHON[n]).__name__)
async def test_a_recipe_in_python_commits_the_change_and_its_event(database: Database, number: int) -> None:
    await _make(database)
    space: dict[str, Any] = {}
    exec(PYTHON[number], space)  # noqa: S102 - the documentation's own code
    confirm, way = space["confirm"], runner(PYTHON[number])
    if inspect.iscoroutinefunction(confirm):
        async with way(database.url) as connection:
            await confirm(connection, NAME)
    else:
        await asyncio.to_thread(way, database.url, confirm)

    (row,) = await database.rows("select * from outbox.event")
    assert (row["type"], row["key"], json.loads(row["payload"])["name"]) == ("order.confirmed", NAME, NAME)
    assert await database.value("select state from sale_order") == "sale"
    transactions = (
        "select count(distinct x::text) from (select xmin from sale_order union select xmin from outbox.event) t(x)"
    )
    assert await database.value(transactions) == 1


async def test_the_recipes_in_sql_work_from_top_to_bottom(database: Database) -> None:
    await _make(database)
    emitted, captured, once = SQL
    async with database.connection() as erp:
        await erp.execute(emitted)
        await erp.execute(captured)
        await erp.execute("update sale_order set state = 'done', write_uid = 2, write_date = now()")
        await erp.execute("update sale_order set write_uid = 3")
        for _ in range(2):
            await erp.execute(once)
        rows = await erp.fetch("select type, key, payload from outbox.event order by id")
    assert [(row["type"], row["key"]) for row in rows] == [
        ("order.confirmed", NAME),
        ("order.updated", "1"),
        ("order.confirmed", NAME),
    ]
    assert json.loads(rows[1]["payload"])["old"] == {"state": "sale"}


async def test_the_example_of_a_captured_event_is_what_a_capture_writes(database: Database) -> None:
    (example,) = [code for language, code in BLOCKS if language == "json"]
    async with database.connection() as erp:
        await erp.execute("create table sale_order (id int primary key, name text, state text)")
        await erp.execute(f"insert into sale_order values (7, '{NAME}', 'draft')")
        await erp.execute("select outbox.capture('sale_order', type => 'order', key => 'id')")
        await erp.execute("update sale_order set state = 'sale'")
        assert await erp.fetchval("select payload from outbox.event") == example.strip()


async def _make(database: Database) -> None:
    async with database.connection() as erp:
        await erp.execute(_ODOO)
