"""Days that go by in a moment: rounds of upkeep against a database, and a relay's cursor without a broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from outbox.model.cursor import Cursor, Lead, PageLimits
from outbox.model.lanes import ONLY_LANE, Lane
from outbox.model.partitions import Partition, PartitionStep, Retention
from outbox.postgres.outbox_store import OutboxSession, OutboxStore
from outbox.postgres.partition_store import PartitionStore
from outbox.relay.partitions import Taken, keep_up
from outbox.supervisor import Stop
from tests.kit.database import Database
from tests.kit.waiting import until

IDS = 2**32
INSERT = "insert into outbox.event (type, key, payload) values ('t', $1, '{}') returning id"
# Everything published may go at once, unless a test says otherwise.
AT_ONCE = Retention(keep_seconds=0.0)
_LATER = """
update outbox.partition set opened_at = opened_at - $1 * interval '1 day', closed_at = closed_at - $1 * interval '1 day'
"""


async def upkeep(database: Database, retention: Retention | None = None, *, is_dry_run: bool = False) -> list[Taken]:
    """Run one round and return what it did."""
    taken: list[Taken] = []
    async with PartitionStore(database.server).session() as session:
        await keep_up(session, retention or Retention(), Stop(), taken.append, is_dry_run=is_dry_run, tries=3)
    return taken


async def age(database: Database, days: int) -> None:
    """Let days pass in which nobody keeps anything up."""
    async with database.connection() as connection:
        await connection.execute(_LATER, days)


async def days_go_by(database: Database, days: int = 1, retention: Retention | None = None) -> list[Taken]:
    """Let days pass, each with two rounds: one opens the day's partition, the other closes the one before."""
    taken = await upkeep(database, retention)
    for _ in range(days):
        await age(database, 1)
        for _ in range(2):
            taken += await upkeep(database, retention)
    return taken


def done(taken: list[Taken], step: PartitionStep) -> list[str]:
    """Return the partitions for which a step was done."""
    return [str(one.partition) for one in taken if one.step is step and one.postponed is None]


def postponed(taken: list[Taken], step: PartitionStep) -> list[str]:
    """Return why a step was not done."""
    return [one.postponed for one in taken if one.step is step and one.postponed is not None]


async def states(database: Database) -> dict[str, str]:
    """Return the state of each partition by its name."""
    return {partition.name: str(partition.state) for partition in await survey(database)}


async def survey(database: Database) -> list[Partition]:
    async with PartitionStore(database.server).session() as session:
        return await session.survey()


@dataclass
class Reader:
    """Reads and saves as the relay does, batch by batch, without a broker."""

    session: OutboxSession
    lead: Lead
    cursor: Cursor
    limits: PageLimits

    async def read(self) -> list[int]:
        """Read one batch to its end, save the cursor, and return the ids."""
        batch = await self.session.begin_batch(self.cursor)
        self.cursor = self.cursor.begun(batch.current)
        after = batch.start(self.cursor.position)
        ids: list[int] = []
        while True:
            page = await self.session.read_page(self.cursor, batch, after)
            ids += [event.sequence for event in page.events]
            if page.events or page.reach is not None:
                after = page.last_sequence()
            if page.is_last(self.limits):
                break
        self.cursor = self.cursor.finished()
        await self.session.save(self.lead, self.cursor)
        return ids

    async def passes(self, database: Database, partition: str) -> list[int]:
        """Read until everybody's cursor has passed a partition: strangers in other databases hold xmin back too."""
        ids: list[int] = []

        async def is_passed() -> bool:
            nonlocal ids
            ids += await self.read()
            return (await states(database))[partition] in {"passed", "detached"}

        await until(is_passed, what=f"{partition} is passed")
        return ids


async def publish_until_passed(database: Database, partition: str = "event_p0") -> list[int]:
    """Read everything as a relay does, until a partition is passed."""
    async with reading(database) as reader:
        return await reader.passes(database, partition)


@asynccontextmanager
async def reading(database: Database, *, page_events: int = 100, lane: Lane = ONLY_LANE) -> AsyncIterator[Reader]:
    limits = PageLimits(page_events, 1 << 20, 1 << 20)
    async with OutboxStore(database.server, limits, lane=lane).session() as session:
        lead = await session.try_lead()
        assert lead is not None
        yield Reader(session, lead, lead.cursor, limits)
