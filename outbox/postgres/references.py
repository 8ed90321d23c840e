"""Looking ids up in the cross-reference, and keys of ours by ids, for whoever has a connection."""

from __future__ import annotations

from collections.abc import Sequence

from outbox.model.mapping import Reference, Wanted
from outbox.model.storable import is_storable
from outbox.postgres.connection import Connection
from outbox.postgres.errors import postgres_errors


class ReferenceReads:
    """What a session knows of other systems' ids."""

    _connection: Connection
    _server: str

    async def linked(self, references: Sequence[Reference]) -> dict[Reference, str]:
        """Return what is linked of these: ids for keys of ours, and keys for ids, each kind in one statement."""
        ids = [one for one in references if one.to is Wanted.ID]
        keys = [one for one in references if one.to is Wanted.KEY]
        found = await self.external_ids(ids) if ids else {}
        return found | await self._keys(keys) if keys else found

    async def external_ids(self, references: Sequence[Reference]) -> dict[Reference, str]:
        """Return the ids of those that are linked."""
        # What cannot be stored is linked with nothing.
        wanted = [one for one in references if is_storable(one.key)]
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select * from xref.external_ids($1, $2, $3)",
                [one.entity for one in wanted],
                [one.system for one in wanted],
                [one.key for one in wanted],
            )
        return {wanted[row["place"] - 1]: row["external_id"] for row in rows}

    async def _keys(self, references: Sequence[Reference]) -> dict[Reference, str]:
        wanted = [one for one in references if is_storable(one.key)]
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select * from xref.canonical_keys($1, $2, $3)",
                [one.entity for one in wanted],
                [one.system for one in wanted],
                [one.key for one in wanted],
            )
        return {wanted[row["place"] - 1]: row["canonical_key"] for row in rows}
