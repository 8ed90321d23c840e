"""Whatever anybody puts into a flow's queue, the inbox takes it: as an event, or as a dead letter with a reason."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.inbox.arrival import arrival_of
from outbox.model.envelope import Message
from outbox.model.inbox import AcceptCounts, Arrival, DeadLetter
from outbox.postgres.inbox_store import InboxSession, InboxStore
from tests.kit.database import Database, fresh_database
from tests.kit.shared_servers import Addresses

FLOW = "orders"
LANES = 4
ME = "me"
MESSAGE_ID = "5f6b0f2e-8a8f-4b0e-9f0e-2d5a6c7b8e9f"
ENVELOPE: dict[str, object] = {"sequence": 7, "version": 1, "key": "SO-1"}

# The library decodes text strictly; NUL and lone surrogates are what JSON and databases choke on.
nasty = ["", "\0", "a\0b", "\ud800", "k" * 600, "\x1b[31m", "ü" * 256]
texts = st.text(st.characters(), max_size=20) | st.sampled_from(nasty)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.decimals(allow_nan=False) | st.sampled_from([Decimal("NaN"), Decimal("1e400")]),
    texts,
    st.binary(max_size=10),
    st.binary(max_size=5).map(bytearray),
    st.datetimes().map(lambda moment: moment.replace(tzinfo=UTC)),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
# Often nearly an envelope: the cases between proper and foreign are the interesting ones.
headers = st.one_of(
    st.dictionaries(texts, values, max_size=4),
    st.builds(
        lambda changed: ENVELOPE | changed,
        st.dictionaries(st.sampled_from(["sequence", "version", "key", "traceparent", "x"]), values, max_size=3),
    ),
)
messages = st.builds(
    Message,
    tag=st.integers(1, 2**63),
    body=st.binary(max_size=30),
    routing_key=texts,
    message_id=st.none() | texts | st.just(MESSAGE_ID),
    type=st.none() | texts,
    headers=headers,
)


class Inbox:
    """The inbox of one flow, for a test that is not asynchronous itself: Hypothesis calls it many times."""

    def __init__(self, runner: asyncio.Runner, session: InboxSession, database: Database) -> None:
        self._runner = runner
        self._session = session
        self._database = database

    def accept(self, arrivals: list[Arrival]) -> AcceptCounts:
        return self._runner.run(self._session.accept(arrivals))

    def dead_letters(self) -> list[DeadLetter]:
        """Read the letters whose copy is due, and note them as published."""

        async def read() -> list[DeadLetter]:
            await self._session.hold_lanes(ME, 60)
            letters = await self._session.dead_letters(ME, 1000)
            await self._session.dead_letters_published(letters)
            return letters

        return self._runner.run(read())

    def value(self, query: str, *arguments: object) -> object:
        return self._runner.run(self._database.value(query, *arguments))


@pytest.fixture(scope="module")
def inbox(servers: Addresses) -> Iterator[Inbox]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def open_inbox() -> Inbox:
            database = await stack.enter_async_context(fresh_database(servers.pg_url))
            session = await stack.enter_async_context(InboxStore(database.server).session(FLOW))
            await session.register(LANES)
            return Inbox(runner, session, database)

        yield runner.run(open_inbox())
        runner.run(stack.aclose())


@settings(deadline=None, max_examples=150)
@given(batch=st.lists(messages, min_size=1, max_size=4))
def test_the_inbox_takes_any_message_once_and_tells_why_one_is_dead(inbox: Inbox, batch: list[Message]) -> None:
    arrivals = [arrival_of(message) for message in batch]
    ids = {arrival.message_id for arrival in arrivals}
    query = "select count(*) from inbox.delivery where flow = $1 and message_id = any ($2)"
    known = inbox.value(query, FLOW, list(ids))

    counts = inbox.accept(arrivals)

    assert isinstance(known, int)
    assert counts.accepted == len(ids) - known
    assert counts.accepted + counts.duplicates == len(batch)
    assert inbox.value(query, FLOW, list(ids)) == len(ids)
    letters = inbox.dead_letters()
    assert len(letters) == counts.dead
    assert all(letter.reason and letter.reason_class in {"not_an_envelope", "stale"} for letter in letters)


@given(message=messages)
def test_a_message_arrives_whole_or_with_a_refusal_and_the_same_one_always_under_the_same_id(message: Message) -> None:
    arrival = arrival_of(message)

    assert arrival == arrival_of(message)
    assert arrival.body == message.body
    assert isinstance(json.loads(arrival.headers_json), dict)
    if arrival.refusal is None:
        assert (arrival.message_id, arrival.sequence) == (message.message_id, message.headers["sequence"])
        assert arrival.key == message.headers.get("key")
        assert arrival.type == (message.type or message.routing_key)
    else:
        # Nothing of a foreign message may hold back a key, or look like the proper message of its id.
        assert arrival.refusal.startswith("not an envelope: ")
        assert arrival.key is None
        assert arrival.message_id.startswith("sha256:")
        assert message.message_id != arrival.message_id


def message(*, message_id: str | None = MESSAGE_ID, event_type: str | None = "a", **changed: object) -> Message:
    given_headers = {name: value for name, value in (ENVELOPE | changed).items() if value is not ...}
    return Message(1, b"{}", "a.route", message_id, event_type, given_headers)


@pytest.mark.parametrize(
    ("foreign", "problem"),
    [
        (message(message_id=None), "property message_id is missing"),
        (message(message_id=""), "property message_id is missing"),
        (message(message_id="a\0b"), "property message_id is too long or has control characters"),
        (message(message_id="\ud800"), "property message_id is too long or has control characters"),
        (message(event_type="a\0b"), "property type is missing or has control characters"),
        (message(sequence=...), "header sequence is missing or not a whole number"),
        (message(sequence="7"), "header sequence is missing or not a whole number"),
        (message(sequence=True), "header sequence is missing or not a whole number"),
        (message(sequence=-1), "header sequence is missing or not a whole number"),
        (message(sequence=2**63), "header sequence is missing or not a whole number"),
        (message(version=0), "header version is not a positive whole number"),
        (message(version=2**31), "header version is not a positive whole number"),
        (message(key=""), "header key is not a text of 1 to 512 bytes"),
        (message(key=b"SO-1"), "header key is not a text of 1 to 512 bytes"),
        (message(key="ü" * 257), "header key is not a text of 1 to 512 bytes"),
        (message(key="a\0b"), "header key is not a text of 1 to 512 bytes"),
    ],
)
def test_what_makes_a_message_foreign_is_named(foreign: Message, problem: str) -> None:
    assert arrival_of(foreign).refusal == f"not an envelope: {problem}"


def test_every_problem_of_a_foreign_message_is_named() -> None:
    refusal = arrival_of(message(message_id=None, event_type="\n", sequence=None, version="x", key=7)).refusal

    assert refusal is not None
    assert refusal.count(";") == 4


def test_headers_that_json_cannot_say_are_kept_readable(inbox: Inbox) -> None:
    moment = datetime(2026, 8, 1, tzinfo=UTC)
    odd: Mapping[str, object] = {
        "nul": "a\0b",
        "bytes": b"\xff\x00",
        "table": {"list": [1, {"deep": None}], "moment": moment},
        "exact": Decimal("1.10"),
        "not a number": math.nan,
    }
    arrival = arrival_of(Message(1, b"{}", "a", "odd headers", "a", ENVELOPE | odd))

    assert inbox.accept([arrival]).accepted == 1

    stored = inbox.value(
        "select m.headers::text from inbox.message m join inbox.delivery d on d.id = m.delivery_id"
        " where d.message_id = 'odd headers'"
    )
    assert orjson.loads(str(stored)) == ENVELOPE | {
        "nul": "a\0b",
        "bytes": "/wA=",
        "table": {"list": [1, {"deep": None}], "moment": "2026-08-01T00:00:00+00:00"},
        "exact": "1.10",
        "not a number": None,
    }


@pytest.mark.parametrize(
    ("name", "value"), [("huge", 2**64), ("half", "\ud800"), ("deep", json.loads("[" * 500 + "]" * 500))]
)
def test_headers_that_cannot_be_kept_are_quoted_instead(inbox: Inbox, name: str, value: object) -> None:
    arrival = arrival_of(Message(1, b"{}", "a", f"quoted {name}", "a", ENVELOPE | {name: value}))

    assert inbox.accept([arrival]).accepted == 1
    assert arrival.refusal is None
    assert "'key': 'SO-1'" in json.loads(arrival.headers_json)["undecodable"]
