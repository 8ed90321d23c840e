"""What the demo plays on: a database of its own, the CRM, an audit queue, and the sidecar's processes.

It starts the sidecar as a user does, by its command line and a settings file, and never helps it otherwise.
"""

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import asyncpg

from sandbox.crm import DEFAULT_TOKEN
from sandbox.demo_audit import Audit
from sandbox.demo_programs import Leash, Program, ProgramFailedError, outbox_command
from sandbox.errors import SandboxError
from sandbox.servers import Servers

_SETTINGS = Path(__file__).with_name("demo.yaml")
# A quick API somewhere on the internet; with less, a kill would seldom meet a call under way.
_CRM_LATENCY_MS = 40
_ANSWERS_LOST_SHARE = 0.05

_START_SECONDS = 30.0
_DRAIN_SECONDS = 30.0
# More than the 20 s that the sidecar gives itself.
_STOP_SECONDS = 25.0
_CRM_ANSWER_SECONDS = 10.0


class Stage:
    """The parts of one run. ``problems`` says what did not end in order."""

    def __init__(self, pg_url: str, audit: Audit, crm: "Crm", leash: Leash, folder: Path, amqp_url: str) -> None:
        self.pg_url = pg_url
        self.audit = audit
        self.crm = crm
        self.problems: list[str] = []
        self._leash = leash
        self._folder = folder
        self._variables = {"OUTBOX_PG_URL": pg_url, "OUTBOX_AMQP_URL": amqp_url, **crm.variables()}
        self.relay = self._outbox("relay")
        self.consumer = self._outbox("consume")

    @property
    def programs(self) -> tuple[Program, ...]:
        """The programs that must not end by themselves."""
        return self.crm.program, self.relay, self.consumer

    async def start(self) -> None:
        """Install the outbox, bind the audit queue, start the sidecar.

        Raises:
            ProgramFailedError: with the end of the program's log.
        """
        await self._outbox("migrate").run(within_seconds=_START_SECONDS)
        # Ends at once, as nothing is committed yet; afterwards the exchange exists that the audit queue is bound to.
        await self._outbox("relay", "--drain").run(within_seconds=_START_SECONDS)
        await self.audit.bind()
        await self.relay.start()
        await self.consumer.start()

    async def finish(self) -> None:
        """End the sidecar in order; what is not in order becomes a problem."""
        await self._note_problem(self._outbox("relay", "--drain").run(within_seconds=_DRAIN_SECONDS))
        async with asyncio.TaskGroup() as group:
            for program in (self.relay, self.consumer):
                group.create_task(self._note_problem(program.stop(within_seconds=_STOP_SECONDS)))

    async def end(self) -> None:
        """Kill what still runs of the sidecar."""
        for program in (self.relay, self.consumer):
            await program.end()

    def log_tails(self) -> str:
        """Return the ends of the logs of everything that runs for long."""
        return "\n".join(f"--- {program.name} ---\n{program.log_tail()}" for program in self.programs)

    async def _note_problem(self, ending: Coroutine[None, None, None]) -> None:
        try:
            await ending
        except ProgramFailedError as error:
            self.problems.append(error.problem)

    def _outbox(self, *arguments: str) -> Program:
        return Program(
            f"outbox {' '.join(arguments)}",
            outbox_command(*arguments, "--config", str(_SETTINGS)),
            variables=self._variables,
            folder=self._folder,
            leash=self._leash,
        )


class Crm:
    """The simulated CRM in a process of its own, with a ledger file that outlives its answers."""

    def __init__(self, leash: Leash, folder: Path, *, seed: int) -> None:
        self.ledger = folder / "crm-ledger.jsonl"
        faults = {
            "shares": {"drop_after_effect": _ANSWERS_LOST_SHARE},
            "latency_ms": _CRM_LATENCY_MS,
            "seed": seed,
        }
        self.program = Program(
            "crm",
            [sys.executable, "-m", "sandbox.crm", "--ledger", self.ledger, "--faults", json.dumps(faults)],
            variables={},
            folder=folder,
            leash=leash,
        )
        self._url = ""

    async def start(self) -> None:
        """Start it, and learn where it listens."""
        line = await self.program.start_and_read_line(within_seconds=_START_SECONDS)
        self._url = json.loads(line)["url"]

    def variables(self) -> Mapping[str, str]:
        """Name it as the settings file of the demo does."""
        return {"DEMO_CRM_URL": self._url, "DEMO_CRM_TOKEN": DEFAULT_TOKEN}

    async def count_lost_answers(self) -> int:
        """Ask how many answers it has dropped after the effect."""
        timeout = aiohttp.ClientTimeout(total=_CRM_ANSWER_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
            session.get(f"{self._url}/_stats") as answer,
        ):
            stats = await answer.json()
        return int(stats["faults"].get("drop_after_effect", 0))


@asynccontextmanager
async def open_stage(servers: Servers, *, seed: int, folder: Path | None) -> AsyncIterator[Stage]:
    """Build the stage, and leave nothing of it behind.

    Args:
        servers: where PostgreSQL and RabbitMQ are.
        seed: decides which answers the CRM loses.
        folder: keeps logs and ledger; None: they go with the stage.

    Raises:
        SandboxError: a server cannot be used.
        ProgramFailedError: a program did not start.
    """
    async with AsyncExitStack() as stack:
        leash = stack.enter_context(Leash())
        kept = folder or leash.folder
        audit = Audit(servers.amqp_url)
        stack.push_async_callback(audit.close)
        if servers.rabbitmq is None:
            await audit.require_unused_broker()
            stack.push_async_callback(audit.remove_topology)
        pg_url = await stack.enter_async_context(own_database(servers.pg_url))
        crm = Crm(leash, kept, seed=seed)
        stack.push_async_callback(crm.program.end)
        await crm.start()
        stage = Stage(pg_url, audit, crm, leash, kept, servers.amqp_url)
        stack.push_async_callback(stage.end)
        await stage.start()
        yield stage


@asynccontextmanager
async def own_database(pg_url: str) -> AsyncIterator[str]:
    """Make a database for the length of the block, and return its address.

    Raises:
        SandboxError: the server cannot be reached.
    """
    name = f"outbox_demo_{secrets.token_hex(4)}"
    try:
        admin = await asyncpg.connect(pg_url)
    except (OSError, asyncpg.PostgresError) as error:
        raise SandboxError(f"PostgreSQL cannot be reached: {error}", next_step="check OUTBOX_PG_URL") from error
    try:
        await admin.execute(f"create database {name}")
        try:
            yield urlunsplit(urlsplit(pg_url)._replace(path=f"/{name}"))
        finally:
            await admin.execute(f"drop database {name} with (force)")
    finally:
        await admin.close()
