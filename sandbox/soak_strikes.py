"""Strikes everything at random moments, by seed: processes, connections, servers, targets.

Each victim has a track and dice of its own, so that what one of them meets does not depend on the others.
"""

import asyncio
import random
import subprocess
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from sandbox.demo_programs import ProgramFailedError
from sandbox.errors import SandboxError
from sandbox.soak_flows import LEASE_SECONDS, LONGEST_STALL_SECONDS
from sandbox.soak_stage import Place, Stage
from sandbox.tcp_proxy import Direction, TcpProxy

_MAX_BYTES = 8_000
# From well inside of a lease to well beyond.
_FROZEN_SECONDS = (0.3, 2.5 * LEASE_SECONDS)
_STALLED_SECONDS = (0.3, LONGEST_STALL_SECONDS)
_OUTAGE_SECONDS = (1.0, 8.0)
_PLACE_PAUSE_SECONDS = (2.0, 9.0)
_TARGET_PAUSE_SECONDS = (3.0, 12.0)
_SERVER_PAUSE_SECONDS = (15.0, 60.0)
_START_TRIES = 3
# Also a campaign of seconds kills each server.
_SERVER_PAUSE_SHARE = (0.08, 0.2)

_Strike = Callable[[], Awaitable[None]]


class Strikes:
    """Strikes until the time is over; ``counts`` says what was done."""

    def __init__(self, stage: Stage, *, seed: int, seconds: float, say: Callable[[str], None]) -> None:
        self.counts: Counter[str] = Counter()
        self._stage = stage
        self._seed = seed
        self._seconds = seconds
        self._say = say
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Return when the time is over and everything that was struck runs again."""
        may_kill_broker = await self._flush_broker()
        async with asyncio.TaskGroup() as tracks:
            for place in self._stage.places:
                tracks.create_task(self._strike_place(place))
            for flow, proxy in self._stage.targets.items():
                tracks.create_task(self._strike_target(flow, proxy))
            tracks.create_task(self._strike_servers(may_kill_broker=may_kill_broker))
            await self._pause(self._seconds)
            self._over.set()
        await self._stage.heal()

    def _dice(self, track: str) -> random.Random:
        return random.Random(f"{self._seed} {track}")

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    def _count(self, track: str, what: str) -> None:
        self.counts[f"{track.partition('-')[0]}: {what}"] += 1

    async def _strike_place(self, place: Place) -> None:
        name, dice = place.program.name, self._dice(place.program.name)

        async def kill() -> None:
            await place.program.kill()
            await place.program.start()

        async def freeze() -> None:
            place.program.freeze()
            await self._pause(dice.uniform(*_FROZEN_SECONDS))
            place.program.thaw()

        strikes: dict[str, _Strike] = {"kill -9": kill, "frozen": freeze}
        connections = {"database": place.proxies[0], "broker": place.proxies[1]}
        for server, proxy in connections.items():
            strikes |= {f"{server} {what}": strike for what, strike in self._on_connections(proxy, dice).items()}
        weights = {"kill -9": 4, "frozen": 4}
        while not self._over.is_set():
            await self._pause(dice.uniform(*_PLACE_PAUSE_SECONDS))
            if self._over.is_set():
                return
            await self._require_running(place)
            (what,) = dice.choices(list(strikes), [weights.get(kind, 1) for kind in strikes])
            await strikes[what]()
            self._count(name, what)

    def _on_connections(self, proxy: TcpProxy, dice: random.Random) -> dict[str, _Strike]:
        async def cut() -> None:
            proxy.cut()

        async def cut_at_a_byte() -> None:
            proxy.cut_after(dice.randrange(_MAX_BYTES), dice.choice(list(Direction)))

        async def stall() -> None:
            proxy.stall(dice.choice(list(Direction)))
            await self._pause(dice.uniform(*_STALLED_SECONDS))
            proxy.resume()

        return {"cut": cut, "cut at a byte": cut_at_a_byte, "stalled": stall}

    async def _strike_target(self, flow: str, proxy: TcpProxy) -> None:
        dice = self._dice(f"target {flow}")

        async def outage() -> None:
            proxy.refuse()
            proxy.cut()
            await self._pause(dice.uniform(*_OUTAGE_SECONDS))
            await proxy.accept()

        strikes = {**self._on_connections(proxy, dice), "outage": outage}
        while not self._over.is_set():
            await self._pause(dice.uniform(*_TARGET_PAUSE_SECONDS))
            if self._over.is_set():
                return
            what = dice.choice(list(strikes))
            await strikes[what]()
            self._count("target", what)

    async def _flush_broker(self) -> bool:
        # Queues and bindings are younger than the broker's own write-behind; see `PrivateRabbitMQ.flush`.
        try:
            await asyncio.to_thread(self._stage.rabbitmq.flush)
        except (SandboxError, subprocess.TimeoutExpired):
            self._say("the broker did not flush what was declared: it is restarted in order, and never killed")
            return False
        return True

    async def _strike_servers(self, *, may_kill_broker: bool) -> None:
        stage, dice = self._stage, self._dice("servers")
        strikes: list[tuple[str, Callable[[], None], Callable[[], None]]] = [
            *([("broker: kill -9", stage.rabbitmq.kill, stage.rabbitmq.start)] if may_kill_broker else []),
            ("database: kill -9", stage.postgres.kill, stage.postgres.start),
            ("broker: restart", stage.rabbitmq.stop, stage.rabbitmq.start),
            ("database: restart", stage.postgres.stop, stage.postgres.start),
        ]
        turn = dice.randrange(2)
        shortest = min(_SERVER_PAUSE_SECONDS[0], self._seconds * _SERVER_PAUSE_SHARE[0])
        longest = min(_SERVER_PAUSE_SECONDS[1], self._seconds * _SERVER_PAUSE_SHARE[1])
        while not self._over.is_set():
            await self._pause(dice.uniform(shortest, longest))
            if self._over.is_set():
                return
            what, end, start = strikes[turn % len(strikes)]
            turn += 1
            self._say(what)
            await asyncio.to_thread(end)
            await self._start(start)
            self.counts[what] += 1

    async def _start(self, start: Callable[[], None]) -> None:
        """Start a server; on a busy machine it may need another try.

        Raises:
            SandboxError: it does not start.
        """
        for _ in range(_START_TRIES - 1):
            try:
                await asyncio.to_thread(start)
            except SandboxError as error:
                self._say(f"{error.problem.partition(';')[0]}: once more")
            else:
                return
        await asyncio.to_thread(start)

    async def _require_running(self, place: Place) -> None:
        try:
            place.program.require_running()
        except ProgramFailedError as error:
            self._stage.problems.append(str(error))
            await place.program.start()
