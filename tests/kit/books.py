"""Events of a window, and where each of them stands for a flow, put there by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta

from outbox.flow.reconcile import compare
from outbox.flow.reconciler import read_books
from outbox.model.reconciliation import Books, Place, Reconciliation, Subject
from outbox.model.totals import TargetTotals, Window
from outbox.postgres.inbox_store import InboxStore
from outbox.postgres.reconcile import ReconcileStore
from tests.kit.database import Database
from tests.kit.inbox import FLOW, LANES

SUBJECT = Subject(FLOW, (r"^\.order\.confirmed$",), amount=("total", "amount"), currency=("total", "currency"))

_DELIVERY = """
insert into inbox.delivery (flow, message_id, sequence, type, version, key, lane, state, external_id, reference,
                            due_at, lane_epoch, attempt, began_at, first_sent_at, last_sent_at, request_sha256,
                            settled_at, reason, reason_class)
select $1::text, e.event_id::text, e.id, e.type, 1, null, 0, $3::text, $4::text, $4::text,
       case when $3 in ('ready', 'retry') then now() end,
       case when $3 = 'applying' then 1 end, 1, now(), now(), now(), 'x'::bytea,
       case when $3 in ('applied', 'dead', 'skipped') then now() end, 'why', 'test'
  from outbox.event e where e.event_id = $2::uuid
returning id
"""


@dataclass
class Ledger:
    """The books of one flow as a test fills them."""

    database: Database
    subject: Subject = SUBJECT
    ids: list[str] = field(default_factory=list)

    async def begin(self) -> None:
        """Make the flow known."""
        async with InboxStore(self.database.server).session(FLOW) as session:
            await session.register(LANES)

    async def emit(self, amount: object, currency: object = "EUR", *, raw: str | None = None) -> str:
        """Commit an event with this amount; ``raw``: the whole payload as it is written."""
        payload = raw if raw is not None else json.dumps({"total": {"amount": amount, "currency": currency}})
        event_id = str(
            await self.database.value("select outbox.emit('order.confirmed', null, $1::text::json)", payload)
        )
        self.ids.append(event_id)
        return event_id

    async def stand(self, event_id: str, state: str, name: str | None = None, *, edited: str | None = None) -> None:
        """Put an event of the flow into a state of its delivery, with the name that the target gave it."""
        delivery = await self.database.value(_DELIVERY, FLOW, event_id, state, name)
        await self.database.value(
            "insert into inbox.message (delivery_id, headers, body, edited_body) values ($1, '{}', '{}', $2)"
            " returning delivery_id",
            delivery,
            None if edited is None else edited.encode(),
        )

    async def applied(self, amount: object, currency: object = "EUR", name: str | None = None) -> str:
        event_id = await self.emit(amount, currency)
        await self.stand(event_id, "applied", name)
        return event_id

    async def publish(self) -> None:
        """Let the cursor be behind everything that is committed."""
        await self.database.value("update outbox.cursor set previous = pg_current_snapshot() returning stream")

    async def window(self) -> Window:
        async with ReconcileStore(self.database.server).session() as session:
            now = await session.now()
        return Window(now - timedelta(hours=1), now + timedelta(seconds=1))

    async def books(self) -> Books:
        window = await self.window()

        async def nothing() -> None:
            pass

        async with ReconcileStore(self.database.server).session() as session:
            return await read_books(self.subject, window, session, nothing)

    async def compared(self, target: TargetTotals | None = None) -> Reconciliation:
        return compare(self.subject, await self.window(), await self.books(), target)

    async def standing(self) -> dict[Place, int]:
        return dict((await self.compared()).counts)
