"""Links of canonical keys and external ids: unique both ways, with an audit, whoever is at it at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import asyncpg
import pytest

from outbox.model.mapping import Reference
from outbox.model.xref import Linked, LinkVerdict, Pair, Registry, Source
from outbox.postgres.xref import Filters, XrefSession, xref_session
from tests.kit.database import Database

CUSTOMERS = Registry("customer", "crm")


async def link(session: XrefSession, *pairs: tuple[str, str], may_replace: bool = False) -> list[Linked]:
    wanted = [Pair(*pair) for pair in pairs]
    return await session.link(CUSTOMERS, wanted, Source.PERSON, who="ann", why="test", may_replace=may_replace)


def verdicts(linked: Sequence[Linked]) -> list[LinkVerdict]:
    return [one.verdict for one in linked]


async def test_a_link_is_found_both_ways_and_only_in_its_system(database: Database) -> None:
    async with xref_session(database.server) as session:
        assert verdicts(await link(session, ("C-2", "22"), ("C-1", "11"))) == [LinkVerdict.LINKED, LinkVerdict.LINKED]
        first, second = Reference("customer", "crm", "C-1"), Reference("customer", "crm", "C-2")
        others = [Reference("customer", "shop", "C-1"), Reference("item", "crm", "C-1")]
        assert await session.external_ids([first, *others, second]) == {first: "11", second: "22"}
        shop = Registry("customer", "shop")
        assert await session.canonical_keys([(CUSTOMERS, "22"), (shop, "22")]) == {(CUSTOMERS, "22"): "C-2"}


async def test_what_contradicts_another_link_is_refused_and_says_what_is_there(database: Database) -> None:
    async with xref_session(database.server) as session:
        await link(session, ("C-1", "11"), ("C-2", "22"))
        again = await link(session, ("C-1", "11"), ("C-1", "99"), ("C-3", "22"), ("C-1", "22"))
        assert again == [
            Linked(Pair("C-1", "11"), LinkVerdict.KNOWN),
            Linked(Pair("C-1", "99"), LinkVerdict.KEY_TAKEN, former_id="11"),
            Linked(Pair("C-3", "22"), LinkVerdict.ID_TAKEN, former_key="C-2"),
            Linked(Pair("C-1", "22"), LinkVerdict.KEY_TAKEN, former_id="11", former_key="C-2"),
        ]
        assert {one.canonical_key: one.external_id for one in await session.links(Filters(), most=10)} == {
            "C-1": "11",
            "C-2": "22",
        }


async def test_a_contradiction_that_is_repeated_is_written_down_once(database: Database) -> None:
    async with xref_session(database.server) as session:
        await link(session, ("C-1", "11"))
        for external_id in ("12", "12", "13", "12"):
            await link(session, ("C-1", external_id))
        found = await session.changes(CUSTOMERS, "C-1", most=10)
        assert [(one.action, one.external_id, one.former_id) for one in found] == [
            ("conflict", "12", "11"),
            ("conflict", "13", "11"),
            ("conflict", "12", "11"),
            ("link", "11", None),
        ]
        assert [one.external_id for one in await session.conflicts(most=10)] == ["12", "13", "12"]


async def test_replacing_takes_away_both_links_that_contradict(database: Database) -> None:
    async with xref_session(database.server) as session:
        await link(session, ("C-1", "11"), ("C-2", "22"))
        assert await link(session, ("C-1", "22"), may_replace=True) == [
            Linked(Pair("C-1", "22"), LinkVerdict.REPLACED, former_id="11", former_key="C-2")
        ]
        assert [(one.canonical_key, one.external_id) for one in await session.links(Filters(), most=10)] == [
            ("C-1", "22")
        ]
        (last, _) = await session.changes(CUSTOMERS, "C-1", most=10)
        assert (last.action, last.former_id, last.former_key, last.who, last.why) == (
            "replace",
            "11",
            "C-2",
            "ann",
            "test",
        )


async def test_unlinking_is_written_down_and_what_is_not_there_is_told(database: Database) -> None:
    async with xref_session(database.server) as session:
        await link(session, ("C-1", "11"))
        assert await session.unlink(CUSTOMERS, "C-1", who="ann", why="merged") == "11"
        assert await session.unlink(CUSTOMERS, "C-1", who="ann", why="merged") is None
        assert [one.action for one in await session.changes(CUSTOMERS, "C-1", most=10)] == ["unlink", "link"]
        assert verdicts(await link(session, ("C-9", "11"))) == [LinkVerdict.LINKED]


async def test_links_stay_unique_both_ways_while_many_link_and_replace_and_unlink_at_once(database: Database) -> None:
    """Every refusal and replacement is told with what stood there, and nobody waits for ever."""
    seed = random.randrange(2**32)

    async def worker(number: int) -> None:
        chance = random.Random(f"{seed} {number}")
        async with xref_session(database.server) as session:
            for _ in range(40):
                pairs = {f"C-{chance.randrange(6)}": str(chance.randrange(6)) for _ in range(3)}
                if chance.random() < 0.2:
                    await session.unlink(CUSTOMERS, next(iter(pairs)), who="w", why="w")
                    continue
                one_by_one = chance.random() < 0.5
                for batch in [[pair] for pair in pairs.items()] if one_by_one else [list(pairs.items())]:
                    may_replace = one_by_one and chance.random() < 0.3
                    for told in await link(session, *batch, may_replace=may_replace):
                        if told.verdict.is_conflict():
                            assert told.former_id is not None or told.former_key is not None, (seed, told)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(worker(number))
    async with database.connection() as connection:
        # The log alone says how the table must look.
        links: dict[str, str] = {}
        rows = await connection.fetch("select * from xref.change order by id")
        for row in rows:
            if row["action"] == "link":
                links[row["canonical_key"]] = row["external_id"]
            elif row["action"] == "replace":
                links.pop(row["former_key"], None)
                links[row["canonical_key"]] = row["external_id"]
            elif row["action"] == "unlink":
                links.pop(row["canonical_key"], None)
        stored = await connection.fetch("select canonical_key, external_id from xref.link")
    assert len({row["external_id"] for row in stored}) == len(stored)
    assert {row["canonical_key"] for row in stored} == links.keys(), seed


@pytest.mark.parametrize("columns", [("customer", "crm", "C-2", "11"), ("customer", "crm", "C-1", "12")])
async def test_the_table_itself_refuses_a_second_meaning(database: Database, columns: tuple[str, ...]) -> None:
    async with xref_session(database.server) as session:
        await link(session, ("C-1", "11"))
    async with database.connection() as connection:
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(
                "insert into xref.link (entity, system, canonical_key, external_id, source, linked_by)"
                " values ($1, $2, $3, $4, 'person', 'ann')",
                *columns,
            )
