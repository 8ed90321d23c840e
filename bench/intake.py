"""How many webhooks a second the intake takes, and how long a sender waits for the commit."""

import asyncio
import base64
import json
import secrets
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.bench import Bench, Work
from bench.observe import usage_of
from bench.plan import INTAKE_RATE, WARM_UP_SECONDS, Plan
from bench.records import Intake, Quantiles
from bench.stand import Database
from bench.waiting import becomes_true
from sandbox.demo_programs import ProgramFailedError, outbox_command
from sandbox.ports import free_ports

_OVERHEAD_SECONDS = 4.0
_READY_SECONDS = 30.0
_LOAD_SECONDS = 90.0
_STOP_SECONDS = 25.0
_EVENTS = "select count(*) from outbox.event where headers->>'intake_id' like 'turn-%'"


class IntakeWork(NamedTuple):
    """One load to come."""

    round: int
    rate: int
    seconds: float

    def work(self) -> Work:
        """Return its name and a guess of its length."""
        return Work(f"intake {self.round}, {self.rate:,} requests/s", self.seconds + _OVERHEAD_SECONDS)


def planned(plan: Plan) -> list[IntakeWork]:
    """Return every load in its order."""
    return [IntakeWork(number, INTAKE_RATE, plan.seconds) for number in range(1, plan.rounds + 1)]


async def run(bench: Bench) -> None:
    """Measure all of them, each in a database of its own."""
    for work in planned(bench.plan):
        async with bench.stand.database() as database:
            await bench.measure(work.work(), partial(_measure, bench, database, work))


async def _measure(bench: Bench, database: Database, work: IntakeWork) -> str:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    (port,) = free_ports(1)
    settings = _settings(bench.stand.folder, port, secret)
    intake = bench.stand.program("intake", outbox_command("intake", "--config", str(settings)), database)
    sizes = ("--payload-bytes", str(bench.plan.payload_bytes), "--warm-up-seconds", str(WARM_UP_SECONDS))
    times = ("--rate", str(work.rate), "--seconds", str(work.seconds))
    load = bench.stand.program(
        "intake load",
        [sys.executable, "-m", "bench.intake_load", str(port), "--secret", secret, *times, *sizes],
        database,
    )
    await intake.start()
    try:
        if not await becomes_true(partial(_listens, port), within_seconds=_READY_SECONDS):
            raise ProgramFailedError("the intake does not listen", intake.log_tail())
        before = usage_of(intake.pid)
        line = await load.start_and_read_line(within_seconds=_LOAD_SECONDS + work.seconds)
        after = usage_of(intake.pid)
        await load.wait(within_seconds=_STOP_SECONDS)
        if before is None or after is None:
            raise ProgramFailedError("the intake ended under its load", intake.log_tail())
        await intake.stop(within_seconds=_STOP_SECONDS)
    finally:
        await load.end()
        await intake.end()
    told = json.loads(line)
    record = Intake(
        round=work.round,
        wanted_per_second=work.rate,
        taken=told["taken"],
        others=told["others"],
        events=await database.number(_EVENTS),
        per_second=told["taken"] / told["seconds"],
        late_p99_ms=told["late_p99_ms"],
        answered=Quantiles(p50=told["p50_ms"], p99=told["p99_ms"], max=told["max_ms"]),
        cpu_microseconds_per_request=(after.cpu_seconds - before.cpu_seconds) / max(told["taken"], 1) * 1e6,
        peak_resident_mb=after.peak_resident_mb,
    )
    bench.findings.intakes.append(record)
    if record.others or record.events != record.taken:
        bench.findings.wrong.append(
            f"{work.work().name}: {record.taken} requests were answered with 202, {record.others} were not;"
            f" {record.events} events are there"
        )
    answered = f"{record.answered.p50:.1f} ms (p50), {record.answered.p99:.1f} ms (p99)"
    return f"{record.per_second:,.0f}/s, answered after {answered}"


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _settings(folder: Path, port: int, secret: str) -> Path:
    path = folder / "intake.yaml"
    source = {
        "scheme": "standard-webhooks",
        "secrets": [secret],
        "type": {"path": "type"},
        "key": {"path": "data.order"},
    }
    # JSON is YAML.
    path.write_text(json.dumps({"intake": {"port": port, "sources": {"partner": source}}}), encoding="utf-8")
    return path
