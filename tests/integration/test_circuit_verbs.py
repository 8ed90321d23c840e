"""``outbox circuit`` as people and programs call it: what it shows, what it asks for, and what the audit keeps."""

from __future__ import annotations

import os
import pwd
import socket
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import pytest

from outbox.model.errors import ExitCode
from outbox.postgres.inbox_store import InboxStore
from tests.kit.database import Database
from tests.kit.inbox import FLOW, LANES
from tests.kit.urls import with_user
from tests.kit.verbs import Verbs


@pytest.fixture
async def at(tmp_path: Path, database: Database) -> AsyncIterator[Verbs]:
    """As a user with the least rights that are documented; the flow is known."""
    async with InboxStore(database.server).session(FLOW) as session:
        await session.register(LANES)
    name = f"operator_{uuid.uuid4().hex[:12]}"
    async with database.connection() as connection:
        await connection.execute(f"create role {name} login password 'pw' in role outbox_adapter")
        try:
            yield Verbs(tmp_path, with_user(database.url, name, "pw"))
        finally:
            await connection.execute(f"drop role {name}")


async def audit(database: Database) -> list[tuple[object, ...]]:
    rows = await database.rows("select flow, from_state, to_state, who, why from inbox.circuit_change order by id")
    return [tuple(row) for row in rows]


async def test_each_opening_and_closing_is_kept_with_who_and_why(at: Verbs, database: Database) -> None:
    assert (await at("circuit", "--json")).json()[0]["last_set"] is None
    opened = await at("circuit", "open", FLOW, "--why", "the CRM moves", "--as", "ann", "--json")
    assert opened.json() == {
        "flow": FLOW, "from_state": "closed", "to_state": "open", "who": "ann", "why": "the CRM moves",
    }  # fmt: skip
    assert (
        "circuit closed, it was open"
        in (await at("circuit", "close", FLOW, "--why", "it has moved", "--as", "bob")).out
    )
    assert await audit(database) == [
        (FLOW, "closed", "open", "ann", "the CRM moves"),
        (FLOW, "open", "closed", "bob", "it has moved"),
    ]
    (shown,) = (await at("circuit", "--json")).json()
    last = shown["last_set"]
    assert (shown["circuit"], last["to_state"], last["who"], last["why"]) == ("closed", "closed", "bob", "it has moved")
    assert last["database_user"].startswith("operator_")
    assert last["changed_at"]
    people = await at("circuit")
    assert "bob" in people.out
    assert "moved" in people.out


@pytest.mark.parametrize("verb", ["open", "close"])
@pytest.mark.parametrize("why", [(), ("--why", " ")], ids=["none", "blank"])
async def test_without_a_reason_nothing_is_done(at: Verbs, database: Database, verb: str, why: tuple[str, ...]) -> None:
    assert (await at("circuit", verb, FLOW, *why)).refusal(ExitCode.USAGE).startswith("--why is missing")
    assert await audit(database) == []


async def test_a_flow_that_nobody_knows_leaves_no_audit(at: Verbs, database: Database) -> None:
    refused = await at("circuit", "open", "nobody", "--why", "x")
    assert "flow nobody is not known here" in refused.refusal(ExitCode.MISCONFIGURED)
    assert await audit(database) == []


async def test_a_user_without_a_name_can_open_a_circuit(
    at: Verbs, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(uid: int) -> NoReturn:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert (await at("circuit", "open", FLOW, "--why", "an incident")).code == ExitCode.OK
    assert await audit(database) == [
        (FLOW, "closed", "open", f"uid {os.getuid()}@{socket.gethostname()}", "an incident")
    ]
