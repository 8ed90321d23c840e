"""A dumped and restored database: its transaction ids are another server's, and the relay must not believe them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from outbox.model.errors import ExitCode
from outbox.postgres.connection import PostgresServer
from outbox.postgres.migrate import migrate
from tests.kit.copies import PrivateCluster, burn_transaction_ids, create_database, dump_and_restore
from tests.kit.database import EMPTY, fresh_database
from tests.kit.outbox import Outbox
from tests.kit.shared_servers import Addresses

pytestmark = pytest.mark.xdist_group("other cluster")


@asynccontextmanager
async def restored(outbox: Outbox, pg_url: str) -> AsyncIterator[Outbox]:
    """Dump and restore into a new database of this server."""
    url = await create_database(pg_url, f"restored_{uuid4().hex[:12]}")
    await asyncio.to_thread(dump_and_restore, outbox.database.url, url)
    yield outbox.on(url)


async def test_a_dump_restored_into_a_cluster_with_fewer_transactions_waits_for_a_rebase(
    outbox: Outbox, other_cluster: PrivateCluster
) -> None:
    await burn_transaction_ids(outbox.database.url, 3000)
    await outbox.publish(20)
    await outbox.emit(5)
    async with restored(outbox, other_cluster.primary.url) as copy:
        refusal = await copy.relay_refuses()
        assert "was saved in another cluster" in refusal
        assert "Uncertain: 5 of its events, sequence 21 to 25" in refusal

        before = await copy.cursor()
        shown = (await copy.cli("rebase", "--json")).json()
        plan = shown["plan"]
        assert await copy.cursor() == before, "showing changed something"
        assert (plan["chosen"], plan["first_chosen"], plan["last_chosen"]) == (5, 21, 25)
        assert plan["chosen_types"] == {"order.changed": 5}
        assert (plan["events"], plan["sequence_value"]) == (25, 25)
        assert plan["saved_transaction"] > plan["transaction"]
        assert plan["newest_row_transaction"] > plan["transaction"]
        assert "The cursor was saved in another cluster" in shown["findings"][0]
        assert shown["certain"][0].startswith("20 of 25 events were passed")
        rebased = (await copy.cli("rebase", "--yes", "--json", "--why", "moved")).json()["rebased"]
        assert rebased["first_sequence"] == 21
        await copy.publish(10)
        sequences = [message.sequence for message in copy.tap.seen]
        assert sequences[:25] == list(range(1, 26)), "nothing lost, nothing repeated"
        assert len(set(copy.tap.ids())) == len(sequences) == 35
        assert min(sequences[25:]) > plan["last_sequence"]

        # The server comes to the transaction ids of the rows that came with the dump: they must not look new.
        await burn_transaction_ids(copy.database.url, plan["newest_row_transaction"] - plan["transaction"] + 100)
        await copy.publish(1)
        assert len(copy.tap.seen) == 36
        assert copy.is_in_order()

        (audit,) = await copy.database.rows("select * from outbox.rebase")
        assert (audit["choice"], audit["reason"], audit["rebased_by"]) == ("resume", "moved", "postgres")
        assert (audit["first_sequence"], audit["horizon"]) == (21, 25)


async def test_a_dump_restored_into_a_cluster_with_more_transactions_is_published_again_as_a_whole(
    outbox: Outbox, other_cluster: PrivateCluster, servers: Addresses
) -> None:
    url = await create_database(other_cluster.primary.url, f"source_{uuid4().hex[:12]}")
    await migrate(PostgresServer(url))
    source = outbox.on(url)
    await source.publish(12)
    await burn_transaction_ids(outbox.database.url, 3000)
    async with fresh_database(servers.pg_url, template=EMPTY) as target:
        await asyncio.to_thread(dump_and_restore, url, target.url)
        copy = outbox.on(target.url)
        refusal = await copy.relay_refuses()
        assert "was saved in another cluster" in refusal
        assert "All of its events were published" in refusal

        await copy.emit(3)
        plan = (await copy.cli("rebase", "--all", "--yes", "--why", "a test", "--json")).json()["plan"]
        assert plan["chosen"] == 15
        assert plan["saved_transaction"] < plan["transaction"]
        await copy.publish(4)

        assert [message.sequence for message in copy.tap.seen[:27]] == [*range(1, 13), *range(1, 16)]
        assert len(set(copy.tap.ids()[27:])) == 4
        assert copy.tap.ids()[:12] == copy.tap.ids()[12:24], "the same events have the same message ids"
        assert copy.is_in_order()


async def test_a_copy_beside_its_original_does_not_publish_by_itself(outbox: Outbox, servers: Addresses) -> None:
    await outbox.publish(8)
    await outbox.emit(2)
    async with fresh_database(servers.pg_url, template=EMPTY) as target:
        await asyncio.to_thread(dump_and_restore, outbox.database.url, target.url)
        copy = outbox.on(target.url)
        assert "was saved in another database of this cluster" in await copy.relay_refuses()

        assert (await copy.cli("rebase", "--nothing", "--yes", "--why", "a test")).code == ExitCode.OK
        await copy.publish(3)
        assert len(copy.tap.seen) == 11
        assert min(message.sequence for message in copy.tap.seen[8:]) > 10, "not those that came with the copy"
        await outbox.publish()
        await outbox.tap.saw(13)
        assert [message.sequence for message in outbox.tap.seen[11:]] == [9, 10], "the original is not concerned"


async def test_a_rebase_is_refused_while_a_relay_leads_and_while_a_writer_does_not_end(outbox: Outbox) -> None:
    await outbox.publish(3)
    async with outbox.cli.running("relay") as relay:
        await relay.logged("caught up")
        refusal = (await outbox.cli("rebase", "--yes", "--why", "a test")).refusal(ExitCode.MISCONFIGURED)
        assert "a relay leads outbox.event: outbox-relay from 127.0.0.1, connected since" in refusal
    before = await outbox.cursor()
    async with outbox.database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("select outbox.emit('t', 'k', '1')")
        refusal = (await outbox.cli("rebase", "--yes", "--why", "a test")).refusal(ExitCode.UNAVAILABLE)
        assert "transactions that write events did not end within 2s; nothing was changed" in refusal
        await transaction.rollback()
    assert await outbox.cursor() == before
    assert await outbox.database.rows("select from outbox.rebase") == []
