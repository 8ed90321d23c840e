"""Two relays and two consumers, each struck at random in every way we know, with a CRM that fails in most ways."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from sandbox.crm_faults import Fault, Faults
from sandbox.tcp_proxy import Direction, TcpProxy
from tests.kit.process import Process
from tests.kit.seeds import repeatable, seeds
from tests.kit.site import Site, proxied
from tests.kit.tap import Tap
from tests.kit.waiting import rest

ORDERS = 300
STRIKES = 4
SHARES = {
    Fault.DROP_AFTER_EFFECT: 0.02,
    Fault.DROP_BEFORE_EFFECT: 0.01,
    Fault.ERROR_500: 0.01,
    Fault.ERROR_500_AFTER_EFFECT: 0.02,
    Fault.GARBAGE_200: 0.01,
    Fault.HANG_AFTER_EFFECT: 0.01,
    Fault.HTML_200: 0.01,
    Fault.SLOW: 0.02,
    Fault.THROTTLE_429: 0.01,
    Fault.UNAVAILABLE_503: 0.01,
}
RELAY = {"page_events": 20, "save_every": "200ms", "standby_poll": "100ms"}
# What SIGTERM does before the program has begun to listen to it.
ENDED_BY_SIGTERM = -15
_MAX_BYTES = 4_000
# Longer than a lease: some thaw in time, and some are zombies.
_MAX_FROZEN_SECONDS = 4.0


class Victim:
    """One place at the site: always one process in it, behind proxies of its own."""

    def __init__(self, dice: random.Random, start: Callable[[], Awaitable[Process]], proxies: list[TcpProxy]) -> None:
        self._dice = dice
        self._start = start
        self._proxies = proxies
        self._strikes = (self._kill, self._end, self._freeze, self._cut, self._cut_at_a_byte, self._stall)

    async def run(self) -> Process:
        """Strike again and again; return the process that is there at the end."""
        self._process = await self._start()
        for _ in range(STRIKES):
            await rest(self._dice.uniform(0.2, 2.0))
            assert self._process.is_running, self._process.tail()
            await self._dice.choice(self._strikes)()
        return self._process

    async def _kill(self) -> None:
        await self._process.kill()
        self._process = await self._start()

    async def _end(self) -> None:
        self._process.ask_to_end()
        assert await self._process.ended() in {0, ENDED_BY_SIGTERM}
        self._process = await self._start()

    async def _freeze(self) -> None:
        await self._process.freeze()
        await rest(self._dice.uniform(0.1, _MAX_FROZEN_SECONDS))
        self._process.thaw()

    async def _cut(self) -> None:
        self._dice.choice(self._proxies).cut()

    async def _cut_at_a_byte(self) -> None:
        self._dice.choice(self._proxies).cut_after(self._dice.randrange(_MAX_BYTES), self._direction())

    async def _stall(self) -> None:
        proxy = self._dice.choice(self._proxies)
        proxy.stall(self._direction())
        await rest(self._dice.uniform(0.1, _MAX_FROZEN_SECONDS))
        proxy.resume()

    def _direction(self) -> Direction:
        return self._dice.choice(list(Direction))


@asynccontextmanager
async def victims(site: Site, seed: int) -> AsyncIterator[list[Victim]]:
    async with AsyncExitStack() as stack:
        found = []
        for number, verb in enumerate(("relay", "relay", "consume", "consume")):
            postgres, pg_url = await stack.enter_async_context(proxied(site.database.url))
            rabbitmq, amqp_url = await stack.enter_async_context(proxied(site.broker.url))

            async def start(verb: str = verb, pg_url: str = pg_url, amqp_url: str = amqp_url) -> Process:
                return await site.start(verb, pg_url=pg_url, amqp_url=amqp_url, crm_timeout="1s", relay=RELAY)

            found.append(Victim(random.Random(f"{seed} {number}"), start, [postgres, rabbitmq]))
        yield found


@pytest.mark.parametrize("seed", seeds(1, 2))
async def test_whatever_strikes_each_order_takes_effect_once_and_in_order(site: Site, tap: Tap, seed: int) -> None:
    site.crm.set_faults(Faults(shares=SHARES, seed=seed, latency_ms=5, slow_ms=300, hang_seconds=3.0))
    async with victims(site, seed) as places:
        with repeatable(seed):
            async with asyncio.TaskGroup() as group:
                group.create_task(site.confirm_orders(ORDERS, keys=40, writers=4, seed=seed, rate_per_s=80))
                runs = [group.create_task(place.run()) for place in places]
            await site.settle(within_seconds=90)
            assert all(run.result().is_running for run in runs)
        assert set(tap.ids()) == set(await site.event_ids())
        assert all(sequences == sorted(sequences) for sequences in tap.first_sequences().values())
