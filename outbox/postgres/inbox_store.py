"""The inbox's side of the database: one line of Python for each SQL function."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from outbox.model.circuit import CircuitChange, CircuitState, Sign
from outbox.model.delivery import State
from outbox.model.flow_policy import FlowPolicy
from outbox.model.inbox import (
    AcceptCounts,
    Arrival,
    Beginning,
    DueDelivery,
    FlowStanding,
    HeldLanes,
    Parking,
    Result,
)
from outbox.model.storable import is_storable, readable
from outbox.model.xref import LinkVerdict
from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.dead_copies import DeadCopySession
from outbox.postgres.errors import postgres_errors
from outbox.postgres.waits import WaitCalls

# What is parked or blocked is counted so far; 1000 then means "1000 or more".
PARKED_UP_TO = 1_000


class InboxSession(DeadCopySession, WaitCalls):
    """One connection for one loop of one flow."""

    def __init__(self, connection: Connection, server: str, flow: str, policy: FlowPolicy) -> None:
        super().__init__(connection, server, flow)
        self._order = policy.order
        self._circuit = policy.circuit
        self._target_connection = policy.connection
        links = policy.links
        self._links = (None, None) if links is None else (links.entity, links.system)

    async def register(self, lanes: int) -> int:
        """Create the flow's lanes once; return how many it has."""
        with postgres_errors(self._server):
            count: int = await self._connection.fetchval(
                "select inbox.register_flow($1, $2, $3, $4, $5)",
                self._flow,
                lanes,
                self._target_connection,
                *self._links,
            )
        return count

    async def accept(self, arrivals: Sequence[Arrival]) -> AcceptCounts:
        """Take a batch into the inbox. When this returns, the messages may be acknowledged."""
        with postgres_errors(self._server):
            row = await self._connection.fetchrow(
                "select * from inbox.accept($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, $14, $15)",
                self._flow,
                [a.message_id for a in arrivals],
                [a.sequence for a in arrivals],
                [a.type for a in arrivals],
                [a.version for a in arrivals],
                [a.key for a in arrivals],
                [a.headers_json for a in arrivals],
                [a.body for a in arrivals],
                [a.traceparent for a in arrivals],
                [a.refusal for a in arrivals],
                [a.claim for a in arrivals],
                self._order.on_dead == "skip",
                self._order.on_stale,
                [None if a.copy is None else a.copy.delivery_id for a in arrivals],
                [None if a.copy is None else a.copy.death for a in arrivals],
            )
        if row is None:
            raise LookupError("inbox.accept returned no row")
        return AcceptCounts(**row)

    async def has_accepted(self, within_seconds: float) -> bool:
        """Say whether any process has lately taken a new message of this flow."""
        with postgres_errors(self._server):
            has: bool = await self._connection.fetchval("select inbox.has_accepted($1, $2)", self._flow, within_seconds)
        return has

    async def waiting(self, count_up_to: int) -> int:
        """Count the deliveries that wait for a call, up to a bound."""
        with postgres_errors(self._server):
            count: int = await self._connection.fetchval("select inbox.waiting($1, $2)", self._flow, count_up_to)
        return count

    async def hold_lanes(self, owner: str, lease_seconds: float) -> HeldLanes:
        """Renew leases, take free and expired lanes up to the fair share."""
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select * from inbox.hold_lanes($1, $2, $3)", self._flow, owner, lease_seconds
            )
        return HeldLanes(
            {row["lane"]: row["epoch"] for row in rows},
            sum(row["is_new"] for row in rows),
            rows[0]["fair_share"] if rows else 0,
            rows[0]["in_doubt"] if rows else 0,
        )

    async def release_lanes(self, owner: str, lanes: Iterable[int]) -> int:
        """Give lanes back that have no call under way; return how many."""
        with postgres_errors(self._server):
            released: int = await self._connection.fetchval(
                "select inbox.release_lanes($1, $2, $3::smallint[])", self._flow, owner, list(lanes)
            )
        return released

    async def abandon_lanes(self, former_owner: str) -> None:
        """Let the leases of an earlier run of this very loop expire at once."""
        with postgres_errors(self._server):
            await self._connection.execute("select inbox.abandon_lanes($1, $2)", self._flow, former_owner)

    async def observe(self, owner: str, reach_seconds: float | None = None) -> FlowStanding | None:
        """Return how the flow stands; None for whoever does not hold its lane 0. See `outbox.inbox.reach`."""
        with postgres_errors(self._server):
            row = await self._connection.fetchrow(
                "select * from inbox.observe($1, $2, $3, $4)", self._flow, owner, PARKED_UP_TO, reach_seconds
            )
        return None if row is None else FlowStanding(**dict(row) | {"circuit": CircuitState(row["circuit"])})

    async def fetch(
        self,
        owner: str,
        in_hand: Iterable[int],
        wanted: int,
        *,
        leaving: Iterable[int] = (),
        newest_first: bool = False,
        reach_seconds: float | None = None,
    ) -> list[DueDelivery]:
        """Read what may be acted on now, oldest due first unless told otherwise; see `outbox.inbox.reach`."""
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select * from inbox.fetch($1, $2, $3::bigint[], $4::smallint[], $5, $6, $7)",
                self._flow,
                owner,
                list(in_hand),
                list(leaving),
                wanted,
                newest_first,
                reach_seconds,
            )
            failing = await self._failing_seconds([row["id"] for row in rows if row["is_watched"] and row["attempt"]])
        return [
            DueDelivery(
                id=row["id"],
                lane=row["lane"],
                epoch=row["epoch"],
                state=State(row["state"]),
                sequence=row["sequence"],
                message_id=row["message_id"],
                type=row["type"],
                version=row["version"],
                key=row["key"],
                attempt=row["attempt"],
                failures=row["failures"],
                sent_age_seconds=row["sent_age_seconds"],
                last_sent_age_seconds=row["last_sent_age_seconds"],
                request_sha256=row["request_sha256"],
                key_number=row["key_number"],
                reference=row["reference"],
                job=row["job"],
                traceparent=row["traceparent"],
                body=row["body"],
                generation=row["generation"],
                is_watched=row["is_watched"],
                is_probe=row["is_probe"],
                due_seconds=row["due_seconds"],
                circuit_changed_at=row["circuit_changed_at"],
                failing_seconds=failing.get(row["id"], 0.0),
            )
            for row in rows
        ]

    async def _failing_seconds(self, ids: Sequence[int]) -> dict[int, float]:
        # Only what failed before in a flow whose target is in trouble is asked about.
        rows = await self._connection.fetch("select * from inbox.failing_seconds($1::bigint[])", ids) if ids else []
        return {row["id"]: row["seconds"] for row in rows}

    async def circuit_changed_at(self) -> datetime | None:
        """Return when the flow's circuit was last opened or closed; None: it has none yet."""
        with postgres_errors(self._server):
            changed_at: datetime | None = await self._connection.fetchval(
                "select inbox.circuit_changed_at($1)", self._flow
            )
        return changed_at

    async def begin(self, owner: str, beginnings: Sequence[Beginning]) -> dict[int, int]:
        """Write "applying"; return the attempt number of each delivery that may now be called."""
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select * from inbox.begin_calls($1, $2, $3::bigint[], $4::bigint[], $5, $6::bytea[], $7, $8, $9, $10)",
                self._flow,
                owner,
                [b.id for b in beginnings],
                [b.epoch for b in beginnings],
                [b.kind.value for b in beginnings],
                [b.request_sha256 for b in beginnings],
                [b.reference for b in beginnings],
                [b.adapter_version for b in beginnings],
                [b.may_differ for b in beginnings],
                [b.starts_anew for b in beginnings],
            )
        return {row["id"]: row["attempt"] for row in rows}

    async def settle(self, owner: str, results: Sequence[Result]) -> dict[int, LinkVerdict | None]:
        """End attempts; return the deliveries that were settled, and what became of the link of each that has one.

        The others belong to somebody else by now.
        """
        settlements = [r.settlement for r in results]
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select * from inbox.settle($1, $2, $3::bigint[], $4::bigint[], $5, $6, $7::float8[], $8, $9, $10,"
                " $11, $12, $13, $14, $15, $16, $17)",
                self._flow,
                owner,
                [r.id for r in results],
                [r.epoch for r in results],
                [r.kind.value for r in results],
                [s.state.value for s in settlements],
                [s.delay_seconds for s in settlements],
                [s.is_failure for s in settlements],
                [r.is_unsent for r in results],
                [s.starts_anew for s in settlements],
                [r.outcome for r in results],
                [r.http_status for r in results],
                [s.external_id if is_storable(s.external_id or "") else None for s in settlements],
                [s.job if is_storable(s.job or "") else None for s in settlements],
                [readable(s.reason) for s in settlements],
                [s.reason_class for s in settlements],
                self._order.on_dead == "skip",
            )
        return {row["id"]: row["link_verdict"] and LinkVerdict(row["link_verdict"]) for row in rows}

    async def park(self, owner: str, parkings: Sequence[Parking]) -> set[int]:
        """Park deliveries without a call; return those that were parked."""
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select id from inbox.park($1, $2, $3::bigint[], $4::bigint[], $5, $6::float8[], $7, $8, $9) id",
                self._flow,
                owner,
                [p.id for p in parkings],
                [p.epoch for p in parkings],
                [p.state.value for p in parkings],
                [p.delay_seconds for p in parkings],
                [p.reason for p in parkings],
                [p.reason_class for p in parkings],
                self._order.on_dead == "skip",
            )
        return {row["id"] for row in rows}

    async def tell_circuit(self, told: Sequence[tuple[int, Sign]]) -> list[CircuitChange]:
        """Tell the flow's circuit how calls for these deliveries ended; return what changed."""
        signs = [sign for _, sign in told]
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select * from inbox.tell_circuit($1, $2::bigint[], $3, $4, $5::float8[], $6, $7, $8, $9, $10)",
                self._flow,
                [delivery_id for delivery_id, _ in told],
                [sign.signal.value for sign in signs],
                [readable(sign.reason) for sign in signs],
                [sign.pause_seconds for sign in signs],
                [sign.is_shared for sign in signs],
                [sign.is_final for sign in signs],
                self._circuit.failures,
                self._circuit.backoff.first_seconds,
                self._circuit.backoff.max_seconds,
            )
        return [
            CircuitChange(
                row["flow"],
                CircuitState(row["state"]),
                row["reason"],
                row["seconds"],
                row["needs_a_person"],
                row["is_throttled"],
            )
            for row in rows
        ]


class InboxStore:
    """Opens sessions on the inbox of flows with one policy."""

    def __init__(self, server: PostgresServer, policy: FlowPolicy | None = None) -> None:
        self._server = server
        self._policy = policy or FlowPolicy()

    @asynccontextmanager
    async def session(self, flow: str) -> AsyncIterator[InboxSession]:
        """Open a connection of its own for the length of the block."""
        async with connect(self._server) as connection:
            yield InboxSession(connection, str(self._server), flow, self._policy)
