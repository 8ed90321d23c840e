"""Deliveries that wait for a person, made the way they come about, and what is decided about them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from outbox.model.dead_letters import Action, Decision, Resolved, Verdict
from outbox.model.delivery import OrderPolicy, Settlement, State
from outbox.model.flow_policy import FlowPolicy
from outbox.postgres.dead_letters import DeadLetterSession, dead_letter_session
from outbox.postgres.inbox_store import InboxStore
from tests.kit.database import Database
from tests.kit.inbox import FLOW, LANES, Inbox, arrival, ended

DEAD = Settlement(State.DEAD, is_failure=True, reason="POST /deals: answered 422: no", reason_class="rejected")
DOUBT = Settlement(State.IN_DOUBT, None, reason="may have been applied", reason_class="in_doubt")
DOUBT_FOR_NOW = replace(DOUBT, delay_seconds=0.0)
RETRY = Settlement(State.RETRY, 3600.0, reason="POST /deals: answered 503", reason_class="target_down")


@dataclass
class Desk:
    """A consumer's inbox, and a person beside it."""

    inbox: Inbox
    session: DeadLetterSession

    async def settled(self, settlement: Settlement, *sequences: int, key: str | None = None) -> None:
        """Accept one delivery for each sequence, each of its own key if none is given, call and settle it."""
        await self.inbox.accept(*(arrival(n, key or f"k{n}") for n in sequences))
        await self.settle(settlement, *sequences)

    async def settle(self, settlement: Settlement, *sequences: int) -> None:
        due = [one for one in await self.inbox.due(1000) if one.sequence in sequences]
        assert len(due) == len(sequences)
        await self.inbox.begin(*due, reference="ref")
        await self.inbox.settle(*(ended(one, settlement) for one in due))

    async def call(self, sequence: int, settlement: Settlement, outcome: str) -> None:
        """Call what is due of a sequence, and end it so."""
        (due,) = [one for one in await self.inbox.due() if one.sequence == sequence]
        await self.inbox.begin(due)
        await self.inbox.settle(replace(ended(due, settlement), outcome=outcome))

    async def ids(self, *message_ids: str) -> list[int]:
        rows = await self.inbox.database.rows("select id, message_id from inbox.delivery where flow = $1", FLOW)
        by_name = {row["message_id"]: row["id"] for row in rows}
        return [by_name[name] for name in message_ids]

    async def resolve(
        self,
        action: Action,
        *message_ids: str,
        why: str | None = "because",
        external_id: str | None = None,
        body: bytes | None = None,
        even_stale: bool = False,
        rate_per_s: float | None = None,
    ) -> dict[str, Verdict]:
        decision = Decision(action, "alice", why, external_id, body, even_stale, rate_per_s)
        ids = await self.ids(*message_ids)
        done: Sequence[Resolved] = await self.session.resolve(FLOW, ids, decision)
        names = dict(zip(ids, message_ids, strict=True))
        return {names[one.id]: one.verdict for one in done}

    async def row(self, message_id: str) -> dict[str, object]:
        (row,) = await self.inbox.database.rows("select * from inbox.delivery where message_id = $1", message_id)
        return dict(row)

    async def audit(self) -> list[tuple[object, ...]]:
        rows = await self.inbox.database.rows(
            "select d.message_id, r.action, r.who, r.why, r.from_state, r.to_state"
            " from inbox.resolution r join inbox.delivery d on d.id = r.delivery_id order by r.id"
        )
        return [tuple(row) for row in rows]


@asynccontextmanager
async def desk_for(database: Database, order: OrderPolicy | None = None) -> AsyncIterator[Desk]:
    async with (
        InboxStore(database.server, FlowPolicy(order or OrderPolicy())).session(FLOW) as session,
        dead_letter_session(database.server) as dead,
    ):
        await session.register(LANES)
        inbox = Inbox(session, database)
        await inbox.hold()
        yield Desk(inbox, dead)
