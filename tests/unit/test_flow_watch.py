"""How often a flow is looked at, and from where."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from outbox.inbox.watch import FlowWatch
from outbox.model.alerts import Promise
from outbox.model.circuit import CircuitState
from outbox.model.flow_events import AlertOver, AlertRaised, FlowObserved
from outbox.model.inbox import FlowStanding
from outbox.model.lifecycle import Lifecycle

STANDING = FlowStanding(CircuitState.CLOSED, False, None, datetime.now(UTC), None, 0, 0, 0, 4.0, 4.0, 0.0)
PROMISE = Promise(late_after_seconds=60, expect_every_seconds=3600, owner="it@example.com", runbook="docs/r.md")


class CountingSession:
    """Counts how often it is asked, and from where."""

    def __init__(self) -> None:
        self.standing: FlowStanding | None = None
        self.reach_seconds: float | None = -1.0
        self.observed = 0

    async def observe(self, _owner: str, reach_seconds: float | None) -> FlowStanding | None:
        self.observed += 1
        self.reach_seconds = reach_seconds
        return self.standing


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_flow_is_looked_at_as_often_as_its_settings_say() -> None:
    clock, session = Clock(), CountingSession()
    watch = FlowWatch("f", PROMISE, lambda _event: None, 30.0, clock)
    await watch.look(session, "me")
    clock.now += 29
    await watch.look(session, "me")
    assert (session.observed, watch.seconds_left()) == (1, 1.0)
    clock.now += 1
    await watch.look(session, "me")
    assert session.observed == 2


async def test_a_look_at_a_flow_begins_where_the_one_before_ended() -> None:
    clock, session = Clock(), CountingSession()
    session.standing = STANDING
    watch = FlowWatch("f", PROMISE, lambda _event: None, 1.0, clock)
    await watch.look(session, "me")
    assert session.reach_seconds is None
    clock.now += 1
    await watch.look(session, "me")
    assert session.reach_seconds == STANDING.oldest_due_age_seconds + 1 + 2


class Looks:
    """A watch that looks once for each standing, and what it told."""

    def __init__(self) -> None:
        self.told: list[Lifecycle] = []
        self.session = CountingSession()
        self.clock = Clock()
        self.watch = FlowWatch("f", PROMISE, self.told.append, 1.0, self.clock)

    async def see(self, standing: FlowStanding | None) -> list[AlertRaised | AlertOver]:
        self.told.clear()
        self.clock.now += 1
        self.session.standing = standing
        await self.watch.look(self.session, "me")
        return [event for event in self.told if isinstance(event, AlertRaised | AlertOver)]


async def test_a_flow_that_breaks_its_promise_is_told_once_with_its_owner_and_once_when_it_is_over() -> None:
    looks = Looks()
    late = replace(STANDING, oldest_waiting_age_seconds=61.0)
    assert await looks.see(STANDING) == []
    assert await looks.see(late) == [
        AlertRaised(
            "f",
            "late",
            "the oldest delivery that is not parked has waited 61 s, and alert.late_after is 60 s",
            "it@example.com",
            "docs/r.md",
        )
    ]
    assert await looks.see(late) == []
    both = replace(late, quiet_seconds=7200.0)
    assert [event.rule for event in await looks.see(both)] == ["quiet"]
    assert [event.broken_rules for event in looks.told if isinstance(event, FlowObserved)] == [("late", "quiet")]
    assert await looks.see(STANDING) == [AlertOver("f", "late"), AlertOver("f", "quiet")]


async def test_whoever_looks_anew_tells_again_what_is_broken() -> None:
    looks = Looks()
    late = replace(STANDING, oldest_waiting_age_seconds=61.0)
    assert len(await looks.see(late)) == 1
    assert await looks.see(None) == []
    assert [event.rule for event in await looks.see(late)] == ["late"]


async def test_a_promise_is_kept_up_to_its_very_end_and_without_one_nothing_is_broken() -> None:
    looks = Looks()
    assert await looks.see(replace(STANDING, oldest_waiting_age_seconds=60.0, quiet_seconds=3600.0)) == []
    looks.watch = FlowWatch("f", Promise(), looks.told.append, 1.0, looks.clock)
    assert await looks.see(replace(STANDING, oldest_waiting_age_seconds=1e9, quiet_seconds=1e9)) == []
