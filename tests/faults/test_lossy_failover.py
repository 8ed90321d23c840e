"""A server that took over or was recovered: the relay goes on unless something that it has published is missing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from outbox.model.errors import ExitCode
from outbox.postgres.connection import PostgresServer
from outbox.postgres.migrate import migrate
from tests.kit.broker import Broker
from tests.kit.cli import Cli
from tests.kit.copies import (
    PrivateCluster,
    caught_up,
    create_database,
    cut_off,
    promote,
)
from tests.kit.database import Database
from tests.kit.outbox import NEXT_STEP, Outbox
from tests.kit.process import Process
from tests.kit.site import proxied
from tests.kit.tap import Tap
from tests.kit.urls import port_of, with_database

SURVIVED = "the database has failed over, nothing that is remembered as published is missing"
pytestmark = pytest.mark.xdist_group("other cluster")


@pytest.fixture
async def on_cluster(other_cluster: PrivateCluster, broker: Broker, tap: Tap, tmp_path: Path) -> Outbox:
    """An outbox on a primary that has standbys."""
    url = await create_database(other_cluster.primary.url, f"erp_{uuid4().hex[:12]}")
    await migrate(PostgresServer(url))
    return Outbox.with_one_channel(Database(url), Cli(tmp_path, url, broker.url), tap)


def _same_database(url: str, outbox: Outbox) -> str:
    return with_database(url, outbox.database.url.rpartition("/")[2])


async def _confirmed(relay: Process, outbox: Outbox, emitted: set[str]) -> None:
    """Wait until the relay knows that the broker has these: what it does not know, it cannot miss on another server."""
    await outbox.saw(emitted)
    await relay.logged("page published", last_sequence=max(message.sequence for message in outbox.tap.seen))


async def test_a_relay_survives_a_failover_that_lost_nothing_and_stops_at_one_that_did(
    other_cluster: PrivateCluster, on_cluster: Outbox
) -> None:
    first = await asyncio.to_thread(other_cluster.base_backup, "first", follows=True)
    second = await asyncio.to_thread(other_cluster.base_backup, "second", follows=True)
    complete, behind = await asyncio.to_thread(first.start), await asyncio.to_thread(second.start)
    async with proxied(on_cluster.database.url) as (postgres, url), on_cluster.on(url).cli.running("relay") as relay:
        await relay.logged("caught up")
        emitted = await on_cluster.emit(6)
        await on_cluster.saw(emitted)
        await caught_up(other_cluster.primary.url, behind)
        await cut_off(behind)
        emitted |= await on_cluster.emit(3)
        await _confirmed(relay, on_cluster, emitted)
        await caught_up(other_cluster.primary.url, complete)

        postgres.refuse()
        postgres.cut()
        await promote(complete)
        postgres.target_port = port_of(complete)
        await postgres.accept()
        survived = await relay.logged(SURVIVED)
        assert (survived["timeline_before"], survived["verified_events"]) == ("00000001", 9)
        emitted |= await on_cluster.on(_same_database(complete, on_cluster)).emit(2)
        await _confirmed(relay, on_cluster, emitted)

        mark = relay.mark()
        postgres.refuse()
        postgres.cut()
        await promote(behind)
        postgres.target_port = port_of(behind)
        await postgres.accept()
        waiting = await relay.logged("service waiting", since=mark, level="error")
        assert "this server has lost transactions: 5 of the last 11 events that were published" in waiting["reason"]
        # The new primary's sequence has gone on above what it had replayed.
        highest = max(message.sequence for message in on_cluster.tap.seen)
        assert f"sequence 7 to {highest}" in waiting["reason"]
        assert NEXT_STEP in " ".join(waiting["reason"].split())

        survivor = on_cluster.on(_same_database(behind, on_cluster))
        emitted |= await survivor.emit(1)
        shown = (await survivor.cli("rebase", "--yes", "--why", "a test", "--json")).json()
        assert f"5 of the last 11 published events do not exist here (sequence 7 to {highest})" in " ".join(
            shown["findings"]
        )
        assert shown["plan"]["recollection"]["highest_sequence"] == highest
        assert shown["rebased"]["sequence_after"] >= highest, "numbers that receivers know are not given out again"
        await relay.logged("lead taken", since=mark, epoch=shown["rebased"]["epoch"] + 1)
        newest = await survivor.emit(1)
        await on_cluster.saw(emitted | newest)
        assert set(on_cluster.tap.ids()) == emitted | newest
        assert [message.sequence > highest for message in on_cluster.tap.seen if message.message_id in newest] == [True]


async def test_a_server_recovered_to_a_point_in_time_is_told_by_what_the_broker_remembers(
    other_cluster: PrivateCluster, on_cluster: Outbox
) -> None:
    await on_cluster.publish(5)
    backup = await asyncio.to_thread(other_cluster.base_backup, "backup", follows=False)
    await on_cluster.publish(4)
    recovered = on_cluster.on(_same_database(await asyncio.to_thread(backup.recover), on_cluster))

    refusal = await recovered.relay_refuses()
    assert "this server has lost transactions: 4 of the last 9 events that were published do not exist here" in refusal
    shown = await recovered.cli("rebase")
    assert shown.code == ExitCode.OK
    assert "Receivers hold messages of transactions that never happened here" in shown.out
    assert "range resume: no event would be published again." in shown.out

    assert (await recovered.cli("rebase", "--yes", "--from", "4", "--why", "recovered")).code == ExitCode.OK
    await recovered.publish(2)
    sequences = [message.sequence for message in recovered.tap.seen]
    assert sequences[9:11] == [4, 5], "the range that was chosen, in its order"
    assert min(sequences[11:]) > 9
    assert recovered.tap.ids()[9:11] == recovered.tap.ids()[3:5]
