"""Which notices are due, to whom and when: one process at a time writes, nothing is lost, and flapping is no flood."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest

from outbox.model.addresses import Addressees, Route
from outbox.model.alert_rules import FLOW_RULES, AlertRule, Broken, Judgement
from outbox.model.notices import Claim, Kind
from outbox.postgres.alerts import AlertSession, AlertStore
from tests.kit.database import Database
from tests.kit.waiting import until

OPS = Addressees((Route("ops"),), "it@example.com", "docs/r.md", None)
LATE = Broken(AlertRule.LATE, "it has waited")
HOUR = 3600.0


@dataclass
class Alerts:
    session: AlertSession
    database: Database

    async def see(self, *broken: Broken, flow: str = "a", to: Addressees = OPS, over_after_seconds: float = 0.0) -> int:
        return await self.session.judge(Judgement(f"flow {flow}", FLOW_RULES, broken, flow), to, over_after_seconds)

    async def claim(self, channel: str = "ops", *, wait_seconds: float = 0.0, most: int = 50) -> Claim | None:
        return await self.session.claim(
            channel, wait_seconds=wait_seconds, repeat_seconds=HOUR, lease_seconds=30, most=most
        )

    async def told(self, channel: str = "ops", *, every_seconds: float = 0.0) -> list[tuple[str, str]]:
        """Tell what is due, and return it."""
        claim = await self.claim(channel)
        if claim is None:
            return []
        assert await self.session.end(claim, every_seconds)
        return kinds(claim)

    async def age(self, table: str, *columns: str, seconds: float = HOUR) -> None:
        """Let what happened have happened earlier."""
        changes = ", ".join(f"{one} = {one} - make_interval(secs => $1)" for one in columns)
        await self.database.value(f"update outbox.{table} set {changes}", seconds)


def kinds(claim: Claim) -> list[tuple[str, str]]:
    return [(one.subject.removeprefix("flow "), one.kind.value) for one in claim.notices]


def found(claim: Claim | None) -> Claim:
    assert claim is not None
    return claim


@asynccontextmanager
async def alerts_in(database: Database) -> AsyncIterator[Alerts]:
    async with AlertStore(database.server).session() as session:
        yield Alerts(session, database)


@pytest.fixture
async def alerts(database: Database) -> AsyncIterator[Alerts]:
    async with alerts_in(database) as ready:
        yield ready


async def test_an_alert_is_told_once_and_once_when_it_is_over(alerts: Alerts) -> None:
    assert await alerts.see(LATE) == 1
    assert await alerts.told() == [("a", "raised")]
    assert await alerts.see(LATE) == 1
    assert await alerts.told() == []
    assert await alerts.see() == 0
    assert await alerts.told() == [("a", "over")]
    assert await alerts.told() == []
    await alerts.see(LATE)
    assert await alerts.told() == [("a", "raised")]


async def test_what_is_wrong_with_several_flows_travels_in_one_message(alerts: Alerts) -> None:
    for flow in ("a", "b", "c"):
        await alerts.see(LATE, flow=flow)
    await alerts.told()
    await alerts.see(flow="a")
    await alerts.see(LATE, flow="d")
    assert await alerts.told() == [("d", "raised"), ("a", "over")]


async def test_a_first_notice_waits_for_others_and_people_have_peace_between_two_messages(alerts: Alerts) -> None:
    await alerts.see(LATE)
    assert await alerts.claim(wait_seconds=30) is None
    await alerts.age("alert", "raised_at", "broken_at", seconds=31)
    await alerts.see(LATE, flow="b")
    claim = found(await alerts.claim(wait_seconds=30))
    assert kinds(claim) == [("a", "raised"), ("b", "raised")]
    assert await alerts.session.end(claim, 300)
    await alerts.see(LATE, flow="c")
    assert await alerts.claim() is None
    await alerts.age("alert_route", "next_at", seconds=301)
    assert await alerts.told() == [("c", "raised")]


async def test_what_comes_and_goes_is_one_alert_and_no_flood(alerts: Alerts) -> None:
    told: list[tuple[str, str]] = []
    for _ in range(40):
        await alerts.see(LATE, over_after_seconds=60)
        told += await alerts.told()
        await alerts.see(over_after_seconds=60)
        told += await alerts.told()
    assert told == [("a", "raised")]
    await alerts.age("alert", "calm_at", seconds=61)
    assert await alerts.see(over_after_seconds=60) == 0
    assert await alerts.told() == [("a", "over")]
    assert await alerts.database.value("select count(*) from outbox.alert") == 1


async def test_what_has_to_last_is_told_once_it_has_lasted_and_never_when_it_has_not(alerts: Alerts) -> None:
    brief = Broken(AlertRule.CIRCUIT, "left alone", hold_seconds=60)
    assert await alerts.see(brief) == 1
    assert await alerts.see() == 0
    assert await alerts.database.value("select count(*) from outbox.alert") == 0
    await alerts.see(brief)
    assert await alerts.told() == []
    assert (await alerts.session.grounds()).raised == 0
    await alerts.age("alert", "broken_at", seconds=61)
    await alerts.see(brief)
    assert await alerts.told() == [("a", "raised")]


async def test_more_of_it_is_told_and_fewer_is_not(alerts: Alerts) -> None:
    for level, told in ((2, "raised"), (3, "grown"), (1, None), (1, None), (2, "grown")):
        await alerts.see(Broken(AlertRule.DEAD, f"{level} dead letters", level))
        assert await alerts.told() == ([] if told is None else [("a", told)]), level


async def test_what_still_stands_is_told_again_while_somebody_looks_at_it(alerts: Alerts) -> None:
    await alerts.see(LATE)
    await alerts.told()
    await alerts.age("alert_notice", "told_at")
    assert await alerts.told() == [("a", "still")]
    await alerts.age("alert_notice", "told_at")
    await alerts.age("alert", "seen_at", seconds=HOUR + 1)
    assert await alerts.told() == []
    await alerts.see(LATE)
    assert await alerts.told() == [("a", "still")]


async def test_what_came_and_went_while_a_channel_was_down_is_told_when_it_is_back(alerts: Alerts) -> None:
    await alerts.see(LATE)
    claim = found(await alerts.claim())
    assert await alerts.session.fail(claim, "it answered 503", 60)
    await alerts.see()
    assert await alerts.told() == []
    await alerts.age("alert_route", "next_at", seconds=61)
    assert await alerts.told() == [("a", "over")]


async def test_a_route_that_failed_rests_and_its_failures_are_counted_until_it_takes_one(alerts: Alerts) -> None:
    await alerts.see(LATE)
    for failures in range(3):
        claim = found(await alerts.claim())
        assert claim.failures == failures
        assert await alerts.session.fail(claim, "it answered 500", 60)
        assert await alerts.claim() is None
        await alerts.age("alert_route", "next_at", seconds=61)
    assert await alerts.told() == [("a", "raised")]
    (route,) = await alerts.database.rows("select failures, last_error, failed_at from outbox.alert_route")
    assert tuple(route) == (0, None, None)


async def test_whoever_has_claimed_a_route_is_its_only_writer_until_the_lease_is_over(
    alerts: Alerts, database: Database
) -> None:
    await alerts.see(LATE)
    first = found(await alerts.claim())
    async with alerts_in(database) as other:
        assert await other.claim() is None
        # As after kill -9 between sending and noting it.
        await alerts.age("alert_route", "leased_until", seconds=31)
        second = found(await other.claim())
        assert kinds(second) == [("a", "raised")]
        # The one that was frozen, and not killed, changes nothing any more.
        assert not await alerts.session.end(first, 0)
        assert not await alerts.session.fail(first, "late", 60)
        assert await other.session.end(second, 0)
    assert await alerts.told() == []


async def test_a_channel_that_is_taken_holds_up_no_other_and_neither_do_other_recipients(alerts: Alerts) -> None:
    routes = (Route("mail", ("a@example.com",)), Route("mail", ("b@example.com",)), Route("ops"))
    await alerts.see(LATE, to=Addressees(routes))
    claims = [found(await alerts.claim("mail")), found(await alerts.claim("mail")), found(await alerts.claim())]
    assert sorted(claim.recipients for claim in claims) == [(), ("a@example.com",), ("b@example.com",)]
    assert await alerts.claim("mail") is None


async def test_more_than_fits_into_one_message_follows_in_the_next(alerts: Alerts) -> None:
    for flow in "abcde":
        await alerts.see(LATE, flow=flow)
    seen: list[tuple[str, str]] = []
    while claim := await alerts.claim(most=2):
        assert await alerts.session.end(claim, 0)
        seen += kinds(claim)
    assert seen == [(flow, Kind.RAISED) for flow in "abcde"]


async def test_what_is_over_is_forgotten_after_its_time_with_routes_that_nothing_names(alerts: Alerts) -> None:
    await alerts.see(LATE)
    await alerts.told()
    await alerts.see()
    await alerts.told()
    assert await alerts.session.prune(HOUR) == 0
    await alerts.age("alert", "over_at", seconds=HOUR + 1)
    await alerts.age("alert_route", "next_at", seconds=HOUR + 1)
    assert await alerts.session.prune(HOUR) == 1
    tables = ("alert", "alert_notice", "alert_route")
    assert [await alerts.database.value(f"select count(*) from outbox.{one}") for one in tables] == [0, 0, 0]


async def test_two_rules_of_a_flow_are_two_alerts_and_judging_some_rules_leaves_the_others(alerts: Alerts) -> None:
    await alerts.see(LATE, Broken(AlertRule.DEAD, "1 dead letter", 1))
    await alerts.session.judge(Judgement("flow a", (AlertRule.TOTALS,), (), "a"), OPS, 0)
    rows: Sequence[object] = await alerts.database.rows("select rule from outbox.alert where over_at is null")
    assert len(rows) == 2
    await alerts.see(LATE)
    grounds = await alerts.session.grounds()
    assert (grounds.standing, grounds.raised) == ({("flow a", "late")}, 1)


async def test_many_who_judge_and_tell_at_once_tell_each_of_them_once(database: Database) -> None:
    routes = Addressees((Route("mail", ("a@example.com",)), Route("mail", ("b@example.com",)), Route("ops")))
    flows = [f"f{number}" for number in range(12)]
    told: list[tuple[tuple[str, ...], str, str]] = []

    async def work() -> None:
        async with alerts_in(database) as one:
            for level in (1, 3, 2, 4):
                for flow in flows:
                    await one.see(Broken(AlertRule.DEAD, "dead letters", level), LATE, flow=flow, to=routes)
                for channel in ("mail", "ops"):
                    while claim := await one.claim(channel, most=5):
                        assert await one.session.end(claim, 0)
                        told.extend(
                            ((channel, *claim.recipients), notice.subject, notice.rule)
                            for notice in claim.notices
                            if notice.kind is Kind.RAISED
                        )

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(work())
    assert len(told) == len(set(told)) == len(flows) * 3 * 2


async def test_whoever_is_to_be_told_through_a_route_that_is_pruned_is_told_at_the_next_look(alerts: Alerts) -> None:
    await alerts.see(LATE)
    await alerts.see()
    async with alerts.database.connection() as pruner:
        transaction = pruner.transaction()
        await transaction.start()
        await pruner.execute("select from outbox.alert_route for update")
        async with asyncio.TaskGroup() as group:
            look = group.create_task(alerts.see(LATE))
            await until(partial(_waits_for_a_lock, alerts.database), what="the look waits for the pruner")
            await pruner.execute("delete from outbox.alert_route")
            await transaction.commit()
        assert look.result() == 1
    await alerts.see(LATE)
    assert ("a", "raised") in await alerts.told()


async def _waits_for_a_lock(database: Database) -> bool:
    return bool(
        await database.value(
            "select exists (select from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock')"
        )
    )
