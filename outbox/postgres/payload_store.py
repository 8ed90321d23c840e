"""Payloads by claim check: a connection for each, because they are rare and few at a time."""

from __future__ import annotations

from outbox.model.claim import Claim
from outbox.postgres.connection import PostgresServer, connect
from outbox.postgres.errors import postgres_errors


class PayloadStore:
    """Reads payloads of events that did not travel whole."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    async def payload(self, claim: Claim) -> bytes | None:
        """Return the exact bytes, or None when the row is not there.

        Raises:
            Unavailable, AccessRefused, Misconfigured: the database cannot tell.
        """
        async with connect(self._server) as connection:
            with postgres_errors(str(self._server), needs="grant outbox_reader to this user"):
                payload: bytes | None = await connection.fetchval(
                    "select outbox.payload($1, $2::text::uuid)", claim.sequence, claim.event_id
                )
        return payload
