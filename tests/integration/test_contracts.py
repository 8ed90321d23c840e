"""A relay with contracts: what breaks one is rejected with path, rule and kind of value; nothing else is held up."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from outbox.model.errors import ExitCode
from sandbox.ports import free_ports
from tests.kit.broker import Broker
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.probe import metrics_of
from tests.kit.verbs import Verbs
from tests.kit.waiting import until

CANARY = "CANARY-0815"
ORDER = {
    "type": "object",
    "required": ["order_ref", "total"],
    "properties": {"order_ref": {"type": "string"}, "total": {"type": "number", "multipleOf": 0.01}},
}
BREACHES = {
    '{"order_ref": "CANARY-0815"}': "/total: rule required, found nothing",
    '{"order_ref": ["CANARY-0815"], "total": 1}': "/order_ref: rule type (string), found a list",
    '{"order_ref": "CANARY-0815", "total": 1.005}': "/total: rule multipleOf (0.01), found a number",
    '{"order_ref": "CANARY-0815", "total": 1, "total": 2}': "(document): rule json, found the same key twice in one"
    " object",
    r'{"order_ref": "CANARY-0815\ud800", "total": 1}': "(document): rule json, found half of a surrogate pair",
    '{"order_ref": "CANARY-0815", "total": 1e4000}': "(document): rule json, found a number whose exponent is out of"
    " any range",
    f'{{"total": 1, "order_ref": {"[" * 250}{"]" * 250}}}': "(document): rule json, found lists and objects nested"
    " deeper than 200 levels",
}
GOOD = (
    '{"order_ref": "SO-1", "total": 19.99}',
    r'{ "order_ref" : "\u0000", "total" : 12345678901234567890.07, "more": {} }',
)
KEYS = 3
DEPRECATED = 'outbox_deprecated_events_total{type="order.confirmed",version="1"}'


@pytest.fixture
def relay(cli: Cli, database: Database, broker: Broker) -> Cli:
    contracts = cli.folder / "contracts" / "order.confirmed"
    contracts.mkdir(parents=True)
    (contracts / "1.json").write_text(json.dumps(ORDER), encoding="utf-8")
    ours = replace(cli, pg_url=database.url, amqp_url=broker.url)
    configure(ours)
    return ours


def configure(cli: Cli, relay: dict[str, object] | None = None, **section: str) -> None:
    cli.settings({"contracts": {"directory": "contracts"} | section, "relay": relay or {}})


async def emit(database: Database, payloads: list[str], *, event_type: str = "order.confirmed") -> None:
    async with database.connection() as erp:
        await erp.executemany(
            "insert into outbox.event (type, key, payload) values ($1, $2, $3::text::json)",
            [(event_type, f"K-{number % KEYS}", payload) for number, payload in enumerate(payloads)],
        )


async def test_what_breaks_a_contract_is_a_dead_letter_and_the_rest_is_published_in_order(
    relay: Cli, database: Database, broker: Broker
) -> None:
    assert (await relay("relay", "--drain")).code == ExitCode.OK
    await broker.bind_audit()
    payloads = [payload for breach in BREACHES for payload in (*GOOD, breach)] * 20
    await emit(database, payloads)
    await emit(database, [f'"{CANARY}"'], event_type="stock.moved")

    ended = await relay("relay", "--drain")

    assert ended.code == ExitCode.OK, ended.err
    expected = {
        sequence: f"breaks contract order.confirmed@1: {BREACHES[payload]}"
        for sequence, payload in enumerate(payloads, 1)
        if payload in BREACHES
    }
    rows = await database.rows("select sequence, reason from outbox.rejected")
    assert {row["sequence"]: row["reason"] for row in rows} == expected
    letters = await broker.take("outbox.rejected")
    assert {letter.headers["sequence"]: letter.headers["x-outbox-reason"] for letter in letters} == expected
    assert {letter.headers["x-outbox-reason-class"] for letter in letters} == {"contract"}
    audit = [(message.headers["sequence"], message.body.decode()) for message in await broker.take("audit")]
    published = [sequence for sequence in range(1, len(payloads) + 2) if sequence not in expected]
    assert sorted(sequence for sequence, _ in audit) == published
    sent = dict(enumerate([*payloads, f'"{CANARY}"'], 1))
    assert all(body == sent[int(str(sequence))] for sequence, body in audit)
    for key in range(KEYS):
        of_key = [int(str(sequence)) for sequence, _ in audit if (int(str(sequence)) - 1) % KEYS == key]
        assert of_key == sorted(of_key)
    assert CANARY not in ended.err + ended.out + str([letter.headers for letter in letters])


async def test_what_has_no_contract_is_published_or_rejected_as_the_settings_say(
    relay: Cli, database: Database
) -> None:
    await emit(database, ["{}"], event_type="stock.moved")
    assert (await relay("relay", "--drain")).code == ExitCode.OK
    assert await database.rows("select * from outbox.rejected") == []

    configure(relay, without="reject")
    await emit(database, ["{}"], event_type="stock.moved")
    assert (await relay("relay", "--drain")).code == ExitCode.OK

    (row,) = await database.rows("select reason from outbox.rejected")
    assert row["reason"] == "stock.moved@1 has no contract, and contracts.without is reject"


async def test_a_payload_that_is_not_read_is_published_unchecked_only_where_the_settings_say_so(
    relay: Cli, database: Database
) -> None:
    large = json.dumps({"text": "x" * 4096})
    configure(relay, {"claim_check": {"above": "2KiB"}})
    await emit(database, [large])
    assert (await relay("relay", "--drain")).code == ExitCode.OK

    configure(relay, {"claim_check": {"above": "2KiB"}}, claimed="allow")
    await emit(database, [large])
    assert (await relay("relay", "--drain")).code == ExitCode.OK

    (row,) = await database.rows("select sequence, reason from outbox.rejected")
    assert row["sequence"] == 1
    assert "payload has 4108 bytes, too many to be checked against contract order.confirmed@1" in row["reason"]


async def test_a_deprecated_version_is_published_counted_and_told_once(relay: Cli, database: Database) -> None:
    old = {"x-deprecated-on": "2027-03-31"} | ORDER
    (relay.folder / "contracts" / "order.confirmed" / "1.json").write_text(json.dumps(old), encoding="utf-8")
    await emit(database, [GOOD[0]] * 3)

    (port,) = free_ports(1)

    async def are_counted() -> bool:
        return (await metrics_of(port)).get(DEPRECATED) == 5

    async with relay.running("relay", OUTBOX_HTTP_PORT=str(port)) as running:
        first = await running.logged("events of a deprecated version are published")
        await emit(database, [GOOD[0]] * 2)
        await until(are_counted, what="five events of the deprecated version are counted")

    assert (first["type"], first["version"], first["deprecated_on"]) == ("order.confirmed", 1, "2027-03-31")
    assert [line["level"] for line in running.find(str(first["event"]))] == ["warning"]


async def test_a_relay_with_broken_contracts_publishes_nothing_and_names_the_line(
    relay: Cli, database: Database
) -> None:
    (relay.folder / "contracts" / "order.confirmed" / "2.json").write_text('{"type": "strin"}', encoding="utf-8")
    await emit(database, ['{"order_ref": "SO-1", "total": 1}'])

    refusal = (await relay("relay", "--drain")).refusal(ExitCode.MISCONFIGURED)

    assert "the directory of contracts has 1 problem:" in refusal
    assert "contracts/order.confirmed/2.json:1:2 /type:" in refusal
    assert await database.value("select position from outbox.cursor") == 0


async def test_the_check_tells_of_contracts_and_of_what_is_wrong_with_them(relay: Cli) -> None:
    order = relay.folder / "contracts" / "order.confirmed"
    (order / "2.json").write_text('{"x-deprecated-on": "2027-03-31"}', encoding="utf-8")

    right = await Verbs(relay.folder, relay.pg_url, relay.amqp_url)("check", "--json")
    (order / "3.json").write_text("{", encoding="utf-8")
    wrong = await Verbs(relay.folder, relay.pg_url, relay.amqp_url)("check", "--json")

    assert [(row["result"], row["text"]) for row in json.loads(right.out) if row["subject"] == "contracts"] == [
        ("right", "2 contract(s) of 1 type(s)"),
        ("note", "order.confirmed@2 is deprecated on 2027-03-31"),
    ]
    (row,) = [row for row in json.loads(wrong.out) if row["subject"] == "contracts"]
    assert (wrong.code, row["result"]) == (ExitCode.CHECK_FAILED, "wrong")
    assert "3.json:1:2: is not JSON" in row["text"]
