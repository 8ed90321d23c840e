"""A whole site for each test; its processes are gone when the test is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from outbox.postgres.connection import PostgresServer
from outbox.postgres.migrate import migrate
from tests.kit.broker import Broker
from tests.kit.cli import Cli
from tests.kit.copies import PrivateCluster, private_cluster
from tests.kit.database import Database
from tests.kit.outbox import Outbox
from tests.kit.site import Site, site_for
from tests.kit.tap import Tap, tapped


@pytest.fixture
async def site(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Site]:
    async with site_for(database, broker, tmp_path) as ready:
        yield ready


@pytest.fixture
async def tap(broker: Broker) -> AsyncIterator[Tap]:
    """What is on the wire, from the first message on."""
    async with tapped(broker) as ready:
        yield ready


@pytest.fixture
def outbox(database: Database, broker: Broker, tap: Tap, tmp_path: Path) -> Outbox:
    """An outbox without flows."""
    return Outbox.with_one_channel(database, Cli(tmp_path, database.url, broker.url), tap)


@pytest.fixture(scope="module")
def other_cluster() -> Iterator[PrivateCluster]:
    """A cluster beside the one that all tests share, for one module; it has come to few transactions only."""
    with private_cluster() as cluster:
        # The roles that a dump grants to.
        asyncio.run(migrate(PostgresServer(cluster.primary.url)))
        yield cluster
