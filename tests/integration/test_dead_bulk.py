"""``outbox dead`` about many deliveries: what was not looked at, or may have taken effect, is not decided about."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from outbox.model.dead_letters import Action
from outbox.model.errors import ExitCode
from tests.kit.database import Database
from tests.kit.inbox import FLOW, arrival
from tests.kit.parked import DEAD, DOUBT, DOUBT_FOR_NOW, Desk
from tests.kit.verbs import Verbs

BULK = ("--all-matching", "--flow", FLOW, "--why", "fixed", "--as", "ann")


@pytest.fixture
def at(tmp_path: Path, database: Database) -> Verbs:
    return Verbs(tmp_path, database.url)


async def states(desk: Desk) -> dict[str, str]:
    return await desk.inbox.states()


async def test_the_look_prints_its_bound_and_what_is_parked_later_is_left_alone_by_it(desk: Desk, at: Verbs) -> None:
    await desk.settled(DEAD, 1)
    shown = await at("dead", "retry", *BULK, "--dry-run")
    bound = shown.out.rpartition("--until ")[2].split()[0]
    looked = (await at("dead", "retry", *BULK, "--dry-run", "--json")).json()
    assert looked["until"] > bound
    await desk.settled(DEAD, 2)
    assert datetime.fromisoformat(bound) > (await desk.row("m1"))["parked_at"]  # type: ignore[operator]

    done = (await at("dead", "retry", *BULK, "--until", bound, "--yes", "--json")).json()
    assert done["done"] == 1
    assert await states(desk) == {"m1": "ready", "m2": "dead"}
    for verb in (("skip", "--state", "dead"), ("discard",), ("resolve", "--happened")):
        looked = (await at("dead", *verb, *BULK, "--until", bound, "--dry-run", "--json")).json()
        assert datetime.fromisoformat(looked["until"]) == datetime.fromisoformat(bound)
        assert looked["done"] == 0


async def test_what_had_no_answer_before_it_was_refused_is_counted_and_left_out_unless_it_is_said(
    desk: Desk, at: Verbs
) -> None:
    await desk.settled(DEAD, 1)
    await desk.inbox.accept(arrival(2, "k2"), arrival(3, "k3"))
    for number in (2, 3):
        await desk.call(number, DOUBT_FOR_NOW, "unknown")
        await desk.call(number, DEAD, "rejected")
    # A person has looked: nothing took effect under the key that was given up.
    await desk.resolve(Action.RETRY, "m3")
    await desk.call(3, DEAD, "rejected")

    looked = await at("dead", "retry", *BULK, "--dry-run")
    assert "would be tried again: 2" in looked.out
    assert "would be left: 1, a call without an answer came before the refusal" in looked.out
    looked = await at("dead", "retry", *BULK, "--also-unanswered", "--dry-run")
    assert "would be tried again: 3" in looked.out
    assert "of them after a call without an answer, which may have taken effect: 1" in looked.out
    assert "look into the target before you retry" in (await at("dead", "show", "m2")).out
    assert "look into the target" not in (await at("dead", "show", "m3")).out

    done = (await at("dead", "retry", *BULK, "--yes", "--json")).json()
    assert (done["done"], done["left"]) == (2, {"unanswered": 1})
    done = (await at("dead", "retry", *BULK, "--also-unanswered", "--yes", "--json")).json()
    assert (done["done"], done["left"]) == (1, {})


async def test_a_call_that_died_with_its_process_had_no_answer_either(desk: Desk, at: Verbs) -> None:
    await desk.inbox.accept(arrival(1))
    (due,) = await desk.inbox.due()
    await desk.inbox.begin(due)
    # As the next owner of the lane finds it.
    await desk.inbox.database.rows("update inbox.lane set leased_until = now() - interval '1 s', owner = 'gone'")
    await desk.inbox.hold()
    await desk.call(1, DEAD, "rejected")
    done = (await at("dead", "retry", *BULK, "--yes", "--json")).json()
    assert (done["done"], done["left"]) == (0, {"unanswered": 1})
    named = await at("dead", "retry", "m1")
    assert named.code == ExitCode.OK, named


async def test_a_skip_of_many_takes_the_states_that_are_said(desk: Desk, at: Verbs) -> None:
    await desk.settled(DEAD, 1)
    await desk.settled(DOUBT, 2)
    await at("dead", "skip", *BULK, "--state", "dead", "--yes")
    assert await states(desk) == {"m1": "skipped", "m2": "in_doubt"}
    rows: list[dict[str, Any]] = (await at("dead", "list", "--json")).json()
    done = await at("dead", "skip", *BULK[:1], "--group", rows[0]["reason_group"], "--why", "x", "--yes", "--json")
    assert done.json()["done"] == 1


async def test_garbage_of_one_key_is_discarded(desk: Desk, at: Verbs) -> None:
    await desk.inbox.accept(arrival(1, "a", refusal="no envelope"), arrival(2, "b", refusal="no envelope"))
    await at("dead", "discard", *BULK, "--key", "a", "--yes")
    assert await states(desk) == {"m1": "skipped", "m2": "dead"}


async def test_a_word_of_a_type_is_a_word_as_it_is_to_the_broker(desk: Desk, at: Verbs) -> None:
    for number, name in enumerate(("order.a", "order.a.b", "order"), start=1):
        await desk.inbox.accept(replace(arrival(number, f"k{number}"), type=name))
        await desk.settle(DEAD, number)
    for pattern, expected in {"order.*": ["m1"], "order.#": ["m1", "m2", "m3"], "*": ["m3"], "#.b": ["m2"]}.items():
        rows = (await at("dead", "list", "--type", pattern, "--json")).json()
        assert [row["message_id"] for row in rows] == expected, pattern
        groups = (await at("dead", "list", "--by-group", "--type", pattern, "--json")).json()
        assert sum(group["deliveries"] for group in groups) == len(expected), pattern


async def test_what_waits_for_the_place_that_a_rate_has_given_it_can_be_listed(desk: Desk, at: Verbs) -> None:
    await desk.settled(DEAD, *range(1, 6))
    await desk.inbox.accept(arrival(9, "live"))
    await desk.resolve(Action.RETRY, *(f"m{n}" for n in range(1, 6)), rate_per_s=0.1)
    rows = (await at("dead", "list", "--state", "ready", "--json")).json()
    assert [(row["message_id"], row["state"]) for row in rows] == [(f"m{n}", "ready") for n in range(2, 6)]
    assert [row["due_at"] for row in rows] == sorted(row["due_at"] for row in rows)
    page = (await at("dead", "list", "--state", "ready", "--after", str(rows[0]["id"]), "--most", "2", "--json")).json()
    assert [row["message_id"] for row in page] == ["m3", "m4"]
    assert "due, UTC" in (await at("dead", "list", "--state", "ready")).out
