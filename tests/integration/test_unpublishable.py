"""A batch with every kind of event that cannot be published somewhere in it: none of them blocks the rest, ever."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import pytest
from aio_pika.abc import AbstractIncomingMessage

from outbox.model.cursor import PageLimits
from outbox.model.errors import ExitCode
from outbox.model.lifecycle import Lifecycle, Unrouted, UnroutedSeen
from outbox.postgres.outbox_store import OutboxStore
from outbox.rabbitmq.publisher import Publisher, PublisherKind, RabbitBroker, Sending
from outbox.relay.leader import RelaySettings
from outbox.relay.loop import Relay
from outbox.supervisor import Service, Supervisor
from sandbox.private_rabbitmq import PrivateRabbitMQ
from tests.kit.broker import Broker, fresh_vhost
from tests.kit.database import Database
from tests.kit.own_broker import own_rabbitmq
from tests.kit.shared_servers import Addresses, addresses

KIB = 1024
EVENTS = 1000
KEYS = 20
FRAME_MAX = 4096
MAX_MESSAGE = 64 * KIB
READ_WHOLE = 128 * KIB
HARD_LIMIT = 256 * KIB
SEED = 4711
pytestmark = pytest.mark.xdist_group("unpublishable")


@dataclass(frozen=True, slots=True)
class Kind:
    """Where an event of this kind must end: in a queue (whole or as a reference), or rejected for a reason."""

    name: str
    headers: str | None = None
    payload_bytes: int = 20
    event_type: str = "order.confirmed"
    reason: str | None = None
    is_large: bool = False


BAD = (
    Kind("above the hard limit", payload_bytes=300 * KIB, reason="the limit rabbitmq.max_payload_bytes is"),
    Kind("half a character", headers=r'{"a": "\ud800"}', reason="a text is not valid Unicode"),
    Kind("deep headers", headers='{"a": ' + "[" * 2000 + "]" * 2000 + "}", reason="nested too deep"),
    Kind("copies", headers='{"CC": ["elsewhere"]}', reason="header CC is RabbitMQ's own"),
    Kind("blind copies", headers='{"BCC": "elsewhere"}', reason="header BCC is RabbitMQ's own"),
    Kind("no name", headers='{"": 1}', reason="has 0 bytes, AMQP takes 1 to 128"),
    Kind("long name", headers=json.dumps({"n" * 129: 1}), reason="has 129 bytes, AMQP takes 1 to 128"),
    Kind("large headers", headers=json.dumps({"a": "x" * 5000}), reason="this broker takes frames of 4096"),
    Kind("many headers", headers=json.dumps({f"h{n}": n for n in range(500)}), reason="takes frames of 4096"),
)
ODD = (
    Kind("zero byte", headers=r'{"a": "\u0000"}'),
    Kind("several frames", payload_bytes=20 * KIB),
    Kind("nobody has bound it", event_type="stock.moved"),
    # The first is read whole and refused by the broker, the second is not even read.
    Kind("above the broker's limit", payload_bytes=100 * KIB, is_large=True),
    Kind("above what is read", payload_bytes=200 * KIB, is_large=True),
)
GOOD = Kind("good")


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[PrivateRabbitMQ]:
    with own_rabbitmq() as server:
        # Asked for by each channel and connection when it begins.
        server.ctl(
            "eval",
            f"application:set_env(rabbit, max_message_size, {MAX_MESSAGE}),"
            f" persistent_term:put(max_message_size, {MAX_MESSAGE}),"
            f" application:set_env(rabbit, frame_max, {FRAME_MAX}).",
        )
        yield server


@pytest.fixture
async def small_broker(rabbitmq: PrivateRabbitMQ) -> AsyncIterator[Broker]:
    async with fresh_vhost(Addresses(addresses().pg_url, rabbitmq.url, rabbitmq.management_url)) as broker:
        yield broker


class _WithoutAlternate:
    """A broker whose alternate exchange leads nowhere, so that it returns what nobody has bound."""

    def __init__(self, inner: RabbitBroker, broker: Broker) -> None:
        self._inner = inner
        self._broker = broker

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator[Publisher]:
        async with self._inner.publisher() as publisher:
            async with self._broker.channel() as channel:
                await (await channel.get_queue("outbox.unrouted")).unbind("outbox.unrouted", "")
            yield publisher


def _batch(random: Random) -> list[Kind]:
    """Every kind at least three times, at random places among good ones."""
    kinds = [*(BAD + ODD) * 3, *random.choices(BAD + ODD, k=150)]
    kinds += [GOOD] * (EVENTS - len(kinds))
    random.shuffle(kinds)
    return kinds


async def _commit(database: Database, kinds: list[Kind]) -> None:
    async with database.connection() as erp:
        await erp.executemany(
            "insert into outbox.event (type, key, payload, headers)"
            " values ($1, $2, to_json(repeat('x', $3 - 2)), $4::text::json)",
            [(kind.event_type, f"K-{n % KEYS}", kind.payload_bytes, kind.headers) for n, kind in enumerate(kinds)],
        )


async def _drain(
    database: Database, broker: Broker, kind: PublisherKind, *, has_claim_check: bool, has_alternate: bool
) -> list[Lifecycle]:
    happened: list[Lifecycle] = []
    limits = (
        PageLimits(100, 1 << 20, READ_WHOLE, HARD_LIMIT) if has_claim_check else PageLimits(100, 1 << 20, HARD_LIMIT)
    )
    rabbit = RabbitBroker(
        broker.server,
        (),
        source="/t",
        name="test",
        report=happened.append,
        sending=Sending(kind, has_claim_check=has_claim_check),
    )
    relay = Relay(
        OutboxStore(database.server, limits),
        rabbit if has_alternate else _WithoutAlternate(rabbit, broker),
        RelaySettings(limits=limits, is_draining=True),
        happened.append,
    )
    supervisor = Supervisor([Service("relay", relay.run, ends_process=True)], grace_seconds=5, report=happened.append)
    assert await supervisor.run() is ExitCode.OK
    return happened


@pytest.mark.parametrize(
    ("publisher", "has_claim_check", "has_alternate"),
    [("batched", True, True), ("batched", False, False), ("plain", True, False)],
    ids=["claim check and alternate exchange", "neither", "plain, with claim check"],
)
async def test_every_event_of_a_mixed_batch_is_in_one_place_and_none_blocks_the_rest(
    database: Database, small_broker: Broker, publisher: PublisherKind, *, has_claim_check: bool, has_alternate: bool
) -> None:
    kinds = _batch(Random(SEED))
    await _bind_audit(small_broker)
    await _commit(database, kinds)

    happened = await _drain(
        database, small_broker, publisher, has_claim_check=has_claim_check, has_alternate=has_alternate
    )

    audit = _by_sequence(await small_broker.take("audit"))
    parked = _by_sequence(await small_broker.take("outbox.unrouted"))
    letters = _by_sequence(await small_broker.take("outbox.rejected"))
    rows = await database.rows("select sequence, reason from outbox.rejected order by sequence")
    rejected = {row["sequence"]: row["reason"] for row in rows}
    assert set(letters) == set(rejected)
    for sequence, kind in enumerate(kinds, 1):
        reason = kind.reason or ("this broker takes" if kind.is_large and not has_claim_check else None)
        places = [place for place in (audit, parked, rejected) if sequence in place]
        expected = rejected if reason else parked if kind.event_type == "stock.moved" else audit
        assert places == [expected], f"{sequence} {kind.name} (seed {SEED})"
        if reason:
            assert reason in rejected[sequence], kind.name
        else:
            _check_whole(expected[sequence], kind)
    for key in range(KEYS):
        of_key = [sequence for sequence in audit if (sequence - 1) % KEYS == key]
        assert of_key == sorted(of_key)
    by_hand = sum(isinstance(event, Unrouted) for event in happened)
    seen = [event for event in happened if isinstance(event, UnroutedSeen)]
    assert (by_hand > 0) is not has_alternate
    # Counted once, however they came there; what was sent again after the channel was lost is there again.
    assert by_hand + sum(event.arrived for event in seen) == seen[-1].messages >= len(parked)


async def _bind_audit(broker: Broker) -> None:
    async with RabbitBroker(broker.server, (), source="/t", name="test", report=lambda _: None).publisher():
        await broker.bind_audit("order.#")


def _by_sequence(messages: list[AbstractIncomingMessage]) -> dict[int, AbstractIncomingMessage]:
    """Return the first arrival of each event, in order of arrival."""
    found: dict[int, AbstractIncomingMessage] = {}
    for message in messages:
        sequence = message.headers["sequence"]
        assert isinstance(sequence, int)
        found.setdefault(sequence, message)
    return found


def _check_whole(message: object, kind: Kind) -> None:
    assert isinstance(message, AbstractIncomingMessage)
    if kind.is_large:
        assert (message.body, message.headers["x-outbox-payload-bytes"]) == (b"", kind.payload_bytes)
    else:
        assert len(message.body) == kind.payload_bytes
        assert "x-outbox-claim-check" not in message.headers
