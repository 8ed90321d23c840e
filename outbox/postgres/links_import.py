"""Judging a file of links as a whole, before one of them is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from outbox.model.xref import Pair, Registry
from outbox.postgres.connection import PostgresServer, connect
from outbox.postgres.errors import postgres_errors

_NEEDS = "grant outbox_adapter, and TEMPORARY on the database, to this user"
# More conflicts than anybody reads one by one.
MOST_CONFLICTS = 10_000

_STAGE = "create temp table links_staged (line integer, canonical_key text, external_id text) on commit drop"
# What the first line to name a key or an id says is what would be linked.
_JUDGE = """
create temp table links_judged on commit drop as
select n.*, k.external_id as former_id, i.canonical_key as former_key,
       case when k.external_id = n.external_id then 'known'
            when n.key_id <> n.external_id then 'key_twice'
            when n.id_key <> n.canonical_key then 'id_twice'
            when k.external_id is not null then 'key_taken'
            when i.canonical_key is not null then 'id_taken'
            when n.key_line < n.line then 'repeated'
            else 'linked' end as verdict
  from (select line, canonical_key, external_id,
               first_value(line) over by_key as key_line, first_value(external_id) over by_key as key_id,
               first_value(line) over by_id as id_line, first_value(canonical_key) over by_id as id_key
          from pg_temp.links_staged
        window by_key as (partition by canonical_key order by line),
               by_id as (partition by external_id order by line)) n
  left join xref.link k on k.entity = $1 and k.system = $2 and k.canonical_key = n.canonical_key
  left join xref.link i on i.entity = $1 and i.system = $2 and i.external_id = n.external_id
                       and i.canonical_key <> n.canonical_key
"""
_COUNTS = "select verdict, count(*)::integer as links from pg_temp.links_judged group by verdict"
_CONFLICTS = """
select line, canonical_key, external_id, verdict, former_id, former_key, key_line, id_line
  from pg_temp.links_judged
 where verdict in ('key_taken', 'id_taken', 'key_twice', 'id_twice')
 order by line
 limit $1
"""


@dataclass(frozen=True, slots=True)
class ImportConflict:
    """A line that contradicts what is linked, or an earlier line."""

    line: int
    pair: Pair
    verdict: str
    text: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """How many lines would come to what, and which of them contradict something."""

    counts: dict[str, int]
    conflicts: tuple[ImportConflict, ...]

    def contradicts_itself(self) -> bool:
        """Say whether two lines of the file cannot both be right."""
        return bool(self.counts.get("key_twice") or self.counts.get("id_twice"))


async def judge(server: PostgresServer, registry: Registry, rows: Iterable[tuple[int, Pair]]) -> Judgement:
    """Compare a file with itself and with what is linked, in a temporary table. Changes nothing.

    Raises:
        Unavailable, AccessRefused, Misconfigured: the database cannot do it.
    """
    async with connect(server) as connection:
        with postgres_errors(str(server), needs=_NEEDS):
            # One transaction: a pooler may give the next one another session.
            async with connection.transaction():
                await connection.execute(_STAGE)
                await connection.copy_records_to_table(
                    "links_staged",
                    records=((line, pair.canonical_key, pair.external_id) for line, pair in rows),
                    columns=["line", "canonical_key", "external_id"],
                )
                await connection.execute("analyze pg_temp.links_staged")
                await connection.execute(_JUDGE, registry.entity, registry.system)
                counts = await connection.fetch(_COUNTS)
                conflicts = await connection.fetch(_CONFLICTS, MOST_CONFLICTS)
    return Judgement(
        {row["verdict"]: row["links"] for row in counts},
        tuple(_conflict(dict(row)) for row in conflicts),
    )


def _conflict(row: dict[str, Any]) -> ImportConflict:
    pair = Pair(row["canonical_key"], row["external_id"])
    return ImportConflict(row["line"], pair, row["verdict"], _text(row))


def _text(row: Mapping[str, object]) -> str:
    match row["verdict"]:
        case "key_taken":
            return f"the key has the id {row['former_id']!r}"
        case "id_taken":
            return f"the id belongs to the key {row['former_key']!r}"
        case "key_twice":
            return f"line {row['key_line']} gives the key another id"
        case _:
            return f"line {row['id_line']} gives the id to another key"
