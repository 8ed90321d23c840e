"""People are told although processes are killed, channels hang or are down, and one of them holds up no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from outbox.model.errors import ExitCode
from sandbox.crm import CrmServer
from sandbox.ports import free_ports
from tests.kit.broker import Broker
from tests.kit.chat import Chat, chat
from tests.kit.cli import FLOW, Cli, one_flow
from tests.kit.database import Database
from tests.kit.probe import metrics_of
from tests.kit.waiting import until

QUICK = {"wait": "0s", "every": "0s", "repeat_every": "1h", "over_after": "0s", "check_every": "50ms"}
EMIT = (
    "select outbox.emit('order.confirmed', $1, json_build_object('order_ref', $1::text, 'customer', 'C-1',"
    " 'revision', 1, 'amount', '1.00'))"
)
REST = "update outbox.alert_route set {0} = clock_timestamp() where {0} > clock_timestamp()"


@dataclass
class Place:
    """One flow to a target that refuses our credentials: its circuit is an alert from the first event on."""

    cli: Cli
    database: Database
    crm: CrmServer

    def settings(self, **channels: dict[str, Any]) -> None:
        settings: dict[str, Any] = one_flow(self.crm.url, bearer="wrong")
        settings["alerts"] = QUICK | {"channels": channels, "to": list(channels)}
        self.cli.settings(settings)

    async def break_it(self) -> None:
        await self.database.value(EMIT, "SO-1")

    async def go_on(self, column: str) -> None:
        """Let the pause of a failed channel, or the lease of who holds it, be over."""
        await self.database.value(REST.format(column))

    async def noted(self) -> None:
        """Wait until it is noted that somebody was told."""

        async def look() -> object:
            return await self.database.value("select count(*) from outbox.alert_notice where told_at is not null")

        await until(look, what="it is noted that somebody was told")

    async def failures(self) -> dict[str, int]:
        rows = await self.database.rows("select channel, failures from outbox.alert_route")
        return {row["channel"]: row["failures"] for row in rows}


@asynccontextmanager
async def place_for(cli: Cli, database: Database, broker: Broker, folder: Path) -> AsyncIterator[Place]:
    async with CrmServer(ledger_path=folder / "ledger.jsonl") as crm:
        yield Place(replace(cli, pg_url=database.url, amqp_url=broker.url), database, crm)


@pytest.fixture
async def place(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Place]:
    async with place_for(Cli(tmp_path), database, broker, tmp_path) as ready:
        yield ready


def json_to(one: Chat, **chosen: object) -> dict[str, Any]:
    return {"url": one.url, "format": "json"} | chosen


async def test_a_process_killed_while_it_tells_leaves_it_to_another_and_nothing_is_lost(place: Place) -> None:
    async with chat() as ops:
        ops.status = None
        place.settings(ops=json_to(ops, timeout="15s"))
        doomed = await place.cli.start("run")
        try:
            await doomed.logged("lanes", held=16)
            await place.break_it()
            await ops.was_called(1)
            await doomed.kill()
            assert ops.posts == []
            ops.status = 200
            async with place.cli.running("run") as heir:
                # Its lease is longer than any bound on sending; nobody waits for it here.
                await heir.logged("service started", service="channel ops")
                await place.go_on("leased_until")
                told = await ops.has_told("circuit")
                assert told["subject"] == f"flow {FLOW}"
                await heir.logged("notice sent", channel="ops", is_repeated=False)
                assert len(ops.told("circuit", "raised")) == 1
        finally:
            await doomed.kill()


async def test_an_alert_that_a_killed_process_has_raised_is_over_when_another_finds_it_well(place: Place) -> None:
    async with chat() as ops:
        place.settings(ops=json_to(ops))
        doomed = await place.cli.start("run")
        try:
            await doomed.logged("lanes", held=16)
            await place.break_it()
            await ops.has_told("circuit")
            await place.noted()
        finally:
            await doomed.kill()
        # The next process never sees it open.
        closed = await place.cli("circuit", "close", FLOW, "--why", "mended")
        assert closed.code == ExitCode.OK, closed
        settings: dict[str, Any] = one_flow(place.crm.url, bearer=place.crm.token)
        settings["alerts"] = QUICK | {"channels": {"ops": json_to(ops)}, "to": ["ops"]}
        place.cli.settings(settings)
        async with place.cli.running("run"):
            assert (await ops.has_told("circuit", "over"))["subject"] == f"flow {FLOW}"


async def test_a_channel_that_hangs_or_fails_is_told_and_tried_again_and_holds_up_no_other(place: Place) -> None:
    (port,) = free_ports(1)
    async with chat() as ops, chat() as hanging, chat() as failing:
        hanging.status, failing.status = None, 500
        place.settings(
            ops=json_to(ops), hanging=json_to(hanging, timeout="300ms"), failing=json_to(failing, timeout="15s")
        )
        async with place.cli.running("run", OUTBOX_HTTP_PORT=str(port)) as process:
            await process.logged("lanes", held=16)
            await place.break_it()
            await ops.has_told("circuit")
            silent = await process.logged("a channel took no notice, it is tried again", channel="hanging")
            assert (silent["level"], silent["reason"], silent["failures"]) == ("error", "no answer in time", 1)
            assert 15 <= silent["pause_seconds"] <= 30
            refused = await process.logged("a channel took no notice, it is tried again", channel="failing")
            assert refused["reason"] == "it answered 500"
            assert await place.failures() == {"ops": 0, "hanging": 1, "failing": 1}
            metrics = await metrics_of(port)
            assert metrics['outbox_alert_channel_failing{channel="failing"}'] == 1
            assert metrics['outbox_alert_channel_failing{channel="ops"}'] == 0

            async def is_counted() -> bool:
                return (await metrics_of(port))["outbox_alerts_standing"] == 1

            await until(is_counted, what="the alert is counted")
            assert metrics['outbox_alert_notices_total{channel="failing",result="failed"}'] == 1
            shown = await place.cli("alerts", COLUMNS="200")
            assert "1 failed" in shown.out
            assert "it answered 500" in shown.out
            assert "s3cret-hook" not in shown.out + str(process.lines)

            await place.go_on("next_at")
            again = await process.logged("a channel took no notice, it is tried again", channel="failing", failures=2)
            assert 30 <= again["pause_seconds"] <= 60
            failing.status = 200
            await place.go_on("next_at")
            await failing.has_told("circuit")
            assert len(ops.posts) == 1

            async def has_recovered() -> bool:
                seen = await metrics_of(port)
                return seen['outbox_alert_channel_failing{channel="failing"}'] == 0

            await until(has_recovered, what="the channel works again")


async def test_a_process_drains_while_a_channel_hangs(place: Place) -> None:
    async with chat() as hanging:
        hanging.status = None
        place.settings(hanging=json_to(hanging, timeout="500ms"))
        async with place.cli.running("run") as process:
            await process.logged("lanes", held=16)
            await place.break_it()
            await hanging.was_called(1)


async def test_a_flow_that_is_removed_is_no_alert_any_more(place: Place) -> None:
    async with chat() as ops:
        place.settings(ops=json_to(ops))
        async with place.cli.running("run") as process:
            await process.logged("lanes", held=16)
            await place.break_it()
            await ops.has_told("circuit")
            settings: dict[str, Any] = one_flow(place.crm.url, bearer="wrong")
            settings |= {"flows": {}, "alerts": QUICK | {"channels": {"ops": json_to(ops)}, "to": ["ops"]}}
            place.cli.settings(settings)
            process.hang_up()
            await process.logged("flow removed", flow=FLOW)
            await ops.has_told("circuit", "over")


async def test_a_test_notice_is_sent_or_the_reason_is_told(place: Place) -> None:
    async with chat() as ops:
        mail = {"url": "smtp://127.0.0.1:9", "sender": "a@example.com", "recipients": ["owner.technical"]}
        place.settings(ops=json_to(ops), mail=mail)
        # Needs no database.
        apart = replace(place.cli, pg_url="postgresql://nobody@127.0.0.1:9/none")
        sent = await apart("alerts", "test", "ops")
        assert (sent.code, sent.out.strip()) == (ExitCode.OK, "the channel ops has taken a test notice")
        assert ops.posts[0]["test"] is True
        ops.status = 503
        refused = await apart("alerts", "test", "ops")
        assert "the channel ops took nothing: it answered 503 next step" in refused.refusal(ExitCode.CHECK_FAILED)
        assert "s3cret-hook" not in refused.err
        assert "did you mean 'ops'?" in (await apart("alerts", "test", "opps")).refusal(ExitCode.USAGE)
        assert "name one with --flow" in (await apart("alerts", "test", "mail")).refusal(ExitCode.USAGE)
        assert "no addresses" in (await apart("alerts", "test", "mail", "--flow", FLOW)).refusal(ExitCode.USAGE)
