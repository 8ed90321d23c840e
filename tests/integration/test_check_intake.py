"""``outbox check`` of the inbound way: senders, contracts, the rights of its user, and the database's clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from outbox.cli import check_intake
from outbox.model.doctor import Result
from outbox.model.errors import ExitCode
from tests.integration.test_check import results
from tests.integration.test_permissions import login
from tests.kit.broker import Broker
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.intake import SECTIONS, intake_settings
from tests.kit.verbs import Verbs

SHOP = {
    "scheme": "stripe",
    "secrets": ["whsec_of_the_shop", "whsec_of_the_shop_before"],
    "type": {"path": "type", "types": {"order.paid": "shop.order_paid", "order.sent": "shop.order_sent"}},
    "key": {"path": "id"},
    "rate": "50/s",
}


def settled(intake: Mapping[str, Any], **sections: object) -> dict[str, object]:
    return {"connections": {}, "flows": {}, "intake": intake, **sections}


def told(rows: list[dict[str, str]], subject: str, result: str) -> list[str]:
    return [row["text"] for row in rows if (row["subject"], row["result"]) == (subject, result)]


@pytest.fixture
async def outbox(cli: Cli, database: Database, broker: Broker) -> Cli:
    cli.settings(settled({"sources": {"shop": SHOP}}))
    ready = Verbs(cli.folder, database.url, broker.url)
    await ready("topology", "apply")
    return ready


async def test_the_user_of_the_intake_passes_with_its_own_role_and_others_are_told_to_ask_it(
    outbox: Cli, database: Database
) -> None:
    looked = {}
    for group in ("outbox_intake", "outbox_relay", "outbox_writer"):
        async with login(database, group) as url:
            looked[group] = await replace(outbox, pg_url=url)("check", "--json")
    rows = {group: json.loads(ended.out) for group, ended in looked.items()}

    assert looked["outbox_intake"].code == ExitCode.OK
    assert told(rows["outbox_intake"], "intake", "right") == ["this user can take webhooks and commands"]
    (clock,) = told(rows["outbox_intake"], "intake clock", "right")
    assert "well within every replay_window" in clock
    assert results(rows["outbox_relay"])["intake"] == "not seen"
    (step,) = [row["next_step"] for row in rows["outbox_relay"] if row["subject"] == "intake"]
    assert step == "grant outbox_intake to this user"
    assert results(rows["outbox_writer"])["intake"] == "wrong", "it can do nothing at all"


async def test_the_look_takes_nothing_and_forgets_nothing(outbox: Cli, database: Database) -> None:
    await database.value(
        "insert into intake.received (source, name, body_sha256, event_id, keep_until)"
        " values ('shop', 'old', sha256('x'), gen_random_uuid(), now() - interval '1 day') returning 1"
    )
    await database.value(
        "insert into intake.refused"
        " (refused_at, source, reason, status, requests, body_bytes, remote, detail, header_names)"
        " values (now() - interval '1 year', 'shop', 'busy', 503, 1, 0, '', '', '{}') returning 1"
    )

    rows = (await outbox("check", "--json")).json()

    assert results(rows)["intake"] == "right"
    counts = "(select count(*) from intake.received), (select count(*) from intake.refused)"
    (row,) = await database.rows(f"select {counts}, (select count(*) from outbox.event)")
    assert tuple(row) == (1, 1, 0)


@pytest.mark.parametrize(
    ("chosen", "result", "code"),
    [
        ({"directory": "contracts"}, "note", ExitCode.OK),
        ({"directory": "contracts", "without": "reject"}, "wrong", ExitCode.CHECK_FAILED),
    ],
)
async def test_a_type_without_a_contract_is_told_and_wrong_where_it_would_be_refused(
    outbox: Cli, chosen: dict[str, str], result: str, code: int
) -> None:
    outbox.settings(settled({"sources": {"shop": SHOP}, "commands": {"types": {"order.hold": {}}}}, contracts=chosen))
    write(outbox.folder / "contracts/shop.order_paid/1.json", "{}")
    write(outbox.folder / "contracts/order.hold/1.json", "{}")

    ended = await outbox("check", "--json")

    rows = json.loads(ended.out)
    (text,) = [text for text in told(rows, "source shop", result) if "contract" in text]
    assert text.startswith("shop.order_sent@1: no contract")
    assert "order_paid" not in text
    assert "command order.hold" not in results(rows)
    assert ended.code == code


async def test_without_contracts_it_is_said_once_that_nothing_is_checked(outbox: Cli) -> None:
    rows = (await outbox("check", "--json")).json()

    assert told(rows, "contracts", "note") == ["there are none, so what the intake takes is not checked"]


async def test_what_is_allowed_and_worth_a_look_is_noted_and_nothing_of_a_secret_is_shown(outbox: Cli) -> None:
    sources = dict(SECTIONS["sources"]) | {
        "pay": SECTIONS["sources"]["pay"] | {"secrets": ["sk_live_0123456789", "sk_live_0123456789"]}
    }
    shared = {"tokens": ["the token of both clients"]}
    commands = {"types": {"order.hold": {}}, "clients": {"portal": shared, "floor": shared | {"rate": "5/s"}}}
    outbox.settings(settled(dict(SECTIONS) | {"sources": sources, "commands": commands}))

    ended = await outbox("check", "--json")

    rows = json.loads(ended.out)
    unbounded = "has no rate: it may send as much as this process takes"
    assert told(rows, "source partner", "right") == ["standard-webhooks, 1 secret(s) that it may sign with"]
    assert told(rows, "source pay", "note") == [
        "a secret does not begin with whsec_, as Stripe's signing secrets do; an API key is none",
        "a secret stands twice",
        unbounded,
    ]
    assert told(rows, "source partner", "note") == [
        "has no type.types: its words are types, also those of events that others send",
        unbounded,
    ]
    assert told(rows, "source shop", "note")[0].startswith("signs no time: whoever keeps a request can send it again")
    assert "has no key: its events have no order" in told(rows, "source git", "note")
    assert told(rows, "client portal", "note") == [unbounded]
    assert told(rows, "client floor", "wrong") == ["has a token of the client portal, and nobody can tell them apart"]
    assert ended.code == ExitCode.CHECK_FAILED
    assert "sk_live" not in ended.out
    assert "the token of" not in ended.out


async def test_secrets_that_cannot_be_read_or_have_another_form_are_told_with_their_line(
    outbox: Cli, tmp_path: Path
) -> None:
    missing = SHOP | {"secrets": [f"file:{tmp_path}/none"]}
    outbox.settings(settled({"sources": {"shop": missing, "partner": SHOP | {"scheme": "standard-webhooks"}}}))

    refusal = (await outbox("check")).refusal(ExitCode.MISCONFIGURED)

    assert "intake.sources.shop.secrets[0]: cannot read the file" in refusal
    assert "intake.sources.partner.secrets: each must be whsec_ and the base64 of" in refusal


async def test_without_senders_nothing_is_said_of_the_intake(outbox: Cli) -> None:
    outbox.settings(settled({}))

    assert "intake" not in results((await outbox("check", "--json")).json())


@pytest.mark.parametrize(
    ("off", "result", "words"),
    [
        (0, Result.RIGHT, "well within every replay_window"),
        (-200, Result.NOTE, "ahead of this machine's, more than half of the replay_window of pay, crm"),
        (200, Result.NOTE, "behind this machine's"),
        (500, Result.WRONG, "behind this machine's: if this machine's is right, every request of pay, crm is refused"),
    ],
)
async def test_a_clock_that_is_too_far_from_the_databases_is_told_by_the_sources_that_feel_it(
    database: Database, tmp_path: Path, off: int, result: Result, words: str
) -> None:
    window = {"replay_window": "1h"}
    sources = {name: SECTIONS["sources"][name] for name in ("shop", "pay", "crm")}
    sources["partner"] = SECTIONS["sources"]["partner"] | window
    settings = intake_settings(database, tmp_path, sources=sources)

    (finding,) = await check_intake.clock(
        settings, database.server, now=lambda: datetime.now(UTC) + timedelta(seconds=off)
    )

    assert (finding.subject, finding.result) == ("intake clock", result)
    assert words in finding.text


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
