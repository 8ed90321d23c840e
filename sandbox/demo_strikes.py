"""When the demo kills what, and doing it: always in the middle of work, never between two pieces of it.

A process is frozen first, then looked at: only if it has work under way it is killed, else it goes on. So every kill
interrupts something, and the report can say how much.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from sandbox.demo_programs import Program
from sandbox.demo_screen import Screen
from sandbox.demo_watch import Watch
from sandbox.private_rabbitmq import PrivateRabbitMQ

# Not before work flows, and not so late that a process has nothing to come back to.
_FIRST_SHARE, _LAST_SHARE = 0.08, 0.75
_RABBITMQ_SHARES = (0.3, 0.55)
# The slots of two kills of one process must not touch, or the second would meet a process that only starts.
_SLOT_MARGIN_SHARE = 0.2


class Target(StrEnum):
    """What is killed."""

    RELAY = "relay"
    CONSUMER = "consumer"
    RABBITMQ = "rabbitmq"


@dataclass(frozen=True, slots=True)
class PlannedStrike:
    """A kill, due when this share of the orders is committed."""

    target: Target
    at_share: float


@dataclass(frozen=True, slots=True)
class Strike:
    """A kill that happened. ``interrupted``: what the process had begun and not finished.

    For the relay these are events that its cursor was not saved behind, for the consumer calls to the CRM without
    a result; nobody counts it for RabbitMQ.
    """

    target: Target
    at_seconds: float
    committed: int
    effects: int
    interrupted: int | None


def plan_strikes(*, kills: int, seed: int, with_rabbitmq: bool) -> list[PlannedStrike]:
    """Plan ``kills`` of relay and consumer each, spread over the work, and one of RabbitMQ; same for the same seed."""
    dice = random.Random(seed)
    planned = [
        PlannedStrike(target, _in_slot(dice, slot, kills))
        for target in (Target.RELAY, Target.CONSUMER)
        for slot in range(kills)
    ]
    if with_rabbitmq:
        planned.append(PlannedStrike(Target.RABBITMQ, dice.uniform(*_RABBITMQ_SHARES)))
    return sorted(planned, key=lambda strike: strike.at_share)


def _in_slot(dice: random.Random, slot: int, slots: int) -> float:
    width = (_LAST_SHARE - _FIRST_SHARE) / slots
    return _FIRST_SHARE + width * (slot + dice.uniform(_SLOT_MARGIN_SHARE, 1 - _SLOT_MARGIN_SHARE))


class Strikes:
    """Kills relay, consumer and RabbitMQ as planned, each on its own track."""

    def __init__(
        self,
        planned: list[PlannedStrike],
        *,
        orders: int,
        relay: Program,
        consumer: Program,
        rabbitmq: PrivateRabbitMQ | None,
        watch: Watch,
        screen: Screen,
    ) -> None:
        self.done: list[Strike] = []
        self._planned = planned
        self._orders = orders
        self._relay = relay
        self._consumer = consumer
        self._rabbitmq = rabbitmq
        self._watch = watch
        self._screen = screen
        self._is_work_over = False

    def are_outstanding(self) -> bool:
        """Say whether some kill has still to come."""
        return len(self.done) < len(self._planned)

    def give_up(self) -> None:
        """End what still waits for a moment: there is no work left to interrupt."""
        self._is_work_over = True
        self._watch.wake()

    async def run(self) -> None:
        """Return when everything planned has been done, or has missed its time."""
        async with asyncio.TaskGroup() as tracks:
            tracks.create_task(self._strike_relay(self._of(Target.RELAY)))
            tracks.create_task(self._strike_consumer(self._of(Target.CONSUMER)))
            tracks.create_task(self._strike_rabbitmq(self._of(Target.RABBITMQ)))

    def _of(self, target: Target) -> list[PlannedStrike]:
        return [strike for strike in self._planned if strike.target is target]

    async def _strike_relay(self, planned: list[PlannedStrike]) -> None:
        watch = self._watch
        seen = 0
        for strike in planned:
            await self._until(strike, partial(watch.is_publishing, beyond=seen))
            # A commit that is a moment old: the relay reads, sends or confirms it, and has not saved that yet.
            interrupted = await self._kill_busy(self._relay, watch.next_commit, watch.count_unsaved)
            if interrupted == 0:
                return
            watch.figures.relay_kills += 1
            self._note(strike.target, interrupted, f"killed the relay; events not saved as published: {interrupted}")
            await watch.look()
            seen = watch.figures.on_the_wire
            await self._relay.start()

    async def _strike_consumer(self, planned: list[PlannedStrike]) -> None:
        watch, consumer = self._watch, self._consumer
        seen = 0
        for strike in planned:
            await self._until(strike, partial(watch.is_applying, beyond=seen))
            interrupted = await self._kill_busy(consumer, watch.next_change, lambda: watch.count_calls(consumer.pid))
            if interrupted == 0:
                return
            watch.figures.consumer_kills += 1
            self._note(strike.target, interrupted, f"killed the consumer; calls to the CRM under way: {interrupted}")
            seen = watch.count_effects()
            await consumer.start()

    async def _strike_rabbitmq(self, planned: list[PlannedStrike]) -> None:
        rabbitmq, watch = self._rabbitmq, self._watch
        if rabbitmq is None:
            return
        if planned:
            # Queues and bindings are younger than the broker's own write-behind; see `PrivateRabbitMQ.flush`. They are
            # declared before work begins, and the flush takes long on a machine that has other work.
            await asyncio.to_thread(rabbitmq.flush)
        for strike in planned:
            await self._until(strike, partial(watch.is_publishing, beyond=0))
            if self._is_work_over:
                return
            await asyncio.to_thread(rabbitmq.kill)
            watch.figures.rabbitmq_kills += 1
            watch.note_broker_killed()
            self._note(strike.target, None, "killed RabbitMQ")
            await asyncio.to_thread(rabbitmq.start)
            self._screen.say("RabbitMQ is back")

    async def _kill_busy(
        self,
        program: Program,
        moment: Callable[[Callable[[], bool]], Awaitable[None]],
        count_work: Callable[[], Awaitable[int]],
    ) -> int:
        """Kill a process with work under way, and return how much; 0 if there is no work left."""
        while True:
            await moment(self._is_over)
            if self._is_work_over:
                return 0
            program.freeze()
            under_way = await count_work()
            if under_way > 0:
                await program.kill()
                return under_way
            program.thaw()

    async def _until(self, strike: PlannedStrike, is_moving: Callable[[], bool]) -> None:
        due = strike.at_share * self._orders
        figures = self._watch.figures
        await self._watch.until(lambda: self._is_work_over or (figures.committed >= due and is_moving()))

    def _is_over(self) -> bool:
        return self._is_work_over

    def _note(self, target: Target, interrupted: int | None, text: str) -> None:
        figures = self._watch.figures
        seconds = round(self._screen.seconds(), 1)
        self.done.append(Strike(target, seconds, figures.committed, figures.effects, interrupted))
        self._screen.say(text)
