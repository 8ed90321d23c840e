"""A flow's inbox as the SQL functions see it, with short words for tests."""

from __future__ import annotations

from dataclasses import dataclass

from outbox.model.delivery import Settlement, State
from outbox.model.inbox import AcceptCounts, Arrival, Beginning, CallKind, DueDelivery, Parking, Result
from outbox.postgres.inbox_store import InboxSession
from tests.kit.database import Database

FLOW = "orders"
LANES = 4
HASH = b"h" * 32


def arrival(
    sequence: int, key: str | None = "k", *, message_id: str | None = None, refusal: str | None = None
) -> Arrival:
    return Arrival(
        message_id=message_id or f"m{sequence}",
        sequence=sequence,
        type="order.confirmed",
        version=1,
        key=key,
        headers_json="{}",
        body=b"{}",
        refusal=refusal,
    )


def applied(due: DueDelivery, external_id: str = "X") -> Result:
    return Result(
        due.id, due.epoch, CallKind.SEND, "applied", 201, False, Settlement(State.APPLIED, external_id=external_id)
    )


def ended(
    due: DueDelivery, settlement: Settlement, *, is_unsent: bool = False, kind: CallKind = CallKind.SEND
) -> Result:
    return Result(due.id, due.epoch, kind, "test", None, is_unsent, settlement)


@dataclass
class Inbox:
    """One process's view of the flow."""

    session: InboxSession
    database: Database
    me: str = "me"

    async def accept(self, *arrivals: Arrival) -> AcceptCounts:
        return await self.session.accept(arrivals)

    async def hold(self, lease_seconds: float = 60) -> set[int]:
        return set((await self.session.hold_lanes(self.me, lease_seconds)).epochs)

    async def due(
        self, wanted: int = 100, in_hand: tuple[int, ...] = (), *, newest_first: bool = False
    ) -> list[DueDelivery]:
        return await self.session.fetch(self.me, in_hand, wanted, newest_first=newest_first)

    async def begin(self, *due: DueDelivery, sha256: bytes = HASH, reference: str | None = None) -> dict[int, int]:
        return await self.begin_as(*[Beginning(one.id, one.epoch, CallKind.SEND, sha256, reference) for one in due])

    async def begin_as(self, *beginnings: Beginning) -> dict[int, int]:
        return await self.session.begin(self.me, beginnings)

    async def settle(self, *results: Result) -> set[int]:
        return set(await self.session.settle(self.me, results))

    async def park(self, due: DueDelivery, state: State) -> set[int]:
        return await self.session.park(self.me, [Parking(due.id, due.epoch, state, "why", "test")])

    async def apply_all(self) -> list[str]:
        """Apply everything that is due until nothing is; return the order in which it took effect."""
        order = []
        while due := await self.due():
            begun = await self.begin(*due)
            for one in due:
                assert one.id in begun
                assert await self.settle(applied(one)) == {one.id}
                order.append(one.message_id)
        return order

    async def states(self) -> dict[str, str]:
        rows = await self.database.rows("select message_id, state from inbox.delivery order by id")
        return {row["message_id"]: row["state"] for row in rows}
