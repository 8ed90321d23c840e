"""What the campaign plays on: CRMs, a database, and two relays and two consumers, each behind proxies of its own.

The sidecar is started as a user does, by its command line and a settings file, and never helped otherwise.
"""

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import asyncpg

from sandbox.crm import DEFAULT_TOKEN
from sandbox.crm_faults import Faults
from sandbox.demo_programs import Leash, Program, ProgramFailedError, outbox_command
from sandbox.errors import SandboxError
from sandbox.private_postgres import PrivatePostgres
from sandbox.private_rabbitmq import PrivateRabbitMQ
from sandbox.servers import Servers
from sandbox.soak_flows import SoakFlow, sidecar_settings
from sandbox.tcp_proxy import TcpProxy

_PROCESSES_EACH = 2
_START_SECONDS = 120.0
_STOP_SECONDS = 60.0
_CRM_ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where one process of the sidecar stands, and the proxies between it and its servers."""

    program: Program
    proxies: Sequence[TcpProxy]


@dataclass(kw_only=True)
class Stage:
    """The parts of one campaign. ``problems`` says what did not go in order."""

    pg_url: str
    postgres: PrivatePostgres
    rabbitmq: PrivateRabbitMQ
    flows: Sequence[SoakFlow]
    crm: Program
    crm_urls: Mapping[str, str]
    targets: Mapping[str, TcpProxy]
    places: Sequence[Place]
    folder: Path
    problems: list[str] = field(default_factory=list)

    def ledger(self, flow: str) -> Path:
        """Return the file of a flow's effects."""
        return self.folder / f"{flow}.jsonl"

    async def set_faults(self, faults: Mapping[str, Faults]) -> None:
        """Replace the faults of the CRMs."""
        timeout = aiohttp.ClientTimeout(total=_CRM_ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session:
            for flow, wanted in faults.items():
                async with session.post(f"{self.crm_urls[flow]}/_faults", data=wanted.model_dump_json()):
                    pass

    async def met_faults(self) -> dict[str, int]:
        """Count what the CRMs were asked to do wrong, and did."""
        met: dict[str, int] = {}
        timeout = aiohttp.ClientTimeout(total=_CRM_ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session:
            for url in self.crm_urls.values():
                async with session.get(f"{url}/_stats") as answer:
                    for fault, count in (await answer.json())["faults"].items():
                        met[fault] = met.get(fault, 0) + count
        return met

    async def heal(self) -> None:
        """End everything that a strike has left behind."""
        for proxy in (*self.targets.values(), *(proxy for place in self.places for proxy in place.proxies)):
            proxy.resume()
            await proxy.accept()
        for place in self.places:
            place.program.thaw()

    async def finish(self) -> None:
        """End the sidecar in order; what is not in order becomes a problem."""
        async with asyncio.TaskGroup() as group:
            for place in self.places:
                group.create_task(self._finish(place.program))
        for file in sorted({place.program.log for place in self.places}):
            bugs = file.read_text(encoding="utf-8", errors="replace").count("this is a bug")
            if bugs:
                self.problems.append(f"{file.name} tells of {bugs} bug(s)")

    async def _finish(self, program: Program) -> None:
        try:
            await program.stop(within_seconds=_STOP_SECONDS)
        except ProgramFailedError as error:
            self.problems.append(error.problem)

    async def end(self) -> None:
        """Kill what still runs."""
        for program in (*(place.program for place in self.places), self.crm):
            await program.end()


@asynccontextmanager
async def open_stage(servers: Servers, flows: Sequence[SoakFlow], folder: Path | None) -> AsyncIterator[Stage]:
    """Build the stage, start everything, and leave nothing of it behind.

    Raises:
        SandboxError: the servers are somebody else's.
        ProgramFailedError: a program did not start.
    """
    if servers.postgres is None or servers.rabbitmq is None:
        raise SandboxError(
            "the campaign kills its servers, and these are somebody else's",
            next_step="unset OUTBOX_PG_URL and OUTBOX_AMQP_URL, and see `python3 -m sandbox.prepare --need servers`",
        )
    async with AsyncExitStack() as stack:
        leash = stack.enter_context(Leash())
        kept = folder or leash.folder
        pg_url = await _own_database(servers.pg_url)
        windows = json.dumps({flow.name: flow.window_seconds for flow in flows})
        crm = Program(
            "crm",
            [sys.executable, "-m", "sandbox.soak_crm", "--folder", kept, "--windows", windows],
            variables={},
            folder=kept,
            leash=leash,
        )
        stack.push_async_callback(crm.end)
        crm_urls: dict[str, str] = json.loads(await crm.start_and_read_line(within_seconds=_START_SECONDS))
        targets = {flow: await _proxy(stack, url) for flow, url in crm_urls.items()}
        urls = {flow: _with_port(url, targets[flow].port) for flow, url in crm_urls.items()}
        settings = kept / "outbox.yaml"
        # JSON is YAML.
        settings.write_text(json.dumps(sidecar_settings(flows, urls, DEFAULT_TOKEN), indent=1), encoding="utf-8")

        async def outbox(name: str, verb: str) -> Place:
            postgres, rabbitmq = await _proxy(stack, pg_url), await _proxy(stack, servers.amqp_url)
            variables = {
                "OUTBOX_PG_URL": _with_port(pg_url, postgres.port),
                "OUTBOX_AMQP_URL": _with_port(servers.amqp_url, rabbitmq.port),
            }
            command = outbox_command(verb, "--config", str(settings))
            return Place(Program(name, command, variables=variables, folder=kept, leash=leash), (postgres, rabbitmq))

        places = [
            await outbox(f"{verb}-{number}", verb)
            for verb in ("relay", "consume")
            for number in range(1, _PROCESSES_EACH + 1)
        ]
        stage = Stage(
            pg_url=pg_url,
            postgres=servers.postgres,
            rabbitmq=servers.rabbitmq,
            flows=flows,
            crm=crm,
            crm_urls=crm_urls,
            targets=targets,
            places=places,
            folder=kept,
        )
        stack.push_async_callback(stage.end)
        await (await outbox("migrate", "migrate")).program.run(within_seconds=_START_SECONDS)
        for place in places:
            await place.program.start()
        yield stage


async def _proxy(stack: AsyncExitStack, url: str) -> TcpProxy:
    parts = urlsplit(url)
    return await stack.enter_async_context(TcpProxy(parts.hostname or "127.0.0.1", parts.port or 0))


def _with_port(url: str, port: int) -> str:
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{credentials}{at}127.0.0.1:{port}"))


async def _own_database(pg_url: str) -> str:
    # It goes with its server.
    name = f"outbox_soak_{secrets.token_hex(4)}"
    admin = await asyncpg.connect(pg_url)
    try:
        await admin.execute(f"create database {name}")
    finally:
        await admin.close()
    return urlunsplit(urlsplit(pg_url)._replace(path=f"/{name}"))
