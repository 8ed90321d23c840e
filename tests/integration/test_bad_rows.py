"""Rows that no application should write: an error at INSERT, or a visible dead letter; never a relay that is stuck."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import aio_pika
import asyncpg
import pytest
from aio_pika.abc import AbstractIncomingMessage

from outbox.model.errors import ExitCode
from outbox.rabbitmq.topology import declare
from tests.kit.broker import Broker
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.outbox import ONE_CHANNEL

MIB = 1024 * 1024
LIMIT = {"rabbitmq": {"max_payload_bytes": "1MiB"}, **ONE_CHANNEL}
# Right to left, marks that combine, joined emoji, blanks that are none, the last character of all.
ODD_TEXT = "\u202eאב\u202c عربى e\u0301 👩\u200d👩\u200d👧 \u00a0\ufeff\U0010ffff"


@dataclass(frozen=True, slots=True)
class Row:
    """``reason`` is None where the event must arrive as it was written."""

    what: str
    payload: str = '{"good": true}'
    key: str | None = "k"
    headers: str | None = None
    reason: str | None = None
    arrives_with: dict[str, object] | None = None


ROWS = (
    Row("good, before all"),
    Row("20 MiB", payload=json.dumps("x" * 20 * MIB), reason="payload has 20971522 bytes, the limit"),
    Row("good, behind a large one"),
    Row("exactly the limit", payload=json.dumps("x" * (MIB - 2))),
    Row("a byte more", payload=json.dumps("x" * (MIB - 1)), reason="payload has 1048577 bytes, the limit"),
    Row("spaces and digits", payload=' { "b" : 1.10 ,\n\t"a":1e400, "b":2 } '),
    Row("escapes that are no text", payload=r'{"nul": "\u0000", "half": "\ud800", "other half": "\udc00\ud800"}'),
    Row("odd characters", payload=json.dumps({ODD_TEXT: ODD_TEXT}, ensure_ascii=False), key=ODD_TEXT),
    Row("5000 levels", payload="[" * 5000 + "]" * 5000),
    Row("no object", payload="null", key=None),
    Row("longest key", key="ü" * 256),
    Row(
        "odd headers",
        headers=json.dumps({ODD_TEXT: ODD_TEXT, "nul": "\0", "": "no name"}, ensure_ascii=False),
        reason="header name '' has 0 bytes, AMQP takes 1 to 128",
    ),
    Row(
        "odd headers with names",
        headers=json.dumps({ODD_TEXT: ODD_TEXT, "nul": "\0"}, ensure_ascii=False),
        arrives_with={ODD_TEXT: ODD_TEXT, "nul": "\0"},
    ),
    Row("half a character in a header", headers=r'{"a": "\ud800"}', reason="a text is not valid Unicode"),
    Row("long name of a header", headers=json.dumps({"n" * 129: 1}), reason="has 129 bytes, AMQP takes 1 to 128"),
    Row("longest name of a header", headers=json.dumps({"n" * 128: 1}), arrives_with={"n" * 128: 1}),
    Row("deep headers", headers='{"a": ' + "[" * 2000 + "]" * 2000 + "}", reason="they are nested too deep"),
    Row(
        "headers of every kind",
        headers=r'{"list": [1.10, {"a": null}], "yes": true, "null": null, "small": -9223372036854775808,'
        r' "large": 18446744073709551617, "part": 1.10}',
        arrives_with={
            "list": '[1.10,{"a":null}]',
            "yes": True,
            "small": -(2**63),
            "large": "18446744073709551617",
            "part": "1.10",
        },
    ),
    Row(
        "headers that are ours",
        headers='{"sequence": "x", "key": "y", "version": 7, "cloudEvents_id": "z", "traceparent": "broken"}',
        arrives_with={"key": "k", "version": 1},
    ),
    Row("copies by header", headers='{"CC": "elsewhere"}', reason="header CC is RabbitMQ's own"),
    Row("blind copies by header", headers='{"BCC": ["elsewhere"]}', reason="header BCC is RabbitMQ's own"),
    Row("as many headers as fit", headers=json.dumps({f"{n:04}": n for n in range(2000)})),
    Row("good, behind all"),
)


async def test_every_row_arrives_as_it_was_written_or_is_rejected_visibly_and_none_is_stuck(
    cli: Cli, database: Database, broker: Broker
) -> None:
    async with await aio_pika.connect(broker.url) as connection:
        await declare(connection, "the broker", ())
    await broker.bind_audit()
    async with database.connection() as erp:
        await erp.executemany(
            "insert into outbox.event (type, key, payload, headers) values ('a', $1, $2::text::json, $3::text::json)",
            [(row.key, row.payload, row.headers) for row in ROWS],
        )
    cli = replace(cli, pg_url=database.url, amqp_url=broker.url)
    cli.settings(LIMIT)

    ended = await cli("relay", "--drain")

    assert ended.code == ExitCode.OK, ended.err
    arrived = await broker.take("audit")
    assert [_row(message).what for message in arrived] == [row.what for row in ROWS if row.reason is None]
    for message in arrived:
        row = _row(message)
        assert message.body == row.payload.encode(), row.what
        assert message.headers.get("key") == row.key, row.what
        assert {name: message.headers.get(name) for name in row.arrives_with or {}} == (row.arrives_with or {})
    await _check_rejected(database, await broker.take("outbox.rejected"))
    assert (await cli("status", "--json")).json()["stream"] | {"epoch": 0, "saved_age_seconds": 0} == {
        "stream": "outbox.event",
        "is_led": False,
        "epoch": 0,
        "waiting": 0,
        "oldest_age_seconds": 0,
        "saved_age_seconds": 0,
        "rejected": len([row for row in ROWS if row.reason is not None]),
    }
    assert "xxxx" not in ended.err
    groups = (await cli("rejected", "list", "--json")).json()
    assert sum(group["events"] for group in groups) == len([row for row in ROWS if row.reason is not None])
    sizes = [group for group in groups if group["newest_reason"].startswith("payload has")]
    assert [(group["events"], group["newest_sequences"]) for group in sizes] == [(2, [5, 2])]
    assert "payload has" in (await cli("rejected", "list")).out


async def _check_rejected(database: Database, letters: list[AbstractIncomingMessage]) -> None:
    """The table and the dead-letter queue tell the same story, and the queue holds no payload."""
    bad = [row for row in ROWS if row.reason is not None]
    recorded = await database.rows(
        "select sequence, event_id::text, reason, key from outbox.rejected order by sequence"
    )
    assert len(recorded) == len(letters) == len(bad)
    for row, record, letter in zip(bad, recorded, letters, strict=True):
        assert row.reason is not None
        assert row.reason in record["reason"], row.what
        assert (letter.message_id, letter.body) == (record["event_id"], b"")
        assert letter.headers["sequence"] == record["sequence"]
        assert letter.headers["x-outbox-reason"] == record["reason"]
        assert letter.headers["x-outbox-reason-class"] == "unpublishable"
        assert letter.headers["key"] == record["key"] == row.key


def _row(message: AbstractIncomingMessage) -> Row:
    sequence = message.headers["sequence"]
    assert isinstance(sequence, int)
    return ROWS[sequence - 1]


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("type", "", "event_type_is_a_routing_key"),
        ("type", "order confirmed", "event_type_is_a_routing_key"),
        ("type", "order.*", "event_type_is_a_routing_key"),
        ("type", "order.#", "event_type_is_a_routing_key"),
        ("type", "a\x7f", "event_type_is_a_routing_key"),
        ("type", "ü" * 128, "event_type_is_a_routing_key"),
        ("key", "", "event_key_fits"),
        ("key", "k" * 10_000, "event_key_fits"),
        ("key", "a\tb", "event_key_fits"),
        ("headers", "[]", "event_headers_are_a_small_object"),
        ("headers", "null", "event_headers_are_a_small_object"),
        ("headers", json.dumps({"a": "x" * 32_768}), "event_headers_are_a_small_object"),
    ],
)
async def test_what_could_never_be_published_is_refused_at_insert_with_a_rule_that_explains_itself(
    database: Database, column: str, value: object, rule: str
) -> None:
    row = {"type": "a", "key": "k", "version": 1, "headers": None} | {column: value}
    async with database.connection() as erp:
        with pytest.raises(asyncpg.CheckViolationError) as caught:
            await erp.execute(
                "insert into outbox.event (type, key, version, headers, payload) values ($1, $2, $3, $4, '{}')",
                *row.values(),
            )
        explanation = await erp.fetchval(
            "select obj_description(oid, 'pg_constraint') from pg_constraint where conname = $1", rule
        )

    assert caught.value.constraint_name == rule
    assert str(explanation).endswith(".")


async def test_a_version_counts_from_one(database: Database) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="event_version_is_positive"):
        await database.value("insert into outbox.event (type, version, payload) values ('a', 0, '{}')")


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ("no json", asyncpg.InvalidTextRepresentationError),
        ('{"a": NaN}', asyncpg.InvalidTextRepresentationError),
        ('"\x01"', asyncpg.InvalidTextRepresentationError),
        ('"a\x00b"', asyncpg.CharacterNotInRepertoireError),
        ("[" * 100_000 + "]" * 100_000, asyncpg.StatementTooComplexError),
    ],
    ids=["text", "NaN", "control character", "NUL", "100,000 levels"],
)
async def test_a_payload_that_is_no_json_is_refused_by_the_type(
    database: Database, payload: str, error: type[asyncpg.PostgresError]
) -> None:
    async with database.connection() as erp:
        with pytest.raises(error):
            await erp.execute("insert into outbox.event (type, payload) values ('a', $1::text::json)", payload)
