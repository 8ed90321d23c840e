"""The circuits of flows: how they stand, and what people do to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from outbox.model.circuit import CircuitState
from outbox.postgres.connection import PostgresServer, connect
from outbox.postgres.errors import postgres_errors
from outbox.postgres.status import FlowStatus, fetch_flows

_NEEDS = "grant outbox_adapter to this user"


@dataclass(frozen=True, slots=True)
class CircuitDecision:
    """What a person did to a circuit: a row of ``inbox.circuit_change``."""

    changed_at: datetime
    from_state: str
    to_state: str
    who: str
    database_user: str
    why: str


async def set_circuit(server: PostgresServer, flow: str, state: CircuitState, *, who: str, why: str) -> CircuitState:
    """Open a circuit until a person closes it, or close it; return the state before.

    Raises:
        Misconfigured: the database knows no such flow.
        Unavailable, AccessRefused: the database cannot do it.
    """
    async with connect(server) as connection:
        with postgres_errors(str(server), needs=_NEEDS):
            former = await connection.fetchval("select inbox.set_circuit($1, $2, $3, $4)", flow, state.value, who, why)
    return CircuitState(former)


async def read_circuits(server: PostgresServer) -> list[tuple[FlowStatus, CircuitDecision | None]]:
    """Return how each flow stands, and what a person did last to its circuit.

    Raises:
        Unavailable, AccessRefused, Misconfigured: the database cannot tell.
    """
    async with connect(server) as connection:
        with postgres_errors(str(server), needs=_NEEDS):
            flows = await fetch_flows(connection)
            rows = await connection.fetch(
                "select f.flow, l.* from inbox.circuit f cross join lateral ("
                " select c.changed_at, c.from_state, c.to_state, c.who, c.database_user, c.why"
                " from inbox.circuit_change c where c.flow = f.flow order by c.id desc limit 1) l"
            )
    decisions = {row["flow"]: CircuitDecision(*tuple(row)[1:]) for row in rows}
    return [(flow, decisions.get(flow.flow)) for flow in flows]
