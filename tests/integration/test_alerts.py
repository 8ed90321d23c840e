"""People are written to when a flow is not as promised, once by however many processes, and again when it is over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sandbox.crm import DEFAULT_TOKEN, CrmServer
from sandbox.crm_faults import Fault, Faults, Script
from tests.kit.broker import Broker
from tests.kit.chat import Chat, chat, mailbox
from tests.kit.cli import FLOW, Cli, one_flow
from tests.kit.database import Database
from tests.kit.waiting import until

QUICK = {
    "wait": "100ms",
    "every": "100ms",
    "repeat_every": "1h",
    "over_after": "300ms",
    "circuit_open_after": "200ms",
    "check_every": "50ms",
    "link": "https://dash.example.com/flows/{flow}",
}
EMIT = (
    "select outbox.emit('order.confirmed', $1, json_build_object('order_ref', $1::text, 'customer', 'CANARY-C',"
    " 'revision', 1, 'amount', '1.00'))"
)
# Refused for good: a dead letter at once.
REFUSED = Script(order_ref="SO-D", fault=Fault.ERROR_500, times=1000)


def settings_for(crm: CrmServer, place: Chat, **flow: object) -> dict[str, Any]:
    settings: dict[str, Any] = one_flow(crm.url, bearer=DEFAULT_TOKEN)
    settings["alerts"] = QUICK | {"channels": {"ops": {"url": place.url, "format": "json"}}, "to": ["ops"]}
    settings["flows"][FLOW] |= {
        "owner": {"business": "sales@example.com", "technical": "it@example.com"},
        "runbook": "docs/orders.md",
    } | flow
    return settings


async def test_a_late_flow_is_told_with_owner_runbook_and_link_and_told_again_when_it_is_over(
    cli: Cli, database: Database, broker: Broker, tmp_path: Path
) -> None:
    scripts = (Script(order_ref="SO-1", fault=Fault.UNAVAILABLE_503, times=6),)
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl", faults=Faults(scripts=scripts)) as crm, chat() as ops:
        cli.settings(settings_for(crm, ops, alert={"late_after": "300ms", "to": ["ops"]}))
        here = replace(cli, pg_url=database.url, amqp_url=broker.url)
        async with here.running("run") as process:
            await process.logged("lanes", held=16)
            await database.value(EMIT, "SO-1")
            late = await ops.has_told("late")
            assert late["subject"] == f"flow {FLOW}"
            assert late["owner"] == "sales@example.com / it@example.com"
            assert (late["runbook"], late["next_step"]) == ("docs/orders.md", "outbox status")
            assert late["link"] == f"https://dash.example.com/flows/{FLOW}"
            assert "alert.late_after is 0.3 s" in late["text"]
            over = await ops.has_told("late", "over")
            assert over["id"] == late["id"]
            await process.logged("notice sent", over=1, channel="ops")
            assert len(ops.told("late", "raised")) == 1
            listed = (await here("alerts", "--over", "--json")).json()
            (told,) = next(one for one in listed if one["rule"] == "late")["told"]
            assert (told["channel"], told["failures"]) == ("ops", 0)
            assert told["told_at"] < told["over_told_at"]
            assert not [line for line in process.lines if "s3cret-hook" in str(line)]
        assert "CANARY-C" not in str(ops.posts)


async def test_two_processes_and_one_that_is_killed_tell_a_dead_letter_once_and_that_there_are_more(
    cli: Cli, database: Database, broker: Broker, tmp_path: Path
) -> None:
    scripts = tuple(Script(order_ref=ref, fault=Fault.ERROR_500, times=1000) for ref in ("SO-1", "SO-2"))
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl", faults=Faults(scripts=scripts)) as crm, chat() as ops:
        cli.settings(settings_for(crm, ops, adapter=_refusing(crm)))
        here = replace(cli, pg_url=database.url, amqp_url=broker.url)
        doomed = await here.start("run")
        try:
            async with here.running("run"):
                await database.value(EMIT, "SO-1")
                dead = await ops.has_told("dead")
                assert (dead["level"], dead["text"]) == (1, "1 dead letter and nobody has decided")
                assert dead["next_step"] == f"outbox dead list --flow {FLOW}"

                async def is_noted() -> object:
                    return await database.value("select count(*) from outbox.alert_notice where told_at is not null")

                await until(is_noted, what="it is noted that somebody was told")
                await doomed.kill()
                await database.value(EMIT, "SO-2")
                grown = await ops.has_told("dead", "grown")
                assert (grown["id"], grown["level"]) == (dead["id"], 2)
                assert len(ops.told("dead", "raised")) == 1
                assert await database.value("select count(*) from outbox.alert where rule = 'dead'") == 1
        finally:
            await doomed.kill()


async def test_a_target_that_is_left_alone_and_settings_that_are_refused_are_told(
    cli: Cli, database: Database, broker: Broker, tmp_path: Path
) -> None:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl") as crm, chat() as ops, mailbox() as post:
        settings = settings_for(crm, ops) | {"reload": {"check_every": "50ms"}}
        settings["connections"]["crm"]["bearer"] = "wrong"
        settings["alerts"]["channels"]["mail"] = {
            "url": f"smtp://127.0.0.1:{post.port}",
            "sender": "outbox@example.com",
            "recipients": ["owner.technical"],
            "starttls": False,
        }
        settings["flows"][FLOW]["alert"] = {"late_after": "1h", "to": ["mail", "ops"]}
        cli.settings(settings)
        here = replace(cli, pg_url=database.url, amqp_url=broker.url)
        async with here.running("run") as process:
            await process.logged("lanes", held=16)
            await database.value(EMIT, "SO-1")
            circuit = await ops.has_told("circuit")
            assert circuit["text"] == "the target is left alone, and waiting will hardly help"
            mail = await post.has_mail()
            assert (mail["To"], mail["From"]) == ("it@example.com", "outbox@example.com")
            assert mail["Subject"] == f"[outbox] 1 alert: flow {FLOW} circuit"
            assert "next step: outbox circuit" in mail.get_content()

            cli.settings(settings | {"nonsense": 1})
            refused = await ops.has_told("refused")
            assert refused["subject"] == "settings"
            assert "1 of 1 process refused newer settings" in refused["text"]
            settings["connections"]["crm"]["bearer"] = DEFAULT_TOKEN
            cli.settings(settings)
            await ops.has_told("refused", "over")
            await ops.has_told("circuit", "over")
            assert (await post.has_mail(2))["Subject"] == f"[outbox] 1 over: flow {FLOW} circuit"


async def test_totals_that_disagree_are_told_until_a_window_agrees(
    cli: Cli, database: Database, broker: Broker, tmp_path: Path
) -> None:
    insert = (
        "insert into outbox.reconciliation (flow, since, until, leased_until, ended_at, verdict, result) values ($1,"
        " now() - interval '2 days', now() - $2::text::interval, now(), now(), $3, json_build_object('standing',"
        " json_build_object('lost', 2, 'waiting', 5), 'totals', json_build_array('4711.99')))"
    )
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl") as crm, chat() as ops:
        cli.settings(settings_for(crm, ops, reconcile={"every": "1d"}))
        here = replace(cli, pg_url=database.url, amqp_url=broker.url)
        # What this process's own window comes to (nothing) must not be newer.
        await database.value(insert, FLOW, "-1 hour", "disagrees")
        async with here.running("run"):
            told = await ops.has_told("totals")
            assert told["level"] == 2
            assert "disagree: 2 events and records without a reason (5 waiting, 2 lost)" in told["text"]
            assert told["next_step"] == f"outbox reconcile --flow {FLOW}"
            await database.value(insert, FLOW, "-2 hours", "agrees")
            await ops.has_told("totals", "over")
            untold = (
                "insert into outbox.reconciliation (flow, since, until, leased_until, epoch) values ($1, now(),"
                " now() + interval '3 hours', now() + interval '1 hour', 3)"
            )
            await database.value(untold, FLOW)
            await ops.has_told("untold")
        assert "4711.99" not in str(ops.posts)


async def test_events_that_are_not_published_are_told_by_a_relay_that_has_no_broker(
    cli: Cli, database: Database
) -> None:
    async with chat() as ops:
        cli.settings(
            {
                "relay": {"watch_every": "50ms"},
                "alerts": QUICK
                | {
                    "channels": {"ops": {"url": ops.url, "format": "json"}},
                    "to": ["ops"],
                    "unpublished_after": "100ms",
                },
            }
        )
        await database.value(EMIT, "SO-1")
        async with replace(cli, pg_url=database.url).running("relay"):
            told = await ops.has_told("unpublished")
            assert (told["subject"], told["owner"], told["link"]) == ("stream outbox.event", None, None)
            assert "alerts.unpublished_after is 0.1 s" in told["text"]


async def test_without_channels_nothing_is_judged_and_nothing_written(
    cli: Cli, database: Database, broker: Broker, tmp_path: Path
) -> None:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl", faults=Faults(scripts=(REFUSED,))) as crm:
        settings: dict[str, Any] = one_flow(crm.url, bearer=DEFAULT_TOKEN)
        settings["flows"][FLOW]["adapter"] = _refusing(crm)
        cli.settings(settings)
        here = replace(cli, pg_url=database.url, amqp_url=broker.url)
        async with here.running("run") as process:
            await database.value(EMIT, "SO-D")
            await process.logged("parked")

            async def is_observed() -> bool:
                return bool(process.find("flow observed", dead=1))

            await until(is_observed, what="the flow was looked at")
            assert not process.find("service started", service="alerts")
        assert await database.value("select count(*) from outbox.alert") == 0
        shown = await here("alerts")
        assert "nobody is written to" in shown.out


def _refusing(crm: CrmServer) -> dict[str, object]:
    """Return an adapter for which an answer of 500 is a refusal."""
    assert crm.url
    return {
        "use": "rest",
        "connection": "crm",
        "operations": {"*": {"method": "POST", "path": "/deals", "external_id": "deal.id"}},
        "idempotency": {"window": "24h"},
        "statuses": {"500": "rejected"},
    }
