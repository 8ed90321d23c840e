"""What `outbox replay` says of what it cannot see, who it writes down, and how it leaves room for live events."""

from __future__ import annotations

from pathlib import Path

import pytest

from outbox.model.dead_letters import Action
from outbox.model.errors import ExitCode
from tests.kit.cli import Cli, one_flow
from tests.kit.database import Database
from tests.kit.inbox import FLOW
from tests.kit.parked import DEAD, Desk
from tests.kit.replays import EVERYTHING, emit, had
from tests.kit.verbs import Verbs
from tests.kit.waiting import until

_LONG_AGO = "2020-01-01T00:00Z"
_BEGIN = "select inbox.begin_replay($1, $2, null, null, null, false, false, false, 'park', null, 'ann', 'lost')"
_START = ("replay", "--flow", FLOW, "--why", "the CRM lost them", "--yes")


@pytest.fixture
def ours(tmp_path: Path, database: Database) -> Cli:
    """The command with a flow of the name that the tests of the inbox use, where half of the room is two."""
    cli = Cli(tmp_path, database.url)
    (flow,) = dict(one_flow()["flows"]).values()  # type: ignore[call-overload]
    cli.settings(one_flow() | {"flows": {FLOW: flow}, "inbox": {"max_waiting": 4}})
    return cli


async def test_what_retention_has_removed_is_told_and_refused_when_it_was_asked_for(ours: Cli, desk: Desk) -> None:
    await had(desk.inbox, 1)
    assert "retention" not in (await ours("replay", "--flow", FLOW)).out
    await desk.inbox.database.rows("update outbox.partition set closed_at = now(), sealed_by = '3', emptied_at = now()")
    shown = await ours("replay", "--flow", FLOW)
    assert "not among them is what retention has removed: the oldest is of" in shown.out
    assert (await ours("replay", "--flow", FLOW, "--json")).json()["is_cut_off"] is True
    refused = await ours("replay", "--flow", FLOW, "--since", _LONG_AGO)
    assert "retention has removed some of them" in refused.refusal(ExitCode.CHECK_FAILED)


async def test_what_may_be_forgotten_is_not_taken_for_what_the_flow_never_had(ours: Cli, desk: Desk) -> None:
    await emit(desk.inbox, 1)
    assert (await ours("replay", "--flow", FLOW, "--missing", "--json")).json()["would_be_replayed"] != {}
    await desk.inbox.database.rows("update outbox.event set created_at = now() - interval '100 days'")
    for arguments in (("--missing",), ("--missing", "--since", _LONG_AGO), ("--missing", "--yes", "--why", "x")):
        refusal = (await ours("replay", "--flow", FLOW, *arguments)).refusal(ExitCode.CHECK_FAILED)
        assert "nobody knows whether orders never had them" in refusal
        since = refusal.rpartition("say --since ")[2].split()[0]
    looked = await ours("replay", "--flow", FLOW, "--missing", "--since", since, "--json")
    assert looked.json()["would_be_replayed"] == {}
    assert (await ours("replay", "list", "--json")).json() == []


async def test_the_look_counts_what_people_decided(ours: Cli, desk: Desk) -> None:
    first, second, third = [(await emit(desk.inbox, 1, key=f"k{n}"))[0] for n in range(3)]
    await desk.inbox.accept(first, second, third)
    await desk.settle(DEAD, first.sequence, second.sequence, third.sequence)
    await desk.resolve(Action.SKIP, first.message_id)
    await desk.resolve(Action.HAPPENED, second.message_id)
    await desk.resolve(Action.EDIT, third.message_id, body=b"{}")
    await desk.inbox.apply_all()
    shown = (await ours("replay", "--flow", FLOW, COLUMNS="200")).out
    assert "1 of them as they were edited" in shown
    assert "left out: 1 skipped by a person; --skipped takes them too" in shown
    assert "left out: 1 noted as applied by a person; --happened takes them too" in shown
    looked = (await ours("replay", "--flow", FLOW, "--skipped", "--happened", "--json")).json()
    assert (looked["would_be_replayed"], looked["left_out"]) == ({"order.confirmed": 3}, {})


async def test_it_waits_for_room_says_so_and_whoever_resumes_or_ends_it_is_written_down(ours: Cli, desk: Desk) -> None:
    for number in range(3):
        await had(desk.inbox, 1, key=f"k{number}")
    process = await ours.start(*_START, "--as", "ann", "--rate", "1000")

    async def is_told() -> bool:
        return "half of inbox.max_waiting" in process.tail()

    await until(is_told, what="it says that it waits")
    await process.kill()
    assert await desk.inbox.database.value("select count(*) from inbox.delivery where generation > 0") == 2
    await desk.inbox.apply_all()
    await desk.inbox.database.rows(
        "update inbox.circuit set state = 'open', until = now() + interval '1 hour', reason = 'away'"
    )
    ended = await ours("replay", "resume", "1", "--as", "bob", COLUMNS="200")
    assert "3 events are in the inbox and wait there: the circuit of the flow is open" in ended.out
    assert (await ours("replay", "cancel", "1")).refusal(ExitCode.USAGE).startswith("--why is missing")
    (entry,) = (await ours("replay", "list", "--json")).json()
    assert [(one["action"], one["who"]) for one in entry["decisions"]] == [("start", "ann"), ("resume", "bob")]
    assert (entry["rate_per_s"], entry["moved_at"] > entry["started_at"]) == (1000, True)


async def test_a_replay_is_ended_for_a_reason_and_tells_programs_how_it_stands(ours: Cli, desk: Desk) -> None:
    await had(desk.inbox, 1)
    await desk.inbox.database.rows(_BEGIN, FLOW, list(EVERYTHING.patterns))
    ended = (await ours("replay", "cancel", "1", "--why", "a backup", "--as", "bob", "--json")).json()
    assert ended == {"replay": 1, "state": "cancelled", "looked_at": 0, "replayed": 0}
    listed = (await ours("replay", "list", COLUMNS="200")).out
    assert "last moved" in listed


async def test_of_what_it_never_had_a_flow_is_given_only_the_types_that_it_takes(ours: Cli, desk: Desk) -> None:
    for name in ("order.confirmed", "invoice.confirmed", "order.cancelled"):
        await emit(desk.inbox, 1, event_type=name)
    looked = await ours("replay", "--flow", FLOW, "--missing", "--type", "*.confirmed", "--json")
    assert looked.json()["would_be_replayed"] == {"order.confirmed": 1}


async def test_whoever_has_no_name_is_written_down_by_the_number(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    await had(desk.inbox, 1)
    database = desk.inbox.database
    await database.rows(_BEGIN, FLOW, list(EVERYTHING.patterns))
    verbs = Verbs(tmp_path, database.url)
    ended = [await verbs("replay", "resume", "1"), await verbs("replay", "resume", "1")]
    assert [one.code for one in ended] == [ExitCode.OK] * 2, ended
    who = await database.value("select who from inbox.replay_decision where action = 'resume'")
    assert str(who).startswith("uid ")


async def test_a_pattern_that_means_nothing_to_the_broker_is_refused(ours: Cli) -> None:
    refusal = (await ours("replay", "--flow", FLOW, "--type", "order*")).refusal(ExitCode.USAGE)
    assert "stand for whole words" in refusal
    both_ways = await ours("replay", "--flow", FLOW, "--missing", "--skipped")
    assert "--missing is what the flow never had" in both_ways.refusal(ExitCode.USAGE)
