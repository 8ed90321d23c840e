"""Deliveries that wait for ids of other systems, as the inbox's functions keep them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from outbox.inbox.waits import Waits, WaitSettings
from outbox.model.awaited import Awaited, Look, LookAgain, Waiting
from outbox.model.delivery import Settlement, State
from outbox.model.inbox import DueDelivery, Parking
from outbox.model.lifecycle import Lifecycle
from outbox.model.mapping import Reference, Wanted
from outbox.model.xref import Pair, Registry, Source
from outbox.postgres.inbox_store import InboxSession, InboxStore
from outbox.postgres.status import read_inbox
from outbox.postgres.xref import xref_session
from tests.kit.database import Database
from tests.kit.inbox import FLOW, Inbox, applied, arrival, ended
from tests.kit.work import rows_touched

CUSTOMERS = Registry("customer", "crm")
_MANY = 2_000


def waiting(due: DueDelivery, *references: Reference, within_seconds: float = 60.0) -> Waiting:
    wanted = references or (Reference("customer", "crm", due.key or ""),)
    awaited = tuple(Awaited(one, "field 'customer': not known") for one in wanted)
    return Waiting(due.id, due.epoch, awaited, 0.0, within_seconds, "waits for it")


async def link(database: Database, *pairs: tuple[str, str]) -> None:
    async with xref_session(database.server) as session:
        await session.link(CUSTOMERS, [Pair(*pair) for pair in pairs], Source.IMPORT, who="ann", why=None)


async def one_waits(inbox: Inbox, key: str = "C-1") -> DueDelivery:
    await inbox.accept(arrival(1, key))
    (due,) = await inbox.due()
    assert await inbox.session.wait(inbox.me, [waiting(due)]) == {due.id}
    return due


async def test_what_waits_is_not_due_costs_no_attempt_and_keeps_its_key_behind_it(inbox: Inbox) -> None:
    await inbox.accept(arrival(1, "C-1"), arrival(2, "C-1"), arrival(3, "C-2"))
    first, other = await inbox.due()
    assert await inbox.session.wait(inbox.me, [waiting(first)]) == {first.id}

    assert [due.message_id for due in await inbox.due()] == [other.message_id]
    assert await inbox.begin(first) == {}
    assert await inbox.session.wait(inbox.me, [waiting(first)]) == set()
    assert await inbox.states() == {"m1": "ready", "m2": "blocked", "m3": "ready"}
    (look,) = await inbox.session.waits(inbox.me, 10)
    assert (look.id, look.missing[0].reference) == (first.id, Reference("customer", "crm", "C-1"))


async def test_what_is_linked_while_it_is_looked_at_goes_on_with_the_next_look(
    inbox: Inbox, database: Database
) -> None:
    due = await one_waits(inbox)
    (look,) = await inbox.session.waits(inbox.me, 10)
    await link(database, ("C-1", "4711"))
    again = LookAgain(look.id, look.epoch, 0.0, "still")
    assert await inbox.session.look_again(inbox.me, [again]) == {due.id}

    (look,) = await inbox.session.waits(inbox.me, 10)
    assert look.missing == ()
    await inbox.session.look_again(inbox.me, [LookAgain(look.id, look.epoch, None, "linked")])
    assert await inbox.apply_all() == ["m1"]


async def test_only_what_is_missing_of_several_is_told_and_keys_are_looked_up_by_ids(
    inbox: Inbox, database: Database
) -> None:
    await link(database, ("C-1", "4711"))
    await inbox.accept(arrival(1, "k"))
    (due,) = await inbox.due()
    known = [Reference("customer", "crm", "C-1"), Reference("customer", "crm", "4711", Wanted.KEY)]
    unknown = [Reference("customer", "crm", "4711"), Reference("customer", "crm", "C-1", Wanted.KEY)]
    await inbox.session.wait(inbox.me, [waiting(due, *known, *unknown)])
    (look,) = await inbox.session.waits(inbox.me, 10)
    assert [one.reference for one in look.missing] == unknown


async def test_whoever_has_lost_its_lane_lets_nothing_wait_and_ends_no_look(inbox: Inbox, database: Database) -> None:
    due = await one_waits(inbox)
    (look,) = await inbox.session.waits(inbox.me, 10)
    await database.value("update inbox.lane set epoch = epoch + 1")
    assert await inbox.session.look_again(inbox.me, [LookAgain(look.id, look.epoch, None, "x")]) == set()
    assert await inbox.session.park(inbox.me, [Parking(due.id, due.epoch, State.DEAD, "x", "mapping")]) == set()
    assert await inbox.session.end_waits("somebody else", range(4), 0, 10) == (0, None)
    assert await inbox.session.end_waits(inbox.me, range(4), 0, 10) == (1, due.id)
    assert await inbox.session.wait(inbox.me, [waiting(due)]) == set()


async def test_an_earlier_event_that_comes_late_goes_before_the_one_that_waits(inbox: Inbox) -> None:
    await inbox.accept(arrival(2, "k"))
    (due,) = await inbox.due()
    await inbox.session.wait(inbox.me, [waiting(due)])
    await inbox.accept(arrival(1, "k"))
    assert await inbox.states() == {"m2": "blocked", "m1": "ready"}
    assert await inbox.session.waits(inbox.me, 10) == []
    assert await inbox.apply_all() == ["m1", "m2"]


async def test_a_delivery_that_was_refused_for_now_can_wait_as_well_and_keeps_its_attempts(
    inbox: Inbox, database: Database
) -> None:
    await inbox.accept(arrival(1, "C-1"))
    (due,) = await inbox.due()
    await inbox.begin(due)
    await inbox.settle(ended(due, Settlement(State.RETRY, 0.0, is_failure=True, reason="no", reason_class="retry")))
    (due,) = await inbox.due()
    await inbox.session.wait(inbox.me, [waiting(due)])
    assert await inbox.due() == []
    assert await inbox.session.waiting(10) == 0

    await link(database, ("C-1", "4711"))
    (look,) = await inbox.session.waits(inbox.me, 10)
    await inbox.session.look_again(inbox.me, [LookAgain(look.id, look.epoch, None, "linked")])
    (due,) = await inbox.due()
    assert (due.state, due.attempt, due.failures) == (State.RETRY, 1, 1)
    assert await inbox.apply_all() == ["m1"]


async def test_a_wait_goes_on_until_the_next_call_and_what_it_lacked_stays_with_a_dead_letter(
    inbox: Inbox, database: Database
) -> None:
    due = await one_waits(inbox)
    since = await database.value("select waits_since from inbox.delivery")
    await inbox.session.end_waits(inbox.me, range(4), 0, 10)
    await inbox.session.wait(inbox.me, [waiting(due, within_seconds=0.0)])
    assert await database.value("select waits_since from inbox.delivery") == since
    (look,) = await inbox.session.waits(inbox.me, 10)
    assert look.left_seconds <= 0
    await inbox.session.park(inbox.me, [Parking(due.id, due.epoch, State.DEAD, "x", "mapping")])
    row = (await database.rows("select * from inbox.delivery"))[0]
    assert (row["look_at"], row["waits_until"], row["due_at"]) == (None, None, None)
    assert row["waits_for"] is not None

    await database.value(
        "update inbox.delivery set state = 'ready', due_at = now(), settled_at = null, parked_at = null,"
        " reason_group = null"
    )
    assert await database.value("select waits_since is null and waits_for is null from inbox.delivery")


async def test_what_waits_is_late_and_is_told_with_what_it_waits_for(inbox: Inbox, database: Database) -> None:
    await one_waits(inbox)
    await database.value("update inbox.delivery set accepted_at = now() - interval '1 hour'")
    standing = await inbox.session.observe(inbox.me)
    assert standing is not None
    assert standing.awaiting == 1
    assert standing.oldest_waiting_age_seconds >= 3600
    assert standing.oldest_due_age_seconds == 0
    (flow,) = await read_inbox(database.server)
    assert (flow.ready, flow.awaiting, flow.awaits) == (0, 1, "customer C-1 in crm")


async def test_a_person_can_skip_what_waits_and_its_key_goes_on(inbox: Inbox, database: Database) -> None:
    await inbox.accept(arrival(1, "k"), arrival(2, "k"))
    (due,) = await inbox.due()
    await inbox.session.wait(inbox.me, [waiting(due)])
    await database.value(
        "select inbox.resolve($1, $2, 'skip', 'ann', 'no such customer', null, null, false, null)", FLOW, [due.id]
    )
    assert await inbox.apply_all() == ["m2"]


class Counting(InboxSession):
    """Counts its statements."""

    def __init__(self, session: InboxSession) -> None:
        self._session = session
        self.statements: list[str] = []
        self.reaches: list[bool] = []

    async def waits(self, owner: str, most: int, reach_seconds: float | None = None) -> list[Look]:
        self.statements.append("waits")
        self.reaches.append(reach_seconds is not None)
        return await self._session.waits(owner, most, reach_seconds)

    async def look_again(self, owner: str, looks: Sequence[LookAgain]) -> set[int]:
        self.statements.append("look_again")
        return await self._session.look_again(owner, looks)


@pytest.fixture
async def many(inbox: Inbox) -> Inbox:
    """Let so many deliveries of different keys wait, all of them to be looked at now."""
    await inbox.accept(*[arrival(number, f"C-{number}") for number in range(1, _MANY + 1)])
    due = await inbox.due(_MANY)
    assert len(await inbox.session.wait(inbox.me, [waiting(one) for one in due])) == _MANY
    return inbox


async def test_many_that_wait_are_looked_at_together_and_cost_others_nothing(many: Inbox, database: Database) -> None:
    async with InboxStore(database.server).session(FLOW) as session:
        await many.accept(arrival(_MANY + 1, "other"))
        fetch = "select * from inbox.fetch($1, 'me', '{}', '{}', 50, false, null)"
        returned, touched = await rows_touched(session._connection, "inbox.delivery", fetch, FLOW)
        assert (returned, touched <= 4) == (1, True)

        told: list[Lifecycle] = []
        look = "select * from inbox.waits($1, 'me', 1000)"
        for table in ("inbox.delivery", "xref.link"):
            returned, touched = await rows_touched(session._connection, table, look, FLOW)
            assert touched <= returned <= 1_000
        waits = Waits(FLOW, told.append, time.monotonic, WaitSettings(may_wait=True))
        counting = Counting(many.session)
        await database.value("update inbox.delivery set look_at = now() where look_at is not null")
        # Without a lane that is new to it: those would be mapped anew.
        while await waits.look(counting, many.me, frozenset()):
            pass
        assert len(counting.statements) <= 8
        # What former looks have left behind is read once; see test_plans_inbox.
        assert counting.reaches == [False] + [True] * (len(counting.reaches) - 1)
        assert len(counting.reaches) > 1
        assert told == []
        assert await many.apply_all() == [f"m{_MANY + 1}"]

        await link(database, *[(f"C-{number}", f"id-{number}") for number in range(1, 11)])
        await database.value("update inbox.delivery set look_at = now() where look_at is not null")
        waits = Waits(FLOW, told.append, time.monotonic, WaitSettings(may_wait=True))
        while await waits.look(counting, many.me, frozenset()):
            pass
        assert sorted(await many.apply_all()) == sorted(f"m{number}" for number in range(1, 11))


async def test_a_call_of_what_waited_leaves_nothing_of_the_wait(inbox: Inbox, database: Database) -> None:
    await one_waits(inbox)
    await inbox.session.end_waits(inbox.me, range(4), 0, 10)
    (due,) = await inbox.due()
    await inbox.begin(due)
    await inbox.settle(applied(due))
    row = (await database.rows("select * from inbox.delivery"))[0]
    assert {row[name] for name in ("look_at", "waits_since", "waits_until", "waits_for", "reason")} == {None}


async def test_whoever_takes_lanes_maps_what_waits_there_anew_once_each_and_in_parts(
    many: Inbox, database: Database
) -> None:
    waits = Waits(FLOW, lambda _event: None, lambda: 1000.0, WaitSettings())
    lanes = frozenset((lane, 1) for lane in range(4))
    rounds = mapped = 0
    while await waits.look(many.session, many.me, lanes):
        rounds += 1
        due = await many.due(_MANY)
        mapped += len(due)
        # The mapping has not changed: they wait again.
        await many.session.wait(many.me, [waiting(one) for one in due])
    assert (rounds, mapped) == (2, _MANY)
    assert await database.value("select count(*) from inbox.delivery where look_at is not null") == _MANY
