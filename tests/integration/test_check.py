"""``outbox check`` as people call it: what is right, what is wrong, and what cannot be seen."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web

from outbox.model.errors import ExitCode
from tests.contract.rest_loopback import target
from tests.kit.broker import Broker
from tests.kit.cli import FLOW, Cli, one_flow
from tests.kit.database import Database
from tests.kit.urls import with_user
from tests.kit.verbs import Verbs


def results(rows: list[dict[str, str]]) -> dict[str, str]:
    """Return how each subject is, at its worst."""
    order = ["right", "note", "not seen", "wrong"]
    found: dict[str, str] = {}
    for row in rows:
        found[row["subject"]] = max(found.get(row["subject"], "right"), row["result"], key=order.index)
    return found


async def test_everything_is_right_once_the_topology_is_applied(cli: Cli, database: Database, broker: Broker) -> None:
    cli.settings(one_flow())
    outbox = Verbs(cli.folder, database.url, broker.url)

    before = await outbox("check")
    await outbox("topology", "apply")
    after = await outbox("check", "--json")

    assert before.code == ExitCode.CHECK_FAILED
    assert "next step: run" in before.out
    found = results(after.json())
    assert (found["settings"], found["database"], found["memory"]) == ("right", "right", "right")
    assert found[f"target of {FLOW}"] == "note", "it has no question that changes nothing"
    assert "wrong" not in found.values()


@pytest.mark.parametrize(("status", "result", "code"), [(200, "right", 0), (503, "note", 0), (403, "wrong", 1)])
async def test_a_target_is_asked_what_changes_nothing(
    cli: Cli, database: Database, broker: Broker, status: int, result: str, code: int
) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"version": "17.2"}, status=status)

    async with target(answer) as url:
        settings = one_flow(url)
        settings["flows"][FLOW]["adapter"]["check"] = {"path": "/me", "version": "version"}  # type: ignore[index]
        cli.settings(settings)
        outbox = Verbs(cli.folder, database.url, broker.url)
        await outbox("topology", "apply")
        ended = await outbox("check", "--json")
    (row,) = [row for row in json.loads(ended.out) if row["subject"] == f"target of {FLOW}"]
    assert (row["result"], ended.code) == (result, code), row
    assert ("version 17.2" in row["text"]) is (status == 200)
    assert ("connections.crm" in (row["next_step"] or "")) is (result == "wrong")


async def test_a_name_that_is_taken_on_trust_is_noted(cli: Cli, database: Database) -> None:
    settings = one_flow()
    adapter = settings["flows"][FLOW]["adapter"]  # type: ignore[index]
    (operation,) = adapter["operations"].values()
    operation |= {"recovery": "named_create", "reference": "ref"}
    outbox = Verbs(cli.folder, database.url)
    notes = []
    for look_up in (None, {"path": "/deals/{reference}", "external_id": "id"}):
        operation |= {} if look_up is None else {"look_up": look_up}
        cli.settings(settings)
        rows = json.loads((await outbox("check", "--json")).out)
        notes += [row["text"] for row in rows if row["result"] == "note" and "taken for ours" in row["text"]]
    assert [note.rpartition("; ")[2] for note in notes] == [
        "a look_up would read it back",
        "look_up.same would compare it",
    ]


async def test_events_that_outlive_the_memory_are_wrong(cli: Cli, database: Database, broker: Broker) -> None:
    cli.settings(one_flow())
    outbox = Verbs(cli.folder, database.url, broker.url)
    await outbox("topology", "apply")
    async with database.connection() as connection:
        await connection.execute("update outbox.partition set opened_at = now() - $1::interval", timedelta(days=50))

    ended = await outbox("check", COLUMNS="300")

    assert ended.code == ExitCode.CHECK_FAILED
    assert "has events of 50 days ago" in ended.out
    assert "set inbox.keep to 80d or more" in ended.out or "set inbox.keep to 81d or more" in ended.out


async def test_what_is_away_is_told_beside_what_is_there(cli: Cli, database: Database) -> None:
    cli.settings(one_flow())

    ended = await Verbs(cli.folder, database.url)("check", COLUMNS="300")

    assert ended.code == ExitCode.CHECK_FAILED
    assert "it answers, and has the schema of this program" in ended.out
    assert "next step" in ended.out
    assert "mq-password" not in ended.out


async def test_a_schema_that_is_missing_is_told_with_the_command_that_makes_it(
    cli: Cli, empty_database: Database, broker: Broker
) -> None:
    cli.settings(one_flow())

    ended = await Verbs(cli.folder, empty_database.url, broker.url)("check", COLUMNS="300")

    assert ended.code == ExitCode.CHECK_FAILED
    assert "outbox migrate" in ended.out


async def test_a_login_that_is_refused_fails_the_check(cli: Cli, database: Database, broker: Broker) -> None:
    cli.settings(one_flow())
    outbox = replace(cli, pg_url=with_user(database.url, "postgres", "wrong"), amqp_url=broker.url)
    await outbox("topology", "apply")

    ended = await outbox("check", "--json")

    assert ended.code == ExitCode.CHECK_FAILED
    found = results(json.loads(ended.out))
    assert (found["database"], found["memory"]) == ("wrong", "not seen")
    assert "wrong" not in {found["settings"], found["broker"]}
