"""Failures are grouped by cause: what differs from message to message is left out, what tells causes apart stays."""

from __future__ import annotations

import pytest

from tests.kit.database import Database

SAME = [
    ("answered 422: customer 17 is unknown", "answered 422: customer 4711 is unknown"),
    ("order 0b7c8a8e-9d2f-4b7e-8a61-5f0d1c2b3a4e exists", "order 11111111-2222-3333-4444-555555555555 exists"),
    ("customer 'Müller' is blocked, 12 left", "customer 'O Brien' is blocked, 9 left"),
    ('Customer "Alice" does not exist', 'Customer "Bob & Co" does not exist'),
    ("no mail to alice@example.com", "no mail to bob.b@example.org"),
    ("until 2026-11-21T10:00:00.123Z closed", "until 2025-01-01 00:00:00+02:00 closed"),
    ("request 4fae2b9c01de failed", "request 0x1F failed"),
    ("token eyJhbGciOiJIUzI1NiIsInR5cCI6 expired", "token QWxhZGRpbjpvcGVuIHNlc2FtZQ0 expired"),
    ('answered 400: {"error": "too long", "max": 10}', 'answered 400: {"error": "too long", "max": 200}'),
    ("amount 10.50 exceeds 1,000.00", "amount 7 exceeds 30"),
    ("key SO-1001 is taken", "key SO-9 is taken"),
]
DIFFERENT = [
    ("answered 422", "answered 409"),
    ('answered 400: {"error": "too long"}', 'answered 400: {"error": "too short"}'),
    ("the target's key isn't known", "the target's key isn't valid"),
    ("ERR_CUSTOMER_LOCKED", "ERR_CUSTOMER_GONE"),
]


async def test_reasons_that_differ_by_values_only_have_one_cause(database: Database) -> None:
    async with database.connection() as connection:

        async def group(reason: str, reason_class: str = "rejected", flow: str = "orders") -> object:
            return await connection.fetchval("select inbox.reason_group($1, $2, $3)", flow, reason_class, reason)

        for one, other in SAME:
            assert await group(one) == await group(other), (one, other)
        for one, other in DIFFERENT:
            assert await group(one) != await group(other), (one, other)
        assert await group("no") != await group("no", "retry")
        assert await group("no") != await group("no", flow="stock")
        assert await group("field 'a.b': is missing", "mapping") != await group("field 'a.c': is missing", "mapping")
        assert await group("field 'l.1.b': is missing", "mapping") == await group(
            "field 'l.22.b': is missing", "mapping"
        )


@pytest.mark.parametrize(
    "reason", ["", "'", '"' * 999, "'" * 1001, "a" * 100_000, "1" * 100_000, "\\1 \\0 &", "{[,:" * 250, "é" * 2000]
)
async def test_any_text_has_a_cause_and_soon(database: Database, reason: str) -> None:
    async with database.connection() as connection, connection.transaction():
        await connection.execute("set local statement_timeout = '10s'")
        assert len(str(await connection.fetchval("select inbox.reason_group('f', 'c', $1)", reason))) == 10
