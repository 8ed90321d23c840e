"""``outbox check`` of the database, as the users whom the README prescribes, and where it is not as it must be."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from outbox.model.errors import ExitCode
from tests.integration.test_check import results
from tests.integration.test_permissions import login
from tests.kit.broker import Broker
from tests.kit.cli import Cli, one_flow
from tests.kit.database import Database
from tests.kit.verbs import Verbs

OF_RELAY = ("outbox", "lanes", "cursor", "memory")
SUBJECTS = ("settings", "database", "inbox", *OF_RELAY)
LATEST = "(select name from outbox_meta.installed order by number desc nulls last limit 1)"


@pytest.fixture
async def outbox(cli: Cli, database: Database, broker: Broker) -> Cli:
    cli.settings(one_flow())
    ready = Verbs(cli.folder, database.url, broker.url)
    await ready("topology", "apply")
    return ready


async def looked(outbox: Cli, subject: str) -> tuple[int, str, str, str]:
    """Check, and return the exit code with how one subject is, and what to do."""
    ended = await outbox("check", "--json")
    (found,) = [row for row in json.loads(ended.out) if row["subject"] == subject]
    return ended.code, found["result"], found["text"], found["next_step"] or ""


@pytest.mark.parametrize(
    ("group", "unseen", "missing"),
    [("outbox_relay", ("inbox",), "outbox_adapter"), ("outbox_adapter", OF_RELAY, "outbox_relay")],
)
async def test_relay_and_consumers_pass_with_their_own_role(
    outbox: Cli, database: Database, group: str, unseen: tuple[str, ...], missing: str
) -> None:
    async with login(database, group) as url:
        rows = (await replace(outbox, pg_url=url)("check", "--json")).json()

    found = results(rows)
    assert {subject: found[subject] for subject in SUBJECTS} == {
        subject: "not seen" if subject in unseen else "right" for subject in SUBJECTS
    }
    steps = {row["next_step"] for row in rows if row["subject"] in unseen}
    assert steps == {f"grant {missing} to this user"}


async def test_a_user_who_can_neither_publish_nor_apply_is_wrong(outbox: Cli, database: Database) -> None:
    async with login(database, "outbox_writer") as url:
        ended = await replace(outbox, pg_url=url)("check", "--json")

    assert ended.code == ExitCode.CHECK_FAILED
    found = results(json.loads(ended.out))
    assert {found[subject] for subject in ("database", "outbox", "inbox")} == {"wrong"}


async def test_circuit_and_lanes_need_the_role_of_their_half_alone(outbox: Cli, database: Database) -> None:
    refused = {}
    for group, verb, other in (("outbox_relay", "lanes", "circuit"), ("outbox_adapter", "circuit", "lanes")):
        async with login(database, group) as url:
            user = replace(outbox, pg_url=url)
            assert (await user(verb)).code == ExitCode.OK
            refused[other] = (await user(other)).refusal(ExitCode.ACCESS_REFUSED)

    assert refused["circuit"].endswith("next step: grant outbox_adapter to this user")
    assert refused["lanes"].endswith("next step: grant outbox_relay to this user")


@pytest.mark.parametrize("group", [None, "outbox_relay", "outbox_adapter"])
async def test_an_older_schema_is_told_with_what_is_missing(outbox: Cli, database: Database, group: str | None) -> None:
    name = await database.value(f"delete from outbox_meta.installed where name = {LATEST} returning name")
    await database.value("update outbox_meta.installed set sha256 = '' where name like 'inbox.s%' returning 1")
    if group is None:
        code, result, text, step = await looked(outbox, "database")
    else:
        async with login(database, group) as url:
            code, result, text, step = await looked(replace(outbox, pg_url=url), "database")

    assert (code, result) == (ExitCode.CHECK_FAILED, "wrong")
    assert f"1 migration(s) missing ({name})" in text
    assert "4 function(s) missing or of another text (inbox.set_circuit, inbox.settle, inbox.status, …)" in text
    assert step.startswith('run "outbox migrate"')


async def test_a_newer_schema_is_told_with_the_release_that_it_needs(outbox: Cli, database: Database) -> None:
    await database.value("insert into outbox_meta.installed (name, number, sha256) values ('9999_future', 9999, '')")

    code, result, text, step = await looked(outbox, "database")

    assert (code, result, "has version 9999" in text) == (ExitCode.CHECK_FAILED, "wrong", True)
    assert step == "run the newer release of outbox that migrated this database"


@pytest.mark.parametrize(
    ("shape", "result"), [("flow text", "wrong"), ("{as_is}, another text", "right")], ids=["narrower", "wider"]
)
async def test_a_status_of_another_shape_is_no_traceback(
    outbox: Cli, database: Database, shape: str, result: str
) -> None:
    as_is = await database.value("select pg_get_function_result('inbox.status'::regproc)")
    columns = shape.format(as_is=str(as_is).removeprefix("TABLE(").removesuffix(")"))
    async with database.connection() as connection:
        await connection.execute("drop function inbox.status(integer)")
        await connection.execute(
            f"create function inbox.status(n integer) returns table ({columns}) language plpgsql as 'begin return; end'"
        )

    code, found, _, step = await looked(outbox, "inbox")
    shown = await outbox("circuit")

    assert (code, found) == (ExitCode.OK if result == "right" else ExitCode.CHECK_FAILED, result)
    assert ("outbox migrate" in step) is (result == "wrong")
    assert shown.code == (ExitCode.OK if result == "right" else ExitCode.MISCONFIGURED), shown


async def test_another_number_of_lanes_than_the_relay_is_set_to_is_wrong(outbox: Cli) -> None:
    await outbox("lanes", "set", "3", "--yes")

    code, result, text, step = await looked(outbox, "lanes")

    assert (code, result) == (ExitCode.CHECK_FAILED, "wrong")
    assert "has 3 lane(s) in this database, and relay.lanes is 1: a relay would end with 78" in text
    assert step == 'set relay.lanes (OUTBOX_RELAY_LANES) to 3, or run "outbox lanes set 1"'
    assert await looked_with(outbox, "lanes", OUTBOX_RELAY_LANES="3") == "right"


async def looked_with(outbox: Cli, subject: str, **variables: str) -> str:
    return results(json.loads((await outbox("check", "--json", **variables)).out))[subject]


@pytest.mark.parametrize(
    ("trouble", "finding"),
    [
        ("update outbox.cursor set system_identifier = 42 returning 1", "was saved in another cluster"),
        ("update outbox.cursor set previous = '4000000000:4000000000:' returning 1", "is ahead of this server"),
        (
            "insert into outbox.event (tx, type, payload) values ('4000000000', 't', '{}') returning 1",
            "events of transactions that this server has not come to yet",
        ),
        ("delete from outbox.event returning 1", "This server has lost transactions: 2 of the last 2 published"),
    ],
    ids=["another cluster", "ahead", "rows ahead", "lost"],
)
async def test_a_cursor_that_a_relay_would_stop_at_is_wrong_until_it_is_rebased(
    outbox: Cli, database: Database, trouble: str, finding: str
) -> None:
    await database.rows("select outbox.emit('order.confirmed', 'k', '{}') from generate_series(1, 2)")
    assert (await outbox("relay", "--drain")).code == ExitCode.OK
    assert (await looked(outbox, "cursor"))[1:3] == ("right", "it belongs to this server")
    await database.rows(trouble)
    before = await database.rows("select * from outbox.cursor")

    code, result, text, step = await looked(outbox, "cursor")

    assert (code, result, finding in text) == (ExitCode.CHECK_FAILED, "wrong", True), text
    assert step.startswith('run "outbox rebase"')
    assert await database.rows("select * from outbox.cursor") == before, "nothing is changed by looking"
    assert (await outbox("rebase", "--nothing", "--yes", "--why", "a test")).code == ExitCode.OK
    assert (await looked(outbox, "cursor"))[1] == "right"


async def test_a_failover_that_lost_nothing_is_no_reason_to_stop(outbox: Cli, database: Database) -> None:
    await database.value("select outbox.emit('order.confirmed', 'k', '{}')")
    assert (await outbox("relay", "--drain")).code == ExitCode.OK
    await database.value("update outbox.cursor set timeline = 'FFFFFFFF' returning 1")

    code, result, text, _ = await looked(outbox, "cursor")

    assert (code, result) == (ExitCode.OK, "note")
    assert "a relay goes on by itself" in text
