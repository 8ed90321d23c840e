"""How often a flow is looked at, and from where."""

from __future__ import annotations

from datetime import UTC, datetime

from outbox.inbox.watch import FlowWatch
from outbox.model.circuit import CircuitState
from outbox.model.inbox import FlowStanding

STANDING = FlowStanding(CircuitState.CLOSED, False, None, datetime.now(UTC), None, 0, 0, 0, 4.0)


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
    watch = FlowWatch("f", lambda _event: None, 30.0, clock)
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
    watch = FlowWatch("f", lambda _event: None, 1.0, clock)
    await watch.look(session, "me")
    assert session.reach_seconds is None
    clock.now += 1
    await watch.look(session, "me")
    assert session.reach_seconds == STANDING.oldest_due_age_seconds + 1 + 2
