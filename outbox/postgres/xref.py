"""Cross-reference in the database: one line of Python for each SQL function."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from outbox.model.xref import Change, Link, Linked, LinkVerdict, Pair, Registry, Source
from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.errors import postgres_errors
from outbox.postgres.references import ReferenceReads

_NEEDS = "grant outbox_adapter to this user"

_LINKS = """
select l.entity, l.system, l.canonical_key, l.external_id, l.linked_at, l.source, l.linked_by
  from xref.link l
 where ($1::text is null or l.entity = $1) and ($2::text is null or l.system = $2)
   and ($3::text is null or l.canonical_key = $3) and ($4::text is null or l.external_id = $4)
   and (l.entity, l.system, l.canonical_key) > ($5, $6, $7)
 order by l.entity, l.system, l.canonical_key
 limit $8
"""
_CHANGES = """
select c.changed_at, c.entity, c.system, c.canonical_key, c.external_id, c.former_id, c.former_key, c.action, c.source,
       c.who, c.database_user, c.why
  from xref.change c
 where c.entity = $1 and c.system = $2 and c.canonical_key = $3
 order by c.id desc
 limit $4
"""
_CONFLICTS = """
select c.changed_at, c.entity, c.system, c.canonical_key, c.external_id, c.former_id, c.former_key, c.action, c.source,
       c.who, c.database_user, c.why
  from xref.change c
 where c.action = 'conflict'
 order by c.id desc
 limit $1
"""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which links; None: any."""

    entity: str | None = None
    system: str | None = None
    canonical_key: str | None = None
    external_id: str | None = None


class XrefSession(ReferenceReads):
    """One connection."""

    def __init__(self, connection: Connection, server: str) -> None:
        self._connection = connection
        self._server = server

    async def link(
        self,
        registry: Registry,
        pairs: Sequence[Pair],
        source: Source,
        *,
        who: str,
        why: str | None,
        may_replace: bool = False,
    ) -> list[Linked]:
        """Note pairs, all in one transaction, and return what became of each, in their order."""
        with postgres_errors(self._server, needs=_NEEDS):
            rows = await self._connection.fetch(
                "select * from xref.link($1, $2, $3, $4, $5, $6, $7, $8)",
                registry.entity,
                registry.system,
                [pair.canonical_key for pair in pairs],
                [pair.external_id for pair in pairs],
                source.value,
                who,
                why,
                may_replace,
            )
        return [
            Linked(pairs[row["place"] - 1], LinkVerdict(row["verdict"]), row["former_id"], row["former_key"])
            for row in sorted(rows, key=lambda row: int(row["place"]))
        ]

    async def unlink(self, registry: Registry, canonical_key: str, *, who: str, why: str) -> str | None:
        """Take a link away; return the external id that it had, None: there was none."""
        with postgres_errors(self._server, needs=_NEEDS):
            former: str | None = await self._connection.fetchval(
                "select xref.unlink($1, $2, $3, $4, $5)", registry.entity, registry.system, canonical_key, who, why
            )
        return former

    async def links(self, filters: Filters, *, most: int, after: Link | None = None) -> list[Link]:
        """Return a page of links in order of entity, system and key, after another one."""
        place = ("", "", "") if after is None else (after.entity, after.system, after.canonical_key)
        with postgres_errors(self._server, needs=_NEEDS):
            rows = await self._connection.fetch(
                _LINKS, filters.entity, filters.system, filters.canonical_key, filters.external_id, *place, most
            )
        return [Link(*row) for row in rows]

    async def changes(self, registry: Registry, canonical_key: str, *, most: int) -> list[Change]:
        """Return what was done to a key's link, newest first."""
        with postgres_errors(self._server, needs=_NEEDS):
            rows = await self._connection.fetch(_CHANGES, registry.entity, registry.system, canonical_key, most)
        return [Change(*row) for row in rows]

    async def conflicts(self, *, most: int) -> list[Change]:
        """Return the links that were refused because they contradict others, newest first."""
        with postgres_errors(self._server, needs=_NEEDS):
            rows = await self._connection.fetch(_CONFLICTS, most)
        return [Change(*row) for row in rows]

    async def canonical_keys(self, wanted: Sequence[tuple[Registry, str]]) -> dict[tuple[Registry, str], str]:
        """Return the canonical keys of external ids; what is not linked is not in it."""
        with postgres_errors(self._server, needs=_NEEDS):
            rows = await self._connection.fetch(
                "select * from xref.canonical_keys($1, $2, $3)",
                [registry.entity for registry, _ in wanted],
                [registry.system for registry, _ in wanted],
                [external_id for _, external_id in wanted],
            )
        return {wanted[row["place"] - 1]: row["canonical_key"] for row in rows}


@asynccontextmanager
async def xref_session(server: PostgresServer) -> AsyncIterator[XrefSession]:
    """Open a connection.

    Raises:
        Unavailable, AccessRefused, Misconfigured: the database cannot be reached.
    """
    async with connect(server) as connection:
        yield XrefSession(connection, str(server))
