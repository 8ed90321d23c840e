"""Whatever comes, there is an answer and it is no 500: requests by chance, and by our own document."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outbox.intake.problems import KINDS, Problem
from tests.kit.database import Database
from tests.kit.intake import SECTIONS, TOKEN, Partner, Reply, intake_settings, partner_of
from tests.kit.intake_requests import standard_headers

# A visible header value: what may come over the wire, as text or as bytes that are none.
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cs", "Cc"]), max_size=60)
NAMES = st.sampled_from(
    ["Content-Type", "Content-Encoding", "webhook-id", "webhook-timestamp", "webhook-signature", "Authorization",
     "Idempotency-Key", "traceparent", "X-Shopify-Hmac-Sha256", "X-Shopify-Topic", "Stripe-Signature",
     "X-HubSpot-Signature-v3", "X-HubSpot-Request-Timestamp", "X-Hub-Signature-256", "Accept", "Cookie"]
)  # fmt: skip
HEADERS = st.dictionaries(NAMES, VALUES, max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["type", "data", "order"]), inner),
    max_leaves=10,
)
EVENTS = st.builds(lambda kind, key: {"type": kind, "data": {"order": key}}, JSON, JSON)
BODIES = st.binary(max_size=200) | (JSON | EVENTS).map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
PATHS = st.sampled_from([*(f"/intake/{name}" for name in SECTIONS["sources"]), "/commands/order.cancel"]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=20
).map(lambda text: f"/intake/{text}")


ONE_INTAKE_FOR_ALL = settings(max_examples=300, suppress_health_check=list(HealthCheck))


@pytest.fixture
async def partner(database: Database, tmp_path: Path) -> AsyncIterator[Partner]:
    async with partner_of(database, intake_settings(database, tmp_path)) as ready:
        yield ready


async def expect_an_answer(partner: Partner, reply: Reply) -> None:
    """Check that it is 202 and the events are there, or a problem that is known and not our fault."""
    if reply.status == 202:
        ids = reply.document.get("event_ids") or [reply.document.get("event_id")]
        there = "select count(*) from outbox.event where event_id = any ($1::text[]::uuid[])"
        assert await partner.database.value(there, [one for one in ids if one]) == len({one for one in ids if one})
    else:
        assert KINDS[Problem(reply.problem)].status == reply.status
        assert 400 <= reply.status < 500


@ONE_INTAKE_FOR_ALL
@given(body=BODIES, path=PATHS, headers=HEADERS)
async def test_whatever_is_sent_is_answered_and_is_no_event_without_a_signature(
    partner: Partner, body: bytes, path: str, headers: dict[str, str]
) -> None:
    reply = await partner.post(quote(path), body, headers)
    await expect_an_answer(partner, reply)
    assert reply.status != 202


@ONE_INTAKE_FOR_ALL
@given(body=BODIES, headers=HEADERS)
async def test_whatever_is_signed_is_answered(partner: Partner, body: bytes, headers: dict[str, str]) -> None:
    signed = standard_headers(body, at=str(int(time.time())), name=f"m-{hash(body)}")
    others = {name: value for name, value in headers.items() if not name.startswith("webhook-")}
    await expect_an_answer(partner, await partner.post("/intake/partner", body, others | signed))


@ONE_INTAKE_FOR_ALL
@given(events=JSON | st.lists(EVENTS | st.just({"subscriptionType": "deal.creation", "objectId": 1, "portalId": 1})))
async def test_whatever_is_in_a_signed_list_is_answered(partner: Partner, events: object) -> None:
    await expect_an_answer(partner, await partner.crm(events))


@ONE_INTAKE_FOR_ALL
@given(body=BODIES, key=VALUES, headers=HEADERS)
async def test_whatever_a_client_commands_is_answered(
    partner: Partner, body: bytes, key: str, headers: dict[str, str]
) -> None:
    others = {name: value for name, value in headers.items() if name not in {"Authorization", "Idempotency-Key"}}
    await expect_an_answer(partner, await partner.command(body, key=key, kind="order.hold", **others))


async def test_requests_made_of_our_own_document_find_nothing_that_it_does_not_say(
    database: Database, tmp_path: Path
) -> None:
    sources = {name: source for name, source in SECTIONS["sources"].items() if name != "crm"}
    settings_without_address = intake_settings(database, tmp_path, public_url=None, sources=sources)
    async with partner_of(database, settings_without_address) as partner:
        assert partner.app.intake is not None
        address = f"http://127.0.0.1:{partner.app.intake.server.bound_port}"
        checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("schemathesis"),
            *("run", f"{address}/openapi.json", "--checks", checks, "--header", f"Authorization: Bearer {TOKEN}"),
            *("--max-examples", "60", "--seed", "7", "--generation-database", "none", "--no-color"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, out.decode()
        # Not only refusals: what keeps the document's rules is taken.
        assert await database.value("select count(*) > 5 from outbox.event where type like 'order.%'")
