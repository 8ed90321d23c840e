"""The relay keeps the partitions up beside its work; the command does the same for those who schedule it themselves."""

from __future__ import annotations

from dataclasses import replace

from outbox.model.errors import ExitCode
from sandbox.ports import free_ports
from tests.integration.test_permissions import connected, login
from tests.kit.broker import Broker
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.partitions import IDS, INSERT, age, days_go_by, publish_until_passed, states
from tests.kit.probe import metrics_of
from tests.kit.process import Process
from tests.kit.tap import tapped
from tests.kit.verbs import Verbs
from tests.kit.waiting import until

QUICK = {"retention": {"keep": "1s", "partition_every": "1s", "check_every": "50ms"}}


async def _happens(relay: Process, change: str, partition: str) -> None:
    await relay.logged("partition", change=change, partition=partition)


async def test_a_relay_opens_a_partition_each_day_and_drops_what_is_published_and_old(
    cli: Cli, database: Database, broker: Broker
) -> None:
    cli.settings(QUICK)
    (port,) = free_ports(1)
    running = replace(cli, pg_url=database.url, amqp_url=broker.url).running("relay", OUTBOX_HTTP_PORT=str(port))
    async with login(database, "outbox_writer") as url, tapped(broker) as tap, running as relay:
        await _happens(relay, "created", "event_p3")
        async with connected(url) as erp:
            for day in range(1, 4):
                await erp.execute("insert into outbox.event (type, key, payload) values ('t', 'k', '{}')")
                await _happens(relay, "opened", f"event_p{day}")
        for change in ("closed", "emptied", "dropped"):
            await _happens(relay, change, "event_p0")
            await _happens(relay, change, "event_p2")
        await tap.saw(3)

        async def is_quiet() -> bool:
            return await database.value("select count(*) from outbox.partition") == 4

        await until(is_quiet, what="three partitions are dropped, one is open, three are ahead")
        metrics = await metrics_of(port)
    assert [message.sequence for message in tap.seen] == [1, IDS, 2 * IDS]
    assert metrics['outbox_partitions_ahead{stream="outbox.event"}'] == 3
    assert metrics['outbox_default_partition_used{stream="outbox.event"}'] == 0
    assert metrics['outbox_oldest_partition_age_seconds{stream="outbox.event"}'] >= 0
    assert 0 <= metrics["outbox_upkeep_age_seconds"] < 30


async def test_a_failure_of_upkeep_does_not_stop_publishing(cli: Cli, database: Database, broker: Broker) -> None:
    cli.settings(QUICK)
    async with database.connection() as owner:
        # In the way of the partition that is to be created.
        await owner.execute("create table outbox.event_p1 (id int)")
    async with (
        tapped(broker) as tap,
        replace(cli, pg_url=database.url, amqp_url=broker.url).running("relay") as relay,
    ):
        waiting = await relay.logged("service waiting", service="partitions")
        assert waiting["level"] == "error"
        assert "event_p1" in waiting["reason"]
        await database.value(INSERT, "k")
        await tap.saw(1)
        async with database.connection() as owner:
            await owner.execute("drop table outbox.event_p1")
        await _happens(relay, "created", "event_p1")


async def test_a_relay_may_keep_partitions_up_and_change_no_table_itself(database: Database) -> None:
    await database.value(INSERT, "k")
    async with login(database, "outbox_relay") as url, connected(url) as relay:
        for step in ("seal_partitions()", "create_partitions(3)", "open_partition('1 day')", "drop_partition()"):
            await relay.fetch(f"select * from outbox.{step}")
        await relay.fetch("select * from outbox.empty_partitions('30 days')")
        assert len(await relay.fetch("select * from outbox.partitions()")) == 5


async def test_the_command_shows_each_partition_and_why_it_is_there(cli: Cli, database: Database) -> None:
    await database.value(INSERT, "k")
    await days_go_by(database)
    await publish_until_passed(database)
    outbox = Verbs(cli.folder, database.url)
    shown = await outbox("partitions")
    assert shown.code == ExitCode.OK, shown
    assert "event_p0: published, the retention is not over" in shown.out
    assert "event_p1: events are written into it" in shown.out
    first, *_ = (await outbox("partitions", "--json")).json()
    assert (first["name"], first["state"], first["low"], first["high"]) == ("event_p0", "passed", 0, IDS)
    assert first["size_bytes"] > 0


async def test_the_command_tells_what_is_due_and_does_it(cli: Cli, database: Database) -> None:
    await database.value(INSERT, "k")
    await days_go_by(database)
    await publish_until_passed(database)
    await age(database, 31)
    outbox = Verbs(cli.folder, database.url)
    before = await states(database)
    dry = await outbox("partitions", "maintain", "--dry-run")
    assert "event_p0: would be emptied, " in dry.out, dry
    assert await states(database) == before
    taken = (await outbox("partitions", "maintain", "--json")).json()["steps"]
    assert [(step["step"], step["partition"]) for step in taken] == [("emptied", "event_p0"), ("dropped", "event_p0")]
    assert (await outbox("partitions", "maintain")).out == "nothing is due\n"


async def test_idempotency_keys_are_forgotten_when_their_events_may_go(cli: Cli, database: Database) -> None:
    cli.settings({"retention": {"keep": "1h"}})
    async with database.connection() as owner:
        for key in ("old", "new"):
            await owner.execute("select outbox.emit('t', 'k', '{}', idempotency_key => $1)", key)
        await owner.execute(
            "update outbox.emitted set created_at = now() - interval '61 minutes' where idempotency_key = 'old'"
        )
    verbs = Verbs(cli.folder, database.url)
    for arguments, kept in ((["--dry-run"], {"old", "new"}), ([], {"new"})):
        assert (await verbs("partitions", "maintain", *arguments)).code == ExitCode.OK
        rows = await database.rows("select idempotency_key from outbox.emitted")
        assert {row["idempotency_key"] for row in rows} == kept
