"""Asking a flow for records, as the inbox's function decides it: once, in the replays' own way, and written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from outbox.model.awaited import Awaited, LookAgain, Waiting
from outbox.model.creating import Creator, Request, Standing
from outbox.model.delivery import Settlement, State
from outbox.model.errors import Misconfigured
from outbox.model.flow_policy import FlowPolicy
from outbox.model.mapping import Reference
from outbox.model.replay import type_patterns
from outbox.model.xref import Registry
from outbox.postgres.connection import PostgresServer
from outbox.postgres.inbox_store import InboxSession, InboxStore
from outbox.postgres.replay import ReplaySession
from outbox.postgres.xref import xref_session
from tests.integration.test_permissions import login
from tests.kit.database import Database
from tests.kit.inbox import FLOW, LANES, Inbox, applied, arrival, ended
from tests.kit.replays import EVERYTHING, emit, had
from tests.kit.work import rows_touched

CUSTOMERS = Registry("customer", "crm")
CREATOR = Creator(FLOW, type_patterns(["order.*"]), "park")
ASKING = "deals"
_ROOM = 1_000


@pytest.fixture
async def asking(database: Database) -> AsyncIterator[InboxSession]:
    async with InboxStore(database.server, FlowPolicy()).session(ASKING) as session:
        yield session


async def ask(
    asking: InboxSession, *keys: str, room: int = _ROOM, search: bool = True, creator: Creator = CREATOR
) -> list[Standing]:
    found = await asking.create_first(Request(creator, CUSTOMERS, keys), [search] * len(keys), room)
    return [found[key] for key in keys]


async def test_the_newest_event_of_a_key_is_applied_again_and_it_is_written_down_who_asked(
    inbox: Inbox, asking: InboxSession, replays: ReplaySession
) -> None:
    arrivals = await had(inbox, 3, key="C-1")
    await had(inbox, 1, key="C-2")
    assert await ask(asking, "C-1") == [Standing.ASKED]

    (due,) = await inbox.due()
    (entry,) = await replays.entries(10)
    assert (due.message_id, due.generation, due.sequence) == (arrivals[-1].message_id, entry.id, arrivals[-1].sequence)
    assert (entry.who, entry.state, entry.replayed) == ("flow deals", "done", 1)
    assert entry.why == "a delivery waits for the id of its customer in crm"
    assert [one.action for one in entry.decisions] == ["start"]
    assert await ask(asking, "C-1") == [Standing.UNDER_WAY]
    assert len(await replays.entries(10)) == 1


async def test_of_many_that_ask_at_once_one_puts_it_in(
    inbox: Inbox, database: Database, replays: ReplaySession
) -> None:
    keys = [f"C-{number}" for number in range(10)]
    for key in keys:
        await had(inbox, 1, key=key)
    begun = asyncio.Barrier(6)

    async def one_asks(offset: int) -> list[Standing]:
        async with InboxStore(database.server, FlowPolicy()).session(ASKING) as session:
            await begun.wait()
            return await ask(session, *keys[offset:], *keys[:offset])

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(one_asks(offset)) for offset in range(6)]
    standings = [standing for one in asked for standing in one.result()]
    assert (standings.count(Standing.ASKED), standings.count(Standing.UNDER_WAY)) == (10, 50)
    assert len(await replays.entries(10)) == 1
    assert len(await inbox.due()) == 10


async def test_an_event_that_the_flow_never_had_comes_in_as_from_the_broker(inbox: Inbox, asking: InboxSession) -> None:
    arrivals = await emit(inbox, 2, key="C-1")
    assert await ask(asking, "C-1", "C-2") == [Standing.ASKED, Standing.NOT_FOUND]
    (due,) = await inbox.due()
    assert (due.message_id, due.generation) == (arrivals[1].message_id, 0)
    counts = await inbox.accept(arrivals[1])
    assert (counts.accepted, counts.duplicates) == (0, 1)


async def test_nothing_is_searched_for_twice_and_nothing_that_is_not_published(
    inbox: Inbox, asking: InboxSession, database: Database
) -> None:
    await emit(inbox, 1, key="C-1")
    assert await ask(asking, "C-1", search=False) == [Standing.NOT_FOUND]
    await database.value("insert into outbox.event (type, key, payload) values ('order.confirmed', 'C-2', '{}')")
    assert await ask(asking, "C-2") == [Standing.NOT_NOW]
    assert await inbox.due() == []


async def test_an_event_of_another_type_is_not_what_the_flow_is_asked_for(inbox: Inbox, asking: InboxSession) -> None:
    await emit(inbox, 1, key="C-1", event_type="customer.changed")
    assert await ask(asking, "C-1") == [Standing.NOT_FOUND]


@pytest.mark.parametrize("state", [State.DEAD, State.IN_DOUBT])
async def test_what_waits_for_a_person_is_left_to_that_person(
    inbox: Inbox, asking: InboxSession, state: State, replays: ReplaySession
) -> None:
    await inbox.accept(*await emit(inbox, 1, key="C-1"))
    (due,) = await inbox.due()
    await inbox.begin(due)
    await inbox.settle(ended(due, Settlement(state, None, reason="no", reason_class="rejected")))
    assert await ask(asking, "C-1") == [Standing.PARKED]
    assert await replays.entries(10) == []


async def test_what_a_person_has_skipped_stays_so(inbox: Inbox, asking: InboxSession, database: Database) -> None:
    await inbox.accept(*await emit(inbox, 1, key="C-1"))
    (due,) = await inbox.due()
    await database.value(
        "select inbox.resolve($1, $2, 'skip', 'ann', 'not ours', null, null, false, null)", FLOW, [due.id]
    )
    assert await ask(asking, "C-1") == [Standing.DECIDED]


async def test_what_gave_no_id_is_not_asked_for_again_until_somebody_takes_its_link_away(
    inbox: Inbox, asking: InboxSession, database: Database
) -> None:
    await had(inbox, 1, key="C-1")
    assert await ask(asking, "C-1") == [Standing.ASKED]
    (due,) = await inbox.due()
    await inbox.begin(due)
    await inbox.settle(applied(due))
    assert await ask(asking, "C-1") == [Standing.NO_ID]

    async with xref_session(database.server) as session:
        await database.value(
            "insert into xref.link (entity, system, canonical_key, external_id, source, linked_by)"
            " values ('customer', 'crm', 'C-1', '1', 'person', 'ann')"
        )
        await session.unlink(CUSTOMERS, "C-1", who="ann", why="wrong")
    assert await ask(asking, "C-1") == [Standing.ASKED]


async def test_what_retention_has_removed_is_gone(inbox: Inbox, asking: InboxSession, database: Database) -> None:
    await had(inbox, 1, key="C-1")
    await database.value("truncate outbox.event")
    assert await ask(asking, "C-1") == [Standing.GONE]


async def test_a_flow_that_has_enough_to_do_is_asked_later_and_one_that_nobody_consumes_not_at_all(
    inbox: Inbox, asking: InboxSession
) -> None:
    await had(inbox, 1, key="C-1")
    await had(inbox, 1, key="C-2")
    assert sorted(await ask(asking, "C-1", "C-2", room=1)) == [Standing.ASKED, Standing.NO_ROOM]
    elsewhere = Creator("nowhere", CREATOR.patterns, "park")
    assert await ask(asking, "C-1", creator=elsewhere) == [Standing.NOT_CONSUMED]


async def test_what_was_edited_is_applied_as_it_was_edited(
    inbox: Inbox, asking: InboxSession, database: Database
) -> None:
    await inbox.accept(*await emit(inbox, 1, key="C-1"))
    (due,) = await inbox.due()
    await inbox.begin(due)
    await inbox.settle(ended(due, Settlement(State.DEAD, reason="no", reason_class="rejected")))
    await database.value(
        "select inbox.resolve($1, $2, 'edit', 'ann', 'typo', null, '{\"n\": 7}', false, null)", FLOW, [due.id]
    )
    await inbox.apply_all()
    assert await ask(asking, "C-1") == [Standing.ASKED]
    (due,) = await inbox.due()
    assert due.body == b'{"n": 7}'
    who = await database.value("select who from inbox.resolution where delivery_id = $1", due.id)
    assert who == "flow deals"


async def test_a_replay_of_a_person_that_runs_is_not_disturbed(
    inbox: Inbox, asking: InboxSession, replays: ReplaySession
) -> None:
    await had(inbox, 1, key="C-1")
    number = await replays.begin(EVERYTHING, who="ann", why="lost")
    with pytest.raises(Misconfigured):
        await replays.begin(EVERYTHING, who="bob", why="lost")
    assert await ask(asking, "C-1") == [Standing.ASKED]
    assert (await replays.step(number, _ROOM, _ROOM)).replayed == 0


async def test_a_consumer_waits_and_asks_with_the_rights_of_its_role_alone(inbox: Inbox, database: Database) -> None:
    await had(inbox, 1, key="C-1")
    reference = Awaited(Reference("customer", "crm", "C-1"), "not known", FLOW)
    async with (
        login(database, "outbox_adapter") as url,
        InboxStore(PostgresServer(url), FlowPolicy()).session(ASKING) as session,
    ):
        await session.register(LANES)
        mine = Inbox(session, database)
        await mine.hold()
        await mine.accept(arrival(1, "SO-1", message_id="order"))
        (due,) = await mine.due()
        await session.wait(mine.me, [Waiting(due.id, due.epoch, (reference,), 0.0, 60.0, "waits")])
        (look,) = await session.waits(mine.me, 10)
        assert look.missing == (reference,)
        assert await ask(session, "C-1") == [Standing.ASKED]
        assert await session.look_again(mine.me, [LookAgain(look.id, look.epoch, None, "x")]) == {due.id}
        assert await session.end_waits(mine.me, range(LANES), 0, 10) == (0, None)


async def test_asking_costs_what_is_asked_for_and_a_search_no_more_events_than_it_may_look_at(
    inbox: Inbox, database: Database
) -> None:
    await had(inbox, 1, key="C-1")
    await emit(inbox, 1, key="never had")
    await database.value(
        "insert into outbox.event (type, key, payload) select 'order.confirmed', 'k' || n, '{}'"
        " from generate_series(1, 20000) n"
    )
    statement = (
        "select * from inbox.create_first('deals', $1, 'customer', 'crm', $2, $3, $4, 'park', 1000, $5)"
        " where standing = $6"
    )
    for keys, searched, standing, most in (
        (["C-1"], 20_000, "asked", 20),
        (["never had"], 100, "not_found", 220),
        (["never had"], 30_000, "asked", 20_100),
    ):
        async with database.connection() as connection:
            returned, touched = await rows_touched(
                connection, "outbox.event", statement, FLOW, keys, [True], list(CREATOR.patterns), searched, standing
            )
        assert returned == 1
        assert touched <= most, (keys, searched, touched)
