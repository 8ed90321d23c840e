"""One run of the demo: the ERP writes, everything is killed in the middle of it, then the judge looks."""

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import asyncpg

from sandbox.checker import check
from sandbox.demo_report import Asked, Report
from sandbox.demo_screen import Screen
from sandbox.demo_stage import Stage
from sandbox.demo_strikes import Strikes, plan_strikes
from sandbox.demo_watch import Watch
from sandbox.erp import ErpTotals, run_erp
from sandbox.private_rabbitmq import PrivateRabbitMQ

_WRITERS = 8
# While a kill is outstanding the last orders come ever more slowly, because what is killed must have work, however
# long the machine takes to bring back what was killed before.
_TAIL_SHARE = 0.15
_TAIL_SLOWNESS = (4, 8, 16, 32, 64, 128)
# Leaves time to stop and to judge within the two minutes that the demo may take.
_FINISHED_BY_SECONDS = 100.0


@dataclass(frozen=True, slots=True)
class Workload:
    """How much the ERP writes, how fast, and how often relay and consumer are killed meanwhile."""

    orders: int
    keys: int
    seed: int
    kills: int
    rate_per_s: float


class Run:
    """One run on a stage that is ready. ``rabbitmq`` is killed once too, unless it is somebody else's."""

    def __init__(self, stage: Stage, workload: Workload, rabbitmq: PrivateRabbitMQ | None, screen: Screen) -> None:
        self._stage = stage
        self._workload = workload
        self._rabbitmq = rabbitmq
        self._screen = screen

    async def report(self, *, begun_at: datetime) -> Report:
        """Run, and judge what came of it.

        Raises:
            ProgramFailedError: a program ended that nobody ended.
        """
        stage, workload = self._stage, self._workload
        database = await asyncpg.connect(stage.pg_url)
        try:
            watch = Watch(database, stage.crm.ledger, stage.audit, stage.programs, on_look=self._screen.show)
            strikes = Strikes(
                plan_strikes(kills=workload.kills, seed=workload.seed, with_rabbitmq=self._rabbitmq is not None),
                orders=workload.orders,
                relay=stage.relay,
                consumer=stage.consumer,
                rabbitmq=self._rabbitmq,
                watch=watch,
                screen=self._screen,
            )
            totals = await self._work(watch, strikes)
            self._screen.step("stopping the sidecar in order")
            await stage.finish()
            await watch.look()
            resolved = await watch.count_resolved()
        finally:
            await database.close()
        self._screen.step("judging")
        published = await stage.audit.drain()
        return Report(
            asked=Asked(workload.orders, workload.keys, workload.kills, workload.seed, int(self._rabbitmq is not None)),
            verdict=await check(stage.pg_url, stage.crm.ledger),
            erp=totals,
            published=published.distinct,
            wire_duplicates=published.messages - published.distinct,
            applied=watch.figures.applied,
            in_doubt_resolved=resolved,
            answers_lost=await stage.crm.count_lost_answers(),
            strikes=tuple(strikes.done),
            program_problems=tuple(stage.problems),
            seconds=self._screen.seconds(),
            first_applied_seconds=_seconds_until_first_effect(stage.crm.ledger, begun_at),
        )

    async def _work(self, watch: Watch, strikes: Strikes) -> ErpTotals:
        async with asyncio.TaskGroup() as group:
            group.create_task(watch.run())
            striking = group.create_task(strikes.run())
            self._screen.step("the ERP confirms orders, and everything is killed in the middle of it")
            totals = await self._write(watch, strikes)
            self._screen.step("waiting until every order has taken effect")
            await self._wait_for_effects(watch, totals.committed)
            strikes.give_up()
            await striking
            watch.stop()
        return totals

    async def _write(self, watch: Watch, strikes: Strikes) -> ErpTotals:
        orders, rate_per_s = self._workload.orders, self._workload.rate_per_s
        tail = round(orders * _TAIL_SHARE)
        written = await self._write_some(orders - tail, ErpTotals(0, 0), rate_per_s, watch)
        for slowness in _TAIL_SLOWNESS:
            if strikes.are_outstanding():
                written = await self._write_some(tail // len(_TAIL_SLOWNESS), written, rate_per_s / slowness, watch)
        return await self._write_some(orders - written.committed, written, rate_per_s, watch)

    async def _write_some(self, orders: int, before: ErpTotals, rate_per_s: float, watch: Watch) -> ErpTotals:
        written = await run_erp(
            self._stage.pg_url,
            orders=orders,
            keys=self._workload.keys,
            writers=_WRITERS,
            # With the same seed, the second part would plan the same orders again.
            seed=self._workload.seed + before.committed,
            rate_per_s=rate_per_s,
            on_progress=lambda committed, rolled_back: watch.note_orders(
                before.committed + committed, before.rolled_back + rolled_back
            ),
        )
        return ErpTotals(before.committed + written.committed, before.rolled_back + written.rolled_back)

    async def _wait_for_effects(self, watch: Watch, committed: int) -> None:
        figures = watch.figures
        left_seconds = max(_FINISHED_BY_SECONDS - self._screen.seconds(), 0.0)
        try:
            await watch.until(
                lambda: figures.effects >= committed and figures.applied >= committed, within_seconds=left_seconds
            )
        except TimeoutError:
            self._screen.say(f"not finished {_FINISHED_BY_SECONDS:.0f} s after the start: what there is will be judged")


def _seconds_until_first_effect(ledger: Path, begun_at: datetime) -> float | None:
    first, line_feed, _ = ledger.read_bytes().partition(b"\n")
    if not line_feed:
        return None
    return (datetime.fromisoformat(json.loads(first)["at"]) - begun_at).total_seconds()
