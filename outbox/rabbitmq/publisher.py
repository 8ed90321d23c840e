"""Publishing with proof: a message counts as sent when the broker has confirmed it and routed it to a queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractConnection as AbstractTransport

from outbox.model.envelope import Envelope, RefusedEvent, shared_headers
from outbox.model.errors import PublishNotConfirmed, Unavailable, Unpublishable
from outbox.model.inbox import DeadLetter
from outbox.model.lifecycle import PublishingBlocked, PublishingRefused, PublishingUnblocked, Report, Unrouted
from outbox.model.witness import Witness
from outbox.rabbitmq.batched import BatchedSender, own_channel
from outbox.rabbitmq.connection import RabbitServer, connect, open_channel
from outbox.rabbitmq.errors import rabbitmq_errors
from outbox.rabbitmq.messages import dead_message, event_message, fitted, rejected_message
from outbox.rabbitmq.patience import Patience
from outbox.rabbitmq.plain import PlainSender
from outbox.rabbitmq.size_limits import SizeLimits
from outbox.rabbitmq.topology import UNROUTED, FlowRoute, ensure
from outbox.rabbitmq.unrouted_watch import UnroutedWatch
from outbox.rabbitmq.wire import Outgoing, Shared
from outbox.rabbitmq.witness import BrokerWitness

PublisherKind = Literal["batched", "plain"]


@dataclass(frozen=True, slots=True)
class Sending:
    """How messages are sent.

    Args:
        kind: a page in one write, or each message by the client library's own publish.
        channels: over how many a page is spread by key; only where it is one write.
        has_claim_check: whether a payload that is too large for the broker may stay in the outbox.
    """

    kind: PublisherKind = "batched"
    channels: int = 2
    has_claim_check: bool = False


# How often a wait for confirms looks whether the broker has blocked this connection, and the time for that look.
_LOOK_SECONDS = 1.0
_LOOK_FOR_SECONDS = 0.01
_TYPES_REMEMBERED = 1024


class _Bundle(Protocol):
    """Messages that are sent together; see `BatchedBundle`."""

    def add(self, message: Outgoing) -> None: ...
    def add_event(self, event: Envelope, shared: Shared) -> None: ...
    async def send(self) -> Sequence[int]: ...


class _Sender(Protocol):
    """A channel that answers for each message."""

    def bundle(self) -> _Bundle: ...


class Publisher:
    """One channel with confirms. After any error it is not used again: its owner opens another."""

    def __init__(
        self,
        server: RabbitServer,
        connection: AbstractConnection,
        sender: _Sender,
        limits: SizeLimits,
        watch: UnroutedWatch,
        *,
        source: str,
        report: Report,
        lane: int = 0,
    ) -> None:
        self._server = server
        # Worked out once: it is asked for with every page.
        self._name = str(server)
        self._connection = connection
        self._watch = watch
        if connection.transport is None:
            raise Unavailable(str(server), "the connection broke")
        self._transport: AbstractTransport = connection.transport.connection
        self._sender = sender
        self._limits = limits
        self._source = source
        self._report = report
        self._witness = BrokerWitness(connection, server, report, lane=lane)
        self._blocked_since: float | None = None
        self._shared = lru_cache(_TYPES_REMEMBERED)(self._share)

    async def publish(self, events: Sequence[Envelope]) -> Sequence[RefusedEvent]:
        """Send a page, each key in order, and return when every message is confirmed and in a queue.

        Several calls may be under way; they are sent in the order of the calls.

        Returns:
            The events that this broker will never take; nothing of them was sent.

        Raises:
            PublishNotConfirmed: at least one was refused; all of them may be sent again.
            Unavailable: the broker went away; the same.
        """
        refused: list[RefusedEvent] = []
        sent: list[Envelope] = []
        bundle = self._sender.bundle()
        for event in events:
            try:
                fitting = event if self._limits.take(event) else self._smaller(event)
                bundle.add_event(fitting, self._shared(event.type, event.version))
            except Unpublishable as error:
                refused.append(
                    RefusedEvent(event.message_id, event.sequence, event.type, event.version, event.key, error.reason)
                )
            else:
                sent.append(fitting)
        if sent:
            await self._park([sent[position] for position in await self._send(bundle)])
        return refused

    async def publish_rejected(self, event: RefusedEvent) -> None:
        """Tell the dead-letter exchange of an event that cannot become a message; its payload stays in the outbox."""
        await self._send_routed([self._fitted(rejected_message(event))])

    async def publish_dead(self, letters: Sequence[DeadLetter]) -> None:
        """Send the copies of dead deliveries and return when every one is confirmed and in its queue."""
        largest = self._limits.max_body_bytes
        await self._send_routed([self._fitted(dead_message(letter.fitting(largest))) for letter in letters])

    async def look_at_unrouted(self) -> None:
        """Count and report what waits in outbox.unrouted."""
        await self._watch.look(self._connection)

    def _smaller(self, event: Envelope) -> Envelope:
        """Leave the payload of an event that is too large for this broker in the outbox, if consumers know that."""
        if not self._limits.has_claim_check:
            raise self._limits.refusal(event)
        return event.claimed()

    async def recall(self, origin: str) -> Witness | None:
        """Return what the broker remembers as published from this outbox; None: nothing."""
        return await self._witness.recall(origin)

    async def remember(self, origin: str, witness: Witness) -> None:
        """Have the broker remember what is published, and return when it is stored; `recall` comes first."""
        if self._witness.is_there:
            fitting = witness.within(origin, self._limits.max_body_bytes)
            await self._send_routed([self._witness.message(origin, fitting)])

    def _fitted(self, letter: Outgoing) -> Outgoing:
        """Shorten the headers of a dead letter that would not fit into a frame; there is no other place for it."""
        try:
            self._sender.bundle().add(letter._replace(body=b""))
        except Unpublishable:
            return fitted(letter, self._transport.connection_tune.frame_max or 0)
        return letter

    def _share(self, event_type: str, version: int) -> Shared:
        return Shared(shared_headers(event_type, version, source=self._source))

    async def _park(self, returned: Sequence[Envelope]) -> None:
        """Keep what was routed nowhere: no alternate exchange took it, so that is done by hand."""
        if not returned:
            return
        messages = [event_message(event, self._shared(event.type, event.version)) for event in returned]
        await self._send_routed([message._replace(exchange="", routing_key=UNROUTED) for message in messages])
        self._watch.parked(len(returned))
        for event in returned:
            self._report(Unrouted(event.message_id, event.type))

    async def _send_routed(self, messages: Sequence[Outgoing]) -> None:
        bundle = self._sender.bundle()
        for message in messages:
            bundle.add(message)
        for position in await self._send(bundle):
            message = messages[position]
            raise PublishNotConfirmed(
                f"{self._name} has no queue for {message.exchange or 'the default exchange'} / {message.routing_key}"
            )

    async def _send(self, bundle: _Bundle) -> Sequence[int]:
        with rabbitmq_errors(self._name):
            try:
                async with asyncio.TaskGroup() as group:
                    sending = group.create_task(bundle.send())
                    await self._wait(sending)
                return sending.result()
            except ExceptionGroup as group_error:
                error = group_error.exceptions[0]
                if isinstance(error, PublishNotConfirmed):
                    self._report(PublishingRefused(self._name, str(error)))
                self._limits.learn(self._name, error)
                raise error from group_error

    async def _wait(self, sending: asyncio.Task[Sequence[int]]) -> None:
        """Wait for the answers as long as there is patience."""
        patience = Patience(self._server.confirm_timeout_seconds, now=time.monotonic())
        while True:
            done, _ = await asyncio.wait((sending,), timeout=min(_LOOK_SECONDS, patience.left(time.monotonic())))
            if done:
                self._unblocked()
                return
            is_blocked = await self._is_blocked()
            if not patience.lasts(time.monotonic(), is_blocked=is_blocked):
                raise TimeoutError("no publisher confirm in time")

    async def _is_blocked(self) -> bool:
        try:
            async with asyncio.timeout(_LOOK_FOR_SECONDS):
                await self._transport.ready()
        except TimeoutError:
            if self._blocked_since is None:
                self._blocked_since = time.monotonic()
                self._report(PublishingBlocked(self._name))
            return True
        self._unblocked()
        return False

    def _unblocked(self) -> None:
        if self._blocked_since is not None:
            self._report(PublishingUnblocked(self._name, time.monotonic() - self._blocked_since))
            self._blocked_since = None


class RabbitBroker:
    """Opens publishers on connections of their own."""

    def __init__(
        self,
        server: RabbitServer,
        flows: Sequence[FlowRoute],
        *,
        source: str,
        name: str,
        report: Report,
        sending: Sending | None = None,
        lanes: int = 1,
    ) -> None:
        self._server = server
        self._flows = flows
        self._source = source
        self._name = name
        self._report = report
        self._sending = sending if sending is not None else Sending()
        self._limits = SizeLimits(has_claim_check=self._sending.has_claim_check)
        self._watch = UnroutedWatch(server, report)
        self._lanes = lanes
        self._lane = 0

    def for_lane(self, lane: int, report: Report) -> RabbitBroker:
        """Return the broker with the memory of one lane; what waits in outbox.unrouted is seen for all of them."""
        broker = copy(self)
        # The limits go with the connections, of which each lane has its own.
        limits = SizeLimits(has_claim_check=self._sending.has_claim_check)
        broker._lane, broker._report, broker._limits = lane, report, limits  # noqa: SLF001 - of the same class
        return broker

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator[Publisher]:
        """Connect, make sure of the topology, and give a publisher for the length of the block."""
        async with connect(self._server, name=self._name) as connection:
            await ensure(connection, self._server, self._flows, self._report, lanes=self._lanes)
            with rabbitmq_errors(str(self._server)):
                async with asyncio.timeout(self._server.connect_timeout_seconds):
                    sender = await self._sender(connection)
            self._limits.connected()
            yield Publisher(
                self._server,
                connection,
                sender,
                self._limits,
                self._watch,
                source=self._source,
                report=self._report,
                lane=self._lane,
            )

    async def _sender(self, connection: AbstractConnection) -> _Sender:
        name = str(self._server)
        if self._sending.kind == "batched":
            return BatchedSender(name, [await own_channel(connection, name) for _ in range(self._sending.channels)])
        channel = await open_channel(connection, name, publisher_confirms=True, on_return_raises=True)
        underlay = await channel.get_underlay_channel()
        return PlainSender(name, channel, underlay.number, underlay.connection.connection_tune.frame_max or 0)
