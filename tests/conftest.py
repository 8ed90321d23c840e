"""Real servers for everything that touches them: a database and a virtual host for each test."""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.kit import forked, scratch
from tests.kit.broker import Broker, fresh_vhost
from tests.kit.database import EMPTY, Database, fresh_database
from tests.kit.shared_servers import Addresses, SharedServers, addresses

# How long an example takes says something of the machine's load, and nothing of the code.
hypothesis.settings.register_profile("outbox", deadline=None)
hypothesis.settings.load_profile("outbox")

# A terminal's size, which readline leaves in the environment of worker processes: a console that is made while it is
# there keeps it for good, and breaks the lines of tables where no test expects it.
for _size in ("COLUMNS", "LINES"):
    os.environ.pop(_size, None)

_SERVERS = pytest.StashKey[SharedServers]()


def pytest_configure(config: pytest.Config) -> None:
    is_worker = hasattr(config, "workerinput")
    if is_worker or config.option.collectonly or _is_unit_only(config):
        return
    scratch.use_memory()
    servers = SharedServers()
    config.stash[_SERVERS] = servers
    servers.start()


def pytest_unconfigure(config: pytest.Config) -> None:
    forked.stop()
    servers = config.stash.get(_SERVERS, None)
    if servers is not None:
        servers.stop()


def _is_unit_only(config: pytest.Config) -> bool:
    unit = Path(__file__).parent / "unit"
    given = [Path(argument.split("::")[0]).resolve() for argument in config.args]
    return bool(given) and all(path == unit or unit in path.parents for path in given)


@pytest.fixture(autouse=True)
async def _leaves_nothing_running(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Fail a test that leaves a task of its own behind."""
    if not _is_async(request):
        yield
        return
    before = asyncio.all_tasks()
    yield
    left = {task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not task.done()}
    assert not left, f"tasks left running: {left}"


def _is_async(request: pytest.FixtureRequest) -> bool:
    return asyncio.iscoroutinefunction(getattr(request.function, "__wrapped__", request.function))


@pytest.fixture(scope="session")
def servers() -> Addresses:
    return addresses()


@pytest.fixture
async def database(servers: Addresses) -> AsyncIterator[Database]:
    async with fresh_database(servers.pg_url) as fresh:
        yield fresh


@pytest.fixture
async def empty_database(servers: Addresses) -> AsyncIterator[Database]:
    """A database that nobody has migrated."""
    async with fresh_database(servers.pg_url, template=EMPTY) as fresh:
        yield fresh


@pytest.fixture
def _broker_turn(servers: Addresses) -> Iterator[None]:
    """Without the management plugin there is one virtual host for all: tests take turns."""
    if servers.management_url is not None:
        yield
        return
    with (Path(tempfile.gettempdir()) / "outbox-tests-broker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
async def broker(servers: Addresses, _broker_turn: None) -> AsyncIterator[Broker]:
    async with fresh_vhost(servers) as fresh:
        yield fresh
