"""One run's surroundings, as the sections share them, and what they have found so far."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.contenders import Contenders
from bench.plan import Contender, Plan
from bench.progress import Progress
from bench.records import Crash, Depth, Drain, Erp, Flow, Idle, Intake, Latency, Mapped
from bench.stand import Database, Stand
from bench.waiting import becomes_true
from sandbox.demo_programs import Program, ProgramFailedError

_READY_SECONDS = 30.0


class Work(NamedTuple):
    """One measurement to come; ``expected_seconds`` is a guess, for the time left."""

    name: str
    expected_seconds: float


@dataclass(slots=True)
class Findings:
    """What was measured so far, and every wrong result: lost, repeated or unconfirmed events, failed programs."""

    drains: list[Drain] = field(default_factory=list)
    depths: list[Depth] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    erps: list[Erp] = field(default_factory=list)
    idles: list[Idle] = field(default_factory=list)
    crashes: list[Crash] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)
    mappings: list[Mapped] = field(default_factory=list)
    intakes: list[Intake] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def expect(self, what: str, *, committed: int, arrived: int) -> None:
        """Note a wrong result when not every committed event arrived exactly once."""
        if committed != arrived:
            kind = "lost" if arrived < committed else "repeated"
            self.wrong.append(
                f"{what}: {committed} events committed, {arrived} messages in the queue,"
                f" {abs(committed - arrived)} {kind}"
            )


@dataclass(frozen=True, slots=True)
class Bench:
    """Given to every section."""

    stand: Stand
    plan: Plan
    contenders: Contenders
    absent: dict[Contender, str]
    findings: Findings
    progress: Progress

    def present(self, contenders: Iterable[Contender]) -> list[Contender]:
        """Return those that can compete here."""
        return [contender for contender in contenders if contender not in self.absent]

    async def measure(self, work: Work, measurement: Callable[[], Awaitable[str]]) -> None:
        """Run one measurement; a program that fails is a wrong result, and the run goes on."""
        try:
            outcome = await measurement()
        except ProgramFailedError as error:
            # The log names folders and ports of this machine: it is shown, and not kept.
            self.findings.wrong.append(f"{work.name}: {error.problem}")
            outcome = f"failed: {error}"
        self.progress.step(work.name, outcome, expected_seconds=work.expected_seconds)


async def start_ready(program: Program, database: Database, table: str, count: Callable[[], Awaitable[int]]) -> None:
    """Start a publisher and return when its first event has arrived, so that no measurement holds its start.

    Raises:
        ProgramFailedError: nothing arrived.
    """
    await program.start()
    async with database.connection() as connection:
        await connection.execute("call bench.fill($1::text::regclass, 1, 1, 100)", table)

    async def has_arrived() -> bool:
        program.require_running()
        return await count() > 0

    if not await becomes_true(has_arrived, within_seconds=_READY_SECONDS):
        raise ProgramFailedError(f"{program.name} published nothing within {_READY_SECONDS:g} s", program.log_tail())
