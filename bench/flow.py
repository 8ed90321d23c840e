"""How many effects a second a flow brings about, beside calls without any care and beside the usual consumer."""

import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import aiohttp

from bench.backlog import fill
from bench.bench import Bench, Work
from bench.contenders import OUTBOX_TABLE
from bench.flow_rivals import CONCURRENCY
from bench.observe import watch
from bench.plan import Applier, Plan, in_turn
from bench.queue import ROUTING_KEY
from bench.records import Flow
from bench.stand import Database
from bench.waiting import becomes_true
from sandbox.demo_programs import Program, outbox_command
from sandbox.ports import free_ports

# What one call takes in the flow with batches.
BATCH_RECORDS = 100

_EXPECTED_PER_SECOND = {
    Applier.BARE: 10_000,
    Applier.FLOW: 1_500,
    Applier.BATCHES: 4_000,
    Applier.BLOCKED: 1_500,
    Applier.FLOOD: 1_500,
    Applier.CONSUMER: 1_000,
}
_LOADED_PER_SECOND = 10_000
_OVERHEAD_SECONDS = 5.0
_READY_SECONDS = 30.0
_STOP_SECONDS = 30.0
_SLOWEST_PER_SECOND = 50
# Counting effects is a request, too.
_LOOK_EVERY_SECONDS = 0.05
_NAMES = {
    Applier.FLOW: "one-by-one",
    Applier.BATCHES: "in-batches",
    Applier.BLOCKED: "beside-blocked",
    Applier.FLOOD: "before-flood",
    Applier.CONSUMER: "rival",
}
_LANES = 16
# Behind every sequence that a run reaches.
_POISON_SEQUENCE = 1_000_000_000_000
_REGISTER = "select inbox.register_flow($1, $2, null)"
_POISON = """
insert into inbox.delivery (flow, message_id, sequence, type, version, key, lane, state, settled_at, reason,
                            reason_class, dead_published_at)
values ($1, 'poison', $2, $4, 1, 'poison', outbox.lane_of('poison', $2, $3), 'dead', now(), 'refused', 'rejected',
        now())
"""
_BLOCK = """
insert into inbox.delivery (flow, message_id, sequence, type, version, key, lane, state)
select $1, 'blocked-' || number, $2 + number, $4, 1, 'poison', outbox.lane_of('poison', $2, $3), 'blocked'
  from generate_series(1::bigint, $5) number
"""


class FlowWork(NamedTuple):
    """One measurement to come; round 0 warms up."""

    round: int
    applier: Applier
    events: int
    waiting: int

    def work(self) -> Work:
        """Return its name and a guess of its length."""
        loading = 0.0 if self.applier is Applier.BARE else self.waiting / _LOADED_PER_SECOND
        applying = self.events / _EXPECTED_PER_SECOND[self.applier]
        return Work(f"effects {self.round}, {self.applier}", _OVERHEAD_SECONDS + loading + applying)


def planned(plan: Plan) -> list[FlowWork]:
    """Return them in their order: in each round all take turns; the full queue is filled once."""
    few = max(plan.flow_events // 10, 1)
    warm_up = [FlowWork(0, applier, few, few) for applier in Applier if applier is not Applier.FLOOD]
    return warm_up + [
        FlowWork(number, applier, plan.flow_events, waiting)
        for number in range(1, plan.rounds + 1)
        for applier in in_turn(Applier, number)
        for waiting in [plan.flood_events if applier is Applier.FLOOD else plan.flow_events]
        if applier is not Applier.FLOOD or number == 1
    ]


async def run(bench: Bench) -> None:
    """Measure all of them."""
    for work in planned(bench.plan):
        await bench.measure(work.work(), partial(_measure, bench, work))


async def _measure(bench: Bench, work: FlowWork) -> str:
    # A database of its own for each: the inbox of the one before would be in the way.
    async with bench.stand.database() as database, _target(bench) as (address, count):
        program = await _prepared(bench, database, work, address)
        begun = time.monotonic()
        await program.start()
        try:
            seen = await watch(
                count,
                program.pid,
                until_arrived=work.events,
                within_seconds=_READY_SECONDS + work.events / _SLOWEST_PER_SECOND,
                look_every_seconds=_LOOK_EVERY_SECONDS,
            )
            if work.applier not in (Applier.BARE, Applier.CONSUMER):
                await program.stop(within_seconds=_STOP_SECONDS)
        finally:
            await program.end()
        effects = await count()
    name = _NAMES.get(work.applier)
    if name is not None:
        await bench.stand.queue.remove(f"flow.{name}", f"dead.{name}")
    record = Flow(
        round=work.round,
        applier=work.applier,
        events=work.events,
        effects=seen.arrived,
        effects_per_second=seen.events_per_second,
        cpu_microseconds_per_effect=seen.cpu_microseconds_per_event,
        peak_resident_mb=seen.peak_resident_mb,
        process_seconds=time.monotonic() - begun,
    )
    if work.applier is not Applier.FLOOD:
        # That one was ended while it had enough to do.
        bench.findings.expect(work.work().name, committed=work.events, arrived=effects)
    if work.round > 0:
        bench.findings.flows.append(record)
    return f"{record.effects_per_second:,.0f} effects/s, {record.cpu_microseconds_per_effect:.0f} µs of CPU each"


@asynccontextmanager
async def _target(bench: Bench) -> AsyncIterator[tuple[str, Callable[[], Awaitable[int]]]]:
    """Run the other system; yield its address, and how its effects are counted."""
    (port,) = free_ports(1)
    program = bench.stand.program("target", [sys.executable, "-m", "bench.flow_target", str(port)], None)
    await program.start_and_read_line(within_seconds=_READY_SECONDS)
    address = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as session:

            async def count() -> int:
                async with session.get(f"{address}/count") as answer:
                    return int(await answer.text())

            yield address, count
    finally:
        await program.end()


async def _prepared(bench: Bench, database: Database, work: FlowWork, address: str) -> Program:
    """Fill the queue, and return the process that empties it."""
    rivals = [sys.executable, "-m", "bench.flow_rivals", f"{address}/records"]
    if work.applier is Applier.BARE:
        sizes = ["--calls", str(work.events), "--payload-bytes", str(bench.plan.payload_bytes)]
        return bench.stand.program("bare loop", [*rivals, *sizes], None)
    name = _NAMES[work.applier]
    settings = _settings(bench.stand.folder, work.applier, address)
    apply = bench.stand.program("topology", outbox_command("topology", "apply", "--config", str(settings)), database)
    await apply.run(within_seconds=_READY_SECONDS)
    await fill(
        database,
        OUTBOX_TABLE,
        events=work.waiting,
        per_transaction=bench.plan.events_per_transaction,
        payload_bytes=bench.plan.payload_bytes,
    )
    relay = bench.stand.program("relay", outbox_command("relay", "--drain", "--config", str(settings)), database)
    await relay.run(within_seconds=_READY_SECONDS + work.waiting / _SLOWEST_PER_SECOND)

    async def is_full() -> bool:
        return await bench.stand.queue.count_of(f"flow.{name}") >= work.waiting

    await becomes_true(is_full, within_seconds=_READY_SECONDS)
    if work.applier is Applier.BLOCKED:
        async with database.connection() as connection:
            await connection.fetchval(_REGISTER, name, _LANES)
            await connection.execute(_POISON, name, _POISON_SEQUENCE, _LANES, ROUTING_KEY)
            await connection.execute(_BLOCK, name, _POISON_SEQUENCE, _LANES, ROUTING_KEY, bench.plan.blocked)
    if work.applier is Applier.CONSUMER:
        return bench.stand.program("consumer", [*rivals, "--queue", f"flow.{name}"], database)
    return bench.stand.program("flow", outbox_command("consume", "--config", str(settings)), database)


def _settings(folder: Path, applier: Applier, address: str) -> Path:
    """Write the settings file of a flow; the usual consumer takes the queue of one, too."""
    name = _NAMES[applier]
    operation: dict[str, object] = {"method": "POST", "path": "/records", "external_id": "id"}
    keys = {"header": "Idempotency-Key", "window": "24h"}
    if applier is Applier.BATCHES:
        operation = {"method": "POST", "path": "/batch", "batch": {"max": BATCH_RECORDS, "external_id": "id"}}
        keys = {"field": "key", "window": "24h"}
    content = {
        "log": {"level": "warning"},
        "connections": {"target": {"base_url": address, "max_connections": CONCURRENCY}},
        "flows": {
            name: {
                "description": "Orders become records",
                "events": [ROUTING_KEY],
                "adapter": {
                    "use": "rest",
                    "connection": "target",
                    "idempotency": keys,
                    "operations": {ROUTING_KEY: operation},
                },
            }
        },
    }
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
