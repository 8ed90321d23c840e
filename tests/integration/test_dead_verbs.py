"""``outbox dead`` as people and programs call it: what is shown, what is asked first, what is refused."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from outbox.model.delivery import Settlement, State
from outbox.model.errors import ExitCode
from tests.kit.database import Database
from tests.kit.inbox import arrival
from tests.kit.parked import DEAD, DOUBT, RETRY, Desk
from tests.kit.urls import with_user
from tests.kit.verbs import Verbs

SECRET = b'{"iban": "DE89 3704"}'


@pytest.fixture
async def at(tmp_path: Path, database: Database) -> AsyncIterator[Verbs]:
    """As a user with the least rights that are documented."""
    name = f"operator_{uuid.uuid4().hex[:12]}"
    async with database.connection() as connection:
        await connection.execute(f"create role {name} login password 'pw' in role outbox_adapter")
        try:
            yield Verbs(tmp_path, with_user(database.url, name, "pw"))
        finally:
            await connection.execute(f"drop role {name}")


def rejected(number: int) -> Settlement:
    reason = f"POST /deals: answered 422: customer {number} of 2026-11-{number:02} is unknown"
    return Settlement(State.DEAD, is_failure=True, reason=reason, reason_class="rejected")


async def listed(at: Verbs, *filters: str) -> list[dict[str, Any]]:
    rows = (await at("dead", "list", *filters, "--json")).json()
    assert isinstance(rows, list)
    return rows


async def test_the_list_shows_what_waits_for_a_person_page_by_page_and_by_every_filter(desk: Desk, at: Verbs) -> None:
    for number in (1, 2, 3):
        await desk.settled(rejected(number), number)
    await desk.settled(DOUBT, 4)
    await desk.settled(RETRY, 5)
    await desk.settled(rejected(6), 6)
    assert (await at("dead", "skip", "m6", "--why", "booked by hand")).code == ExitCode.OK
    await desk.inbox.accept(arrival(11, "k1"))

    assert [row["message_id"] for row in await listed(at)] == ["m1", "m2", "m3", "m4"]
    first = await listed(at, "--most", "2")
    assert [row["message_id"] for row in await listed(at, "--after", str(first[-1]["id"]))] == ["m3", "m4"]
    group = first[0]["reason_group"]
    for filters, expected in {
        ("--group", group): ["m1", "m2", "m3"],
        ("--key", "k2"): ["m2"],
        ("--state", "in_doubt"): ["m4"],
        ("--state", "retry", "--state", "blocked"): ["m5", "m11"],
        ("--state", "skipped"): ["m6"],
        ("--state", "skipped", "--key", "k2"): [],
        ("--type", "order.*", "--flow", "orders", "--since", "1h"): ["m1", "m2", "m3", "m4"],
        ("--type", "*.confirmed"): ["m1", "m2", "m3", "m4"],
        ("--type", "order"): [],
        ("--flow", "other"): [],
        ("--until", "1h"): [],
    }.items():
        assert [row["message_id"] for row in await listed(at, *filters)] == expected, filters
    people = await at("dead", "list")
    assert "customer 1 of" in people.out or "…" in people.out


async def test_failures_are_grouped_by_cause(desk: Desk, at: Verbs) -> None:
    for number in range(1, 6):
        await desk.settled(rejected(number), number)
    await desk.settled(DEAD, 6)
    groups = (await at("dead", "list", "--by-group", "--json")).json()
    assert [(group["deliveries"], group["example_reason"]) for group in groups] == [
        (5, rejected(5).reason),
        (1, DEAD.reason),
    ]
    assert groups[0]["oldest_at"] < groups[0]["newest_at"]
    shown = await at("dead", "list", "--by-group")
    assert groups[0]["reason_group"] in shown.out


async def test_a_delivery_tells_its_whole_story_and_its_payload_only_when_asked(desk: Desk, at: Verbs) -> None:
    await desk.inbox.accept(replace(arrival(1), body=SECRET))
    await desk.settle(rejected(1), 1)
    await desk.inbox.accept(arrival(2), arrival(3))
    (story,) = (await at("dead", "show", "m1", "--json")).json()
    assert (story["state"], story["blocks"], story["attempts"], story["deaths"]) == ("dead", 2, 1, 1)
    assert [(call["call"], call["outcome"]) for call in story["calls"]] == [("send", "test")]
    (waiting,) = (await at("dead", "show", "m3", "--json")).json()
    assert (waiting["state"], waiting["waits_for_id"], waiting["waits_for_state"]) == ("blocked", story["id"], "dead")

    for arguments in (("show", "m1"), ("show", "m1", "--json"), ("list",), ("list", "--json")):
        told = await at("dead", *arguments)
        assert "DE89" not in told.out + told.err, arguments
    assert SECRET.decode() in (await at("dead", "show", "m1", "--payload")).out
    (story,) = (await at("dead", "show", str(story["id"]), "--payload", "--json")).json()
    assert story["body"] == SECRET.decode()
    assert (await at("dead", "show", "m99")).refusal(ExitCode.USAGE).startswith("no delivery 'm99'")


async def test_one_delivery_is_decided_about_at_once_and_its_audit_says_who_and_why(desk: Desk, at: Verbs) -> None:
    await desk.settled(DEAD, 1, 2)
    await desk.settled(DOUBT, 3)
    await desk.inbox.accept(arrival(4, None, message_id="sha256:x", refusal="not an envelope: no sequence"))
    for arguments in (
        ("retry", "m1"),
        ("skip", "m2", "--why", "booked by hand"),
        ("resolve", "m3", "--happened", "--external-id", "D-1", "--why", "found"),
        ("discard", "sha256:x", "--why", "a test of the shop"),
    ):
        done = await at("dead", *arguments, "--as", "alice")
        assert done.code == ExitCode.OK, done
    assert await desk.audit() == [
        ("m1", "retry", "alice", None, "dead", "ready"),
        ("m2", "skip", "alice", "booked by hand", "dead", "skipped"),
        ("m3", "happened", "alice", "found", "in_doubt", "applied"),
        ("sha256:x", "discard", "alice", "a test of the shop", "dead", "skipped"),
    ]
    (story,) = (await at("dead", "show", "m3", "--json")).json()
    assert (story["external_id"], story["resolutions"][0]["who"]) == ("D-1", "alice")


async def test_what_is_refused_says_what_to_do_instead_and_ends_with_1(desk: Desk, at: Verbs) -> None:
    await desk.settled(DOUBT, 1)
    refused = await at("dead", "retry", "m1")
    assert "resolve --happened or --not-happened" in refused.refusal(ExitCode.CHECK_FAILED)
    assert await desk.audit() == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("retry",), "--all-matching"),
        (("retry", "m1", "--all-matching"), "--all-matching"),
        (("retry", "--all-matching", "--why", "x", "--yes"), "is everything of every flow"),
        (("retry", "--all-matching", "--why", "x", "--yes", "--until", "0s"), "is everything of every flow"),
        (("retry", "--all-matching", "--flow", "orders", "--yes"), "--why is missing"),
        (("skip", "--all-matching", "--flow", "orders", "--why", "x", "--yes"), "say --state dead"),
        (("skip", "--all-matching", "--state", "dead", "--why", "x", "--yes"), "is everything of every flow"),
        (("skip", "--all-matching", "--flow", "orders", "--state", "retry", "--why", "x"), "none of dead, in_doubt"),
        (("skip", "m1", "--state", "dead", "--why", "x"), "filters go with --all-matching"),
        (("list", "--type", "order*"), "stand for whole words"),
        (("retry", "m1", "--key", "k"), "filters go with --all-matching"),
        (("retry", "m1", "--rate", "fast"), "20/s"),
        (("retry", "m1", "m2"), "add --yes"),
        (("retry", "m1", "m2", "--json"), "add --yes"),
        (("skip", "m1"), "--why is missing"),
        (("resolve", "m1", "--why", "x"), "--happened or --not-happened"),
        (("resolve", "m1", "m2", "--happened", "--external-id", "X", "--why", "x"), "one id"),
        (("edit", "m1", "--file", "FOLDER/broken.json", "--why", "x"), "is not JSON, line 1"),
        (("edit", "m1", "--file", "FOLDER/missing.json", "--why", "x"), "No such file"),
        (("list", "--state", "applied"), "is none of dead, in_doubt"),
        (("list", "--since", "yesterday"), "is no time"),
    ],
)
async def test_a_call_that_is_not_clear_changes_nothing(
    desk: Desk, at: Verbs, arguments: tuple[str, ...], problem: str
) -> None:
    await desk.settled(DEAD, 1, 2)
    (at.folder / "broken.json").write_bytes(b'{"iban": DE89}')
    refusal = (await at("dead", *(one.replace("FOLDER", str(at.folder)) for one in arguments))).refusal(ExitCode.USAGE)
    assert problem in refusal
    assert "DE89" not in refusal
    assert await desk.audit() == []


async def test_an_edit_is_applied_from_a_file_and_from_standard_input(desk: Desk, at: Verbs) -> None:
    await desk.settled(DEAD, 1)
    (at.folder / "fixed.json").write_bytes(SECRET)
    edit = ("edit", "m1", "--why", "INC-1", "--file")
    looked = await at("dead", *edit, str(at.folder / "fixed.json"), "--dry-run")
    assert "would be edited and tried again: 1" in looked.out
    done = await at("dead", *edit, str(at.folder / "fixed.json"))
    assert done.code == ExitCode.OK, done
    await desk.settle(DEAD, 1)
    done = await at("dead", *edit, "-", typed=SECRET.decode())
    assert done.code == ExitCode.OK, done
    (due,) = await desk.inbox.due()
    assert due.body == SECRET
    (story,) = (await at("dead", "show", "m1", "--json")).json()
    assert story["is_edited"]
    assert [one["body_sha256_after"] for one in story["resolutions"]] == [story["body_sha256"]] * 2


async def test_everything_that_matches_is_shown_first_and_done_with_yes(desk: Desk, at: Verbs) -> None:
    for number in range(1, 8):
        await desk.settled(rejected(number), number)
    await desk.settled(DEAD, 8)
    group = (await listed(at))[0]["reason_group"]
    bulk = ("retry", "--all-matching", "--group", group, "--rate", "2/s", "--why", "fixed")

    shown = await at("dead", *bulk, "--dry-run")
    assert "would be tried again: 7, spread over 4 s" in shown.out
    assert "nothing was changed: add --yes" in (await at("dead", *bulk)).refusal(ExitCode.USAGE)
    assert await desk.audit() == []
    done = (await at("dead", *bulk, "--yes", "--json")).json()
    assert (done["done"], done["left"]) == (7, {})
    rows = await desk.inbox.database.rows("select due_at from inbox.delivery where state = 'ready' order by due_at")
    assert (rows[-1]["due_at"] - rows[0]["due_at"]).total_seconds() == pytest.approx(3.0)
    assert (await desk.row("m8"))["state"] == "dead"
    assert json.loads((await at("dead", "list", "--json")).out)[0]["message_id"] == "m8"
