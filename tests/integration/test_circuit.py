"""A flow's circuit as the SQL functions keep it, shared by all processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from outbox.inbox.circuit import Told, tell_circuit
from outbox.model.backoff import Backoff
from outbox.model.circuit import CircuitChange, CircuitPolicy, CircuitState, Sign, Signal
from outbox.model.errors import Misconfigured
from outbox.model.flow_policy import FlowPolicy
from outbox.model.inbox import Beginning, CallKind
from outbox.postgres.circuit import set_circuit
from outbox.postgres.connection import PostgresServer
from outbox.postgres.inbox_store import InboxSession, InboxStore
from tests.kit.database import Database
from tests.kit.inbox import FLOW, LANES, Inbox, applied, arrival

POLICY = FlowPolicy(circuit=CircuitPolicy(failures=3, backoff=Backoff(first_seconds=100.0, max_seconds=1000.0)))
WORKS = Sign(Signal.WORKS)
TROUBLE = Sign(Signal.TROUBLE, "refused")
STOP = Sign(Signal.STOP, "401")


@pytest.fixture
async def inboxes(database: Database) -> AsyncIterator[tuple[Inbox, Inbox]]:
    """Two processes with half of the lanes each, and a due delivery in each lane."""
    async with AsyncExitStack() as stack:
        both = []
        for name in ("one", "other"):
            session = await stack.enter_async_context(InboxStore(database.server, POLICY).session(FLOW))
            await session.register(LANES)
            both.append(Inbox(session, database, me=name))
        one, other = both
        await one.hold()
        await one.accept(*(arrival(n, f"k{n}") for n in range(1, 41)))
        await other.hold()
        await one.hold()
        await one.session.release_lanes("one", [2, 3])
        await other.hold()
        yield one, other


async def _pass_time(inbox: Inbox) -> None:
    """Let the pause of the circuit be over."""
    async with inbox.database.connection() as connection:
        await connection.execute("update inbox.circuit set until = now() where until is not null")
        await connection.execute("update inbox.circuit set throttled_until = now() where throttled_until is not null")


async def _state(inbox: Inbox) -> object:
    return await inbox.database.value("select state from inbox.circuit where flow = $1", FLOW)


async def _fail(inbox: Inbox, count: int) -> list[CircuitChange]:
    return await _fail_as(inbox, count, TROUBLE)


async def _fail_as(inbox: Inbox, count: int, sign: Sign) -> list[CircuitChange]:
    due = await inbox.due(count)
    return await inbox.session.tell_circuit([(one.id, sign) for one in due])


async def test_trouble_with_enough_deliveries_of_all_processes_opens_it_for_all(inboxes: tuple[Inbox, Inbox]) -> None:
    one, other = inboxes
    assert await _fail(one, 2) == []
    (change,) = await _fail(other, 1)
    assert (change.state, change.reason, change.needs_a_person) == (CircuitState.OPEN, "refused", False)
    assert change.seconds is not None
    assert 50 <= change.seconds <= 100
    assert await one.due() == [] == await other.due()


async def test_one_poison_message_never_opens_it(inboxes: tuple[Inbox, Inbox]) -> None:
    one, _ = inboxes
    for _ in range(10):
        assert await _fail(one, 1) == []
    assert await _state(one) == "closed"


async def test_an_answer_that_shows_a_working_target_begins_the_count_anew(inboxes: tuple[Inbox, Inbox]) -> None:
    one, _ = inboxes
    await _fail(one, 2)
    (watched, *_rest) = await one.due()
    assert watched.is_watched, "the circuit wants to hear of a success, too"
    assert await one.session.tell_circuit([(watched.id, WORKS)]) == []
    assert await _fail(one, 2) == []
    (unwatched, *_rest) = await one.due(1)
    await one.session.tell_circuit([(unwatched.id, WORKS)])
    assert not (await one.due(1))[0].is_watched


async def test_one_probe_of_all_processes_decides(inboxes: tuple[Inbox, Inbox]) -> None:
    one, other = inboxes
    calling = (await other.due(1))[0]
    await other.begin(calling)
    await _fail(one, 3)
    await _pass_time(one)
    (probe,), (late,) = await one.due(), await other.due()
    assert set(await one.begin(probe)) == {probe.id}
    assert await other.begin(late) == {}, "there is a probe already"
    assert await one.due() == [] == await other.due()
    # What began before it opened shows nothing of now.
    assert await other.session.tell_circuit([(calling.id, WORKS)]) == []
    assert await other.session.tell_circuit([(calling.id, TROUBLE)]) == []
    await one.settle(applied(probe))
    (change,) = await one.session.tell_circuit([(probe.id, WORKS)])
    assert change.state is CircuitState.CLOSED
    assert len(await other.due()) > 1


async def test_a_failed_probe_opens_it_for_longer_each_time(inboxes: tuple[Inbox, Inbox]) -> None:
    one, _ = inboxes
    await _fail(one, 3)
    pauses = []
    for _ in range(6):
        await _pass_time(one)
        (probe,) = await one.due()
        await one.begin(probe)
        (change,) = await one.session.tell_circuit([(probe.id, TROUBLE)])
        assert change.state is CircuitState.OPEN
        pauses.append(change.seconds or 0.0)
    for pause, whole in zip(pauses, (200, 400, 800, 1000, 1000, 1000), strict=True):
        assert whole / 2 <= pause <= whole


async def test_a_probe_whose_process_died_is_followed_by_another(inboxes: tuple[Inbox, Inbox]) -> None:
    one, other = inboxes
    await _fail(one, 3)
    await _pass_time(one)
    (probe,) = await one.due()
    await one.begin(probe)
    assert await other.due() == []
    await _pass_time(one)
    (second,) = await other.due()
    assert set(await other.begin(second)) == {second.id}


async def test_a_call_that_may_not_begin_is_no_probe(inboxes: tuple[Inbox, Inbox]) -> None:
    one, other = inboxes
    await _fail(one, 3)
    await _pass_time(one)
    (refused,), (probe,) = await one.due(), await other.due()
    assert await one.begin_as(Beginning(refused.id, refused.epoch, CallKind.LOOK_UP)) == {}, "it is not in doubt"
    assert await _state(one) == "open"
    assert set(await other.begin(probe)) == {probe.id}


@pytest.mark.parametrize("first", [WORKS, TROUBLE], ids=lambda sign: sign.signal)
async def test_a_probe_that_takes_longer_than_a_minute_is_heard_all_the_same(
    inboxes: tuple[Inbox, Inbox], first: Sign
) -> None:
    """Else a target whose calls take so long would never be called again."""
    one, other = inboxes
    (before,) = await one.due(1)
    await one.begin(before)
    await _fail(other, 3)
    await _pass_time(one)
    (slow,) = await one.due(in_hand=(before.id,))
    await one.begin(slow)
    await _pass_time(one)
    (second,) = await other.due()
    await other.begin(second)
    assert await one.session.tell_circuit([(before.id, WORKS)]) == [], "it began before the trouble"
    (change,) = await one.session.tell_circuit([(slow.id, first)])
    assert change.state is (CircuitState.CLOSED if first is WORKS else CircuitState.OPEN)


async def test_an_open_circuit_waits_for_as_long_as_the_target_asks(inboxes: tuple[Inbox, Inbox]) -> None:
    one, _ = inboxes
    (change,) = await _fail_as(one, 3, Sign(Signal.TROUBLE, "503", 5000.0))
    assert (change.state, change.seconds) == (CircuitState.OPEN, 5000.0)
    left = await one.database.value("select extract(epoch from until - now())::float8 from inbox.circuit")
    assert 4900 < float(str(left)) <= 5000


async def test_too_many_requests_is_heard_while_the_circuit_is_open(inboxes: tuple[Inbox, Inbox]) -> None:
    one, _ = inboxes
    (calling, *_rest) = await one.due()
    await _fail(one, 3)
    (change,) = await one.session.tell_circuit([(calling.id, Sign(Signal.THROTTLE, "429", 5000.0))])
    assert (change.state, change.is_throttled, change.seconds) == (CircuitState.OPEN, True, 5000.0)
    assert await _state(one) == "open"
    await one.database.value("update inbox.circuit set until = now() returning 1")
    assert await one.due() == []


async def test_a_call_that_we_have_not_let_leave_says_nothing(inboxes: tuple[Inbox, Inbox]) -> None:
    """As "the target wants fewer calls" it would forget the suspects, and close the circuit as a probe."""
    one, _ = inboxes
    silent = Sign(Signal.NONE)
    suspects = await one.due(2)
    await _fail(one, 2)
    await tell_circuit(one.session, [Told(suspects[0].id, silent, is_watched=True)], lambda _: None)
    assert (await one.due(1))[0].is_watched
    await _fail(one, 3)
    await _pass_time(one)
    (probe,) = await one.due()
    await one.begin(probe)
    await tell_circuit(one.session, [Told(probe.id, silent, is_watched=True)], lambda _: None)
    assert await _state(one) == "half_open"


async def test_what_fails_for_every_message_opens_it_at_once_and_says_that_a_person_is_needed(
    inboxes: tuple[Inbox, Inbox],
) -> None:
    one, _ = inboxes
    (due,) = await one.due(1)
    (change,) = await one.session.tell_circuit([(due.id, STOP)])
    assert (change.state, change.needs_a_person) == (CircuitState.OPEN, True)
    await _pass_time(one)
    assert len(await one.due()) == 1, "a probe sees by itself that it is mended"


async def test_what_is_final_is_not_even_probed(inboxes: tuple[Inbox, Inbox]) -> None:
    one, _ = inboxes
    (due,) = await one.due(1)
    (change,) = await one.session.tell_circuit([(due.id, Sign(Signal.STOP, "410", is_final=True))])
    assert change.seconds is None
    assert await one.database.value("select until = 'infinity' from inbox.circuit") is True
    former = await set_circuit(one.database.server, FLOW, CircuitState.CLOSED, who="me", why="mended")
    assert former is CircuitState.OPEN
    assert len(await one.due()) > 1


async def test_a_target_that_throttles_is_called_by_nobody_until_its_time(inboxes: tuple[Inbox, Inbox]) -> None:
    one, other = inboxes
    due = await one.due(2)
    (change,) = await one.session.tell_circuit([(due[0].id, Sign(Signal.THROTTLE, "429", 30.0)), (due[1].id, WORKS)])
    assert (change.state, change.is_throttled, change.seconds) == (CircuitState.CLOSED, True, 30.0)
    assert await other.due() == []
    # A shorter pause does not shorten a longer one.
    assert await one.session.tell_circuit([(due[0].id, Sign(Signal.THROTTLE, "429", 5.0))]) == []
    await _pass_time(one)
    assert len(await other.due()) > 1


async def test_a_target_that_throttles_means_all_flows_of_its_connection(inboxes: tuple[Inbox, Inbox]) -> None:
    one, _ = inboxes
    server = one.database.server
    async with AsyncExitStack() as stack:
        sessions = {}
        for name, connection in (("a", "crm"), ("b", "crm"), ("c", "shop"), ("d", None)):
            sessions[name] = await _registered(stack, server, name, connection)
        of_flow = Sign(Signal.THROTTLE, "search", 10.0)
        of_connection = Sign(Signal.THROTTLE, "429", 30.0, is_shared=True)
        told = {name: await sessions[name].tell_circuit([(1, of_flow)]) for name in ("a", "d")}
        assert [[change.flow for change in changes] for changes in told.values()] == [["a"], ["d"]]
        changes = await sessions["b"].tell_circuit([(1, of_connection), (2, of_flow)])
        assert {(change.flow, change.seconds) for change in changes} == {("a", 30.0), ("b", 30.0)}
        assert [change.flow for change in await sessions["d"].tell_circuit([(1, of_connection)])] == ["d"]
        # By another connection from now on.
        await _registered(stack, server, "b", "shop")
        longer = replace(of_connection, pause_seconds=60.0)
        changes = await sessions["b"].tell_circuit([(1, longer), (2, replace(of_flow, pause_seconds=90.0))])
        assert {(change.flow, change.seconds) for change in changes} == {("b", 90.0), ("c", 60.0)}
    assert len(await one.due()) > 1, "a flow without that connection is called"


async def test_flows_of_a_connection_that_are_throttled_at_once_do_not_deadlock(inboxes: tuple[Inbox, Inbox]) -> None:
    server = inboxes[0].database.server
    async with AsyncExitStack() as stack:
        sessions = [await _registered(stack, server, name, "crm") for name in ("a", "b", "c")]
        for turn in range(1, 21):
            sign = Sign(Signal.THROTTLE, "429", 10.0 * turn, is_shared=True)
            async with asyncio.TaskGroup() as group:
                for session in sessions:
                    group.create_task(session.tell_circuit([(1, sign)]))


async def _registered(stack: AsyncExitStack, server: PostgresServer, flow: str, connection: str | None) -> InboxSession:
    policy = replace(POLICY, connection=connection)
    session = await stack.enter_async_context(InboxStore(server, policy).session(flow))
    await session.register(LANES)
    return session


async def test_a_person_opens_and_closes_it(inboxes: tuple[Inbox, Inbox]) -> None:
    one, _ = inboxes
    assert (
        await set_circuit(one.database.server, FLOW, CircuitState.OPEN, who="ann", why="the CRM moves")
        is CircuitState.CLOSED
    )
    row = (await one.database.rows("select * from inbox.circuit"))[0]
    assert (row["reason"], row["changed_by"], row["needs_a_person"]) == ("the CRM moves", "ann", True)
    assert await one.due() == []
    with pytest.raises(Misconfigured, match="flow nobody is not known here"):
        await set_circuit(one.database.server, "nobody", CircuitState.OPEN, who="ann", why="x")


async def test_behind_a_backlog_what_is_new_is_reached_too(inboxes: tuple[Inbox, Inbox]) -> None:
    one, _ = inboxes
    await one.accept(*(arrival(n, f"new{n}") for n in range(101, 141)))
    assert all(due.sequence < 100 for due in await one.due(3))
    assert all(due.sequence > 100 for due in await one.due(3, newest_first=True))
