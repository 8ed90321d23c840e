"""Facts about where and on what it was measured. Nothing that would name the machine."""

import os
import platform
import subprocess
from pathlib import Path

import aio_pika
import asyncpg

from bench.records import Machine
from outbox.config.settings import RelaySettings
from sandbox.binaries import PROJECT
from sandbox.servers import Servers

_CONNECT_SECONDS = 10.0
# What the figures depend on most.
_SETTINGS = """
    select name, current_setting(name) as value
      from pg_settings
     where name in ('fsync', 'synchronous_commit', 'full_page_writes', 'wal_level', 'shared_buffers', 'max_wal_size',
                    'checkpoint_timeout', 'autovacuum', 'autovacuum_naptime', 'max_connections')
     order by name
"""


async def examine(servers: Servers, *, load_before: float) -> Machine:
    """Ask the kernel, the servers and Python."""
    version, settings = await _postgres_facts(servers.pg_url)
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        processor=_processor(),
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3, 1),
        system=f"{platform.system()} {platform.release().split('-')[0]}",
        python=platform.python_version(),
        postgresql=version,
        rabbitmq=await _rabbitmq_version(servers.amqp_url),
        load_before=round(load_before, 2),
        is_private=servers.postgres is not None and servers.rabbitmq is not None,
        postgresql_settings=settings,
        relay_settings={name: str(value) for name, value in RelaySettings().model_dump().items()},
    )


def commit() -> tuple[str, bool]:
    """Return the commit that is checked out, and whether there is more than that; "unknown" outside of a checkout."""
    number = _git("rev-parse", "--short=7", "HEAD")
    return (number or "unknown", bool(_git("status", "--porcelain", "--untracked-files=no")))


def _git(*arguments: str) -> str:
    try:
        answer = subprocess.run(
            ["git", *arguments],  # noqa: S607 - whichever git the developer uses
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


async def _postgres_facts(pg_url: str) -> tuple[str, dict[str, str]]:
    connection = await asyncpg.connect(pg_url, timeout=_CONNECT_SECONDS)
    try:
        version: str = await connection.fetchval("select current_setting('server_version')")
        settings = {row["name"]: row["value"] for row in await connection.fetch(_SETTINGS)}
    finally:
        await connection.close()
    return version.split(maxsplit=1)[0], settings


async def _rabbitmq_version(amqp_url: str) -> str:
    connection = await aio_pika.connect(amqp_url, timeout=_CONNECT_SECONDS)
    async with connection:
        transport = connection.transport
        version = transport.connection.server_properties.get("version") if transport is not None else None
    return version.decode() if isinstance(version, bytes) else str(version or "unknown")
