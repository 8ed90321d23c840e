"""What the tests with real servers share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from outbox.model.delivery import OrderPolicy
from outbox.model.flow_policy import FlowPolicy
from outbox.postgres.inbox_store import InboxStore
from outbox.postgres.replay import ReplaySession, replay_session
from sandbox.crm import CrmServer
from tests.kit.broker import Broker
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.inbox import FLOW, LANES, Inbox
from tests.kit.linked_flows import LinkedFlows
from tests.kit.parked import Desk, desk_for
from tests.kit.replays import REMEMBERED_SECONDS
from tests.kit.running import Integration


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture
def order() -> OrderPolicy:
    """Return what the flow of ``inbox`` and ``desk`` does about order; a module may have another."""
    return OrderPolicy()


@pytest.fixture
async def inbox(database: Database, order: OrderPolicy) -> AsyncIterator[Inbox]:
    async with InboxStore(database.server, FlowPolicy(order)).session(FLOW) as session:
        await session.register(LANES)
        ready = Inbox(session, database)
        await ready.hold()
        yield ready


@pytest.fixture
async def flows(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[LinkedFlows]:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl") as crm:
        yield LinkedFlows(Integration(database, broker, crm, tmp_path))


@pytest.fixture
async def desk(database: Database, order: OrderPolicy) -> AsyncIterator[Desk]:
    async with desk_for(database, order) as ready:
        yield ready


@pytest.fixture
async def replays(database: Database) -> AsyncIterator[ReplaySession]:
    async with replay_session(database.server, REMEMBERED_SECONDS) as session:
        yield session
