"""What is wrong is refused with a problem, counted, and can be found; nothing of it becomes an event."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.intake import Partner, intake_settings, order, partner_of
from tests.kit.intake_requests import standard_headers
from tests.kit.waiting import until

CANARY = "CANARY-0815"


@pytest.fixture
async def partner(database: Database, tmp_path: Path) -> AsyncIterator[Partner]:
    settings = intake_settings(database, tmp_path)
    async with partner_of(database, settings) as ready:
        yield ready
        assert await ready.events() == []


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        (b"[" * 10_000 + b"]" * 10_000, 422, "json-too-deep"),
        (b'{"type": "a", "type": "b"}', 422, "json-ambiguous"),
        (b'{"type": "order.placed", "n": 1e400}', 422, "json-number-out-of-range"),
        (b'{"type": "order.placed", "n": "\\u0000"}', 422, "json-text-unusable"),
        (b'{"type": "order.placed", "n": "\x00"}', 400, "json-malformed"),
        ('{"type": "ä"}'.encode("latin1"), 400, "json-malformed"),
        (b'{"type": "CANARY-0815 CANARY-0815", "data": {"order": 1}}', 422, "type-unusable"),
        (b'{"type": {"CANARY-0815": 1}, "data": {"order": 1}}', 422, "type-unusable"),
        (b'{"type": "order.placed"}', 422, "key-unusable"),
        (b'{"type": "order.placed", "data": {"order": "CANARY-0815\\n"}}', 422, "key-unusable"),
        (b'{"type": "order.placed", "data": {"order": ""}}', 422, "key-unusable"),
        (b'{"type": "order.placed", "data": {"order": "' + b"x" * 513 + b'"}}', 422, "key-unusable"),
        (b'["CANARY-0815"]', 422, "type-unusable"),
        (b"{" + b" " * 70_000 + b"}", 413, "body-too-large"),
        (b"", 400, "json-malformed"),
    ],
)
async def test_a_bad_body_with_a_good_signature_is_refused_with_its_reason(
    partner: Partner, body: bytes, status: int, problem: str
) -> None:
    reply = await partner.partner(body)
    assert (reply.status, reply.problem) == (status, problem)
    assert CANARY not in json.dumps(reply.document)
    assert (await partner.client.get(reply.document["type"])).status == 200


async def test_a_bomb_is_refused_before_it_is_unpacked_whole(partner: Partner) -> None:
    bomb = gzip.compress(b" " * 50_000_000, 9)
    assert len(bomb) < 64 * 1024
    reply = await partner.partner(bomb, **{"Content-Encoding": "gzip"})
    assert (reply.status, reply.problem) == (413, "body-too-large")


async def test_a_clock_that_is_wrong_on_either_side_is_told_by_the_clock_of_the_database(partner: Partner) -> None:
    for seconds, problem in ((-360, "timestamp-stale"), (360, "timestamp-early"), (-1e9, "timestamp-stale")):
        reply = await partner.partner(order(), seconds=seconds)
        assert (reply.status, reply.problem) == (401, problem)
        assert reply.headers["WWW-Authenticate"] == 'Signature realm="outbox"'
        assert "300 s from the database's clock" in reply.document["detail"]


async def test_the_clock_of_this_machine_has_no_say(partner: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = standard_headers(order(), at=str(int(time.time()) - 3600))
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert (await partner.post("/intake/partner", order(), headers)).problem == "timestamp-stale"


async def test_a_signature_over_other_bytes_is_refused_before_anything_is_parsed(partner: Partner) -> None:
    signed = standard_headers(order(), at=str(int(time.time())))
    for body in (order() + b"\n", b"[" * 10_000, json.dumps(json.loads(order()), indent=1).encode()):
        assert (await partner.post("/intake/partner", body, signed)).problem == "signature-invalid"


async def test_what_is_not_declared_as_json_in_utf_8_is_refused(partner: Partner) -> None:
    for content_type, problem in (
        ("text/plain", "content-type-unsupported"),
        ("application/json; charset=utf-16", "charset-unsupported"),
    ):
        reply = await partner.partner(order(), **{"Content-Type": content_type})
        assert (reply.status, reply.problem) == (415, problem)
    reply = await partner.partner(order(), **{"Content-Encoding": "br"})
    assert (reply.status, reply.headers["Accept-Encoding"]) == (415, "gzip, deflate")


async def test_what_is_not_there_is_told_as_a_problem_too(partner: Partner) -> None:
    assert (await partner.post("/intake/nobody", b"{}")).problem == "unknown-source"
    assert (await partner.post("/intake/", b"{}")).problem == "unknown-source"
    assert (await partner.post("/anything", b"{}")).problem == "not-found"
    async with partner.client.get("/intake/partner") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")


async def test_what_was_refused_can_be_found_and_holds_nothing_of_the_body(
    partner: Partner, cli: Cli, database: Database
) -> None:
    headers = standard_headers(order(), at=str(int(time.time()))) | {"webhook-signature": f"v1,{CANARY}"}
    body = b'{"secret": "CANARY-0815"}'
    for _ in range(3):
        assert (await partner.post(f"/intake/partner?{CANARY}", body, headers)).status == 401
    assert (await partner.post(f"/intake/{CANARY}", body, {"X-Own": CANARY})).status == 404

    async def noted() -> bool:
        return await database.value("select coalesce(sum(requests), 0) from intake.refused") == 4

    await until(noted, what="four refusals are noted")
    rows = await database.rows("select r::text as whole, r.* from intake.refused r order by id")
    assert all(CANARY not in row["whole"] for row in rows)
    known = Cli(cli.folder, pg_url=database.url)
    shown = (await known("intake", "refused", "--source", "partner", "--since", "1h", "--json")).json()
    assert {(row["source"], row["reason"], row["status"], row["remote"]) for row in shown} == {
        ("partner", "signature-invalid", 401, "127.0.0.1")
    }
    assert sum(row["requests"] for row in shown) == 3
    assert "webhook-signature" in shown[0]["header_names"]
    nobody = (await known("intake", "refused", "--reason", "unknown-source", "--json")).json()
    assert [row["source"] for row in nobody] == [""]
    assert (await known("intake", "refused", "--since", "1970-01-01", "--source", "shop", "--json")).json() == []
    assert "is none of" in (await known("intake", "refused", "--reason", "x")).err
    assert "Refused requests" in (await known("intake", "refused")).out
    metrics = partner.app.metrics.exposition().decode()
    assert 'intake_refused_requests_total{problem="signature-invalid",source="partner"} 3.0' in metrics
    assert 'intake_refused_requests_total{problem="unknown-source",source="unknown"} 1.0' in metrics
