"""Opens and closes a flow's circuit on behalf of a person."""

from __future__ import annotations

from outbox.model.circuit import CircuitState
from outbox.postgres.connection import PostgresServer, connect
from outbox.postgres.errors import postgres_errors


async def set_circuit(
    server: PostgresServer, flow: str, state: CircuitState, *, who: str, why: str | None
) -> CircuitState:
    """Open a circuit until a person closes it, or close it; return the state before.

    Raises:
        Misconfigured: the database knows no such flow.
        Unavailable, AccessRefused: the database cannot do it.
    """
    async with connect(server) as connection:
        with postgres_errors(str(server), needs="grant outbox_adapter to this user"):
            former = await connection.fetchval("select inbox.set_circuit($1, $2, $3, $4)", flow, state.value, who, why)
    return CircuitState(former)
