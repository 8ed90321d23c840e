"""What the inbox knows of the copies of its dead deliveries: which must be made, which must go."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from outbox.model.dead_copies import Copy, Note
from outbox.model.inbox import DeadLetter
from outbox.postgres.connection import Connection
from outbox.postgres.errors import postgres_errors


class DeadCopySession:
    """One connection for one loop of one flow."""

    def __init__(self, connection: Connection, server: str, flow: str) -> None:
        self._connection = connection
        self._server = server
        self._flow = flow

    async def dead_letters(self, owner: str, wanted: int) -> list[DeadLetter]:
        """Read dead deliveries whose copy is not in the dead-letter queue yet."""
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select * from inbox.dead_letters($1, $2, $3)", self._flow, owner, wanted
            )
        return [
            DeadLetter(
                id=row["id"],
                flow=self._flow,
                message_id=row["message_id"],
                sequence=row["sequence"],
                type=row["type"],
                version=row["version"],
                key=row["key"],
                attempts=row["attempts"],
                deaths=row["deaths"],
                reason=row["reason"],
                reason_class=row["reason_class"],
                headers=orjson.loads(row["headers"]),
                body=row["body"],
            )
            for row in rows
        ]

    async def dead_letters_published(self, letters: Sequence[DeadLetter]) -> None:
        """Note that the broker has confirmed these copies."""
        with postgres_errors(self._server):
            await self._connection.execute(
                "select inbox.dead_letters_published($1::bigint[], $2::integer[])",
                [letter.id for letter in letters],
                [letter.deaths for letter in letters],
            )

    async def outdated_copies(self, owner: str, wanted: int) -> list[Note]:
        """Read which copies may have to leave the dead-letter queue; empty for all processes but one."""
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select * from inbox.outdated_copies($1, $2, $3)", self._flow, owner, wanted
            )
        return [Note(row["delivery_id"], row["death"], row["noted"]) for row in rows]

    async def judge_copies(self, copies: Sequence[Copy]) -> list[bool]:
        """Say of each copy whether it is outdated."""
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select is_outdated from inbox.judge_copies($1, $2, $3, $4::integer[]) is_outdated",
                self._flow,
                [copy.delivery_id for copy in copies],
                [copy.message_id for copy in copies],
                [copy.death for copy in copies],
            )
        return [row["is_outdated"] for row in rows]

    async def forget_copies(self, notes: Sequence[Note]) -> None:
        """Forget that these may be in the dead-letter queue, unless it was noted again since they were read."""
        with postgres_errors(self._server):
            await self._connection.execute(
                "select inbox.forget_copies($1, $2::integer[], $3)",
                [note.delivery_id for note in notes],
                [note.death for note in notes],
                [note.noted for note in notes],
            )
