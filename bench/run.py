"""Runs the sections of a plan and makes the report."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from bench import crash, depth, drain, erp, flow, idle, intake, latency, machine, mapping
from bench.bench import Bench, Findings, Work
from bench.contenders import Contenders, absent, how
from bench.erp_load import CLIENTS, tool
from bench.figures import figures
from bench.plan import Contender, Plan, Section
from bench.progress import Progress, Say, time_text
from bench.records import Machine, Report
from bench.stand import open_stand
from bench.yardstick import NotBuiltError, build
from sandbox.demo_programs import Leash
from sandbox.servers import Servers

_RUN: dict[Section, Callable[[Bench], Awaitable[None]]] = {
    Section.DRAIN: drain.run,
    Section.LATENCY: latency.run,
    Section.ERP: erp.run,
    Section.IDLE: idle.run,
    Section.CRASH: crash.run,
    Section.FLOW: flow.run,
    Section.DEPTH: depth.run,
    Section.MAPPING: mapping.run,
    Section.INTAKE: intake.run,
}


async def measure(servers: Servers, plan: Plan, say: Say, *, load_before: float) -> Report:
    """Measure everything that is planned.

    Raises:
        SandboxError: a server cannot be used, or the disk is too small.
    """
    begun_at, begun = datetime.now(UTC), time.monotonic()
    if Section.DEPTH in plan.sections:
        depth.require_room(plan)
    with Leash() as leash:
        limit, limit_problem = None, None
        try:
            limit = await asyncio.to_thread(build, leash.folder)
        except NotBuiltError as error:
            limit_problem = str(error)
        reasons = absent(limit_problem)
        for contender, reason in reasons.items():
            say(f"without {contender}: {reason}")
        works = _works(plan, reasons)
        expected_seconds = sum(work.expected_seconds for work in works)
        say(f"{len(works)} measurements, about {time_text(expected_seconds)}")
        async with open_stand(servers, leash, limit) as stand:
            bench = Bench(
                stand,
                plan,
                Contenders(stand, plan),
                reasons,
                Findings(),
                Progress(say, steps=len(works), expected_seconds=expected_seconds),
            )
            for section in plan.sections:
                await _RUN[section](bench)
            facts = await machine.examine(servers, load_before=load_before)
    return _report(bench, facts, begun_at, time.monotonic() - begun)


def _works(plan: Plan, reasons: dict[Contender, str]) -> list[Work]:
    present = [contender for contender in Contender if contender not in reasons]
    deep = [depth.loading(plan), *(one.work() for one in depth.planned(plan))]
    works = {
        Section.DRAIN: [one.work() for one in drain.planned(plan, present)],
        Section.LATENCY: [one.work() for one in latency.planned(plan)],
        Section.ERP: [one.work() for one in erp.planned(plan)],
        Section.IDLE: [one.work() for one in idle.planned(plan)],
        Section.CRASH: [one.work() for one in crash.planned(plan)],
        Section.FLOW: [one.work() for one in flow.planned(plan)],
        Section.DEPTH: deep,
        Section.MAPPING: [one.work() for one in mapping.planned(plan)],
        Section.INTAKE: [one.work() for one in intake.planned(plan)],
    }
    return [work for section in plan.sections for work in works[section]]


def _report(bench: Bench, facts: Machine, begun_at: datetime, seconds: float) -> Report:
    found = bench.findings
    number, has_changes = machine.commit()
    load = (
        f"ERP: {tool(bench.plan.seconds)}, {CLIENTS} clients;"
        " a transaction updates one of 10,000 rows and inserts one row of 1 KB."
    )
    report = Report(
        commit=number,
        has_uncommitted_changes=has_changes,
        measured_at=begun_at.replace(microsecond=0),
        seconds=seconds,
        plan=bench.plan,
        machine=facts,
        how=(*how(bench.plan, is_tuned=bench.stand.servers.postgres is not None), load),
        absent=bench.absent,
        drains=tuple(found.drains),
        depths=tuple(found.depths),
        latencies=tuple(found.latencies),
        erps=tuple(found.erps),
        idles=tuple(found.idles),
        crashes=tuple(found.crashes),
        flows=tuple(found.flows),
        mappings=tuple(found.mappings),
        intakes=tuple(found.intakes),
        wrong=tuple(found.wrong),
    )
    return report.model_copy(update={"figures": figures(report)})
