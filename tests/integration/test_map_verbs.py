"""`outbox map` as a person uses it: on a sample without any server, and on the last real events, changing nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from outbox.model.errors import ExitCode
from outbox.model.replay import type_patterns
from outbox.postgres.recent_events import read_recent_events
from tests.integration.test_permissions import login
from tests.kit.cli import FLOW, one_flow
from tests.kit.database import Database
from tests.kit.verbs import Verbs
from tests.kit.work import rows_touched

RULES: list[dict[str, object]] = [
    {"source_field": "order_ref", "target_field": "tranId", "transform": "uppercase", "required": True},
    {"source_field": "lines[].sku", "target_field": "items[].sku"},
    {"source_field": "lines[].price", "target_field": "items[].price", "default": "0"},
]
SAMPLE = '{"order_ref": "so-1", "lines": [{"sku": "A", "price": 0.10}, {"sku": "B"}]}'


@pytest.fixture
def ours(tmp_path: Path) -> Verbs:
    verbs = Verbs(tmp_path)
    _write(verbs, RULES)
    (tmp_path / "sample.json").write_text(SAMPLE, encoding="utf-8")
    return verbs


def _write(verbs: Verbs, rules: list[dict[str, object]]) -> None:
    sections = one_flow()
    flows = sections["flows"]
    assert isinstance(flows, dict)
    flows[FLOW]["mapping"] = rules
    verbs.settings(sections)


def _sample(verbs: Verbs) -> str:
    return str(verbs.folder / "sample.json")


async def test_a_sample_is_mapped_without_database_and_broker(ours: Verbs) -> None:
    ended = await ours("map", FLOW, _sample(ours))

    assert ended.json() == {"tranId": "SO-1", "items": [{"sku": "A", "price": 0.1}, {"sku": "B", "price": "0"}]}
    assert '"price": 0.10' in ended.out


async def test_a_sample_can_come_from_standard_input(ours: Verbs) -> None:
    assert (await ours("map", FLOW, "-", typed=SAMPLE)).json()["tranId"] == "SO-1"


async def test_the_effective_settings_show_fractions_as_they_were_written(ours: Verbs) -> None:
    rules = "- {target_field: rate, default: 0.10}\n- {source_field: a, target_field: a, transform: {multiply: 1.10}}\n"
    (ours.folder / "rules.yaml").write_text(rules, encoding="utf-8")
    sections = one_flow()
    flows = sections["flows"]
    assert isinstance(flows, dict)
    flows[FLOW]["mapping"] = "rules.yaml"
    ours.settings(sections)

    assert "default: 0.10" in (await ours("config")).out
    assert '"default": 0.10' in (await ours("config", "--json")).out


async def test_each_value_is_told_with_where_it_came_from(ours: Verbs) -> None:
    told = (await ours("map", FLOW, _sample(ours), "--explain", "--format", "json")).json()

    assert told["fields"][0] == {
        "target": "tranId",
        "origin": "event",
        "source": "order_ref",
        "transforms": ["uppercase"],
        "found": "so-1",
        "value": "SO-1",
    }
    assert [(one["target"], one["origin"], one["source"]) for one in told["fields"][1:]] == [
        ("items[0].sku", "event", "lines[0].sku"),
        ("items[0].price", "event", "lines[0].price"),
        ("items[1].sku", "event", "lines[1].sku"),
        ("items[1].price", "default", "lines[1].price"),
    ]
    table = (await ours("map", FLOW, _sample(ours), "--explain")).out
    assert all(word in table for word in ("items[1].price", "lines[1].price", "default", "uppercase", '"SO-1"', "0.10"))


async def test_ids_of_other_systems_are_shown_as_what_would_be_looked_up(ours: Verbs) -> None:
    xref = {"xref": {"entity": "order", "system": "crm"}}
    _write(ours, [{"source_field": "order_ref", "target_field": "deal", "transform": xref}])

    ended = await ours("map", FLOW, _sample(ours))

    assert ended.json() == {"deal": "<crm id of order so-1>"}
    assert "1 ids of other systems would be looked up" in ended.err


@pytest.mark.parametrize(
    ("sample", "problem"),
    [
        ("{}", f"flow {FLOW}: field 'order_ref' (for 'tranId'): is missing"),
        ('{"order_ref": 5}', f"flow {FLOW}: field 'order_ref' (for 'tranId'): is a number, expected a string"),
        ("[]", f"flow {FLOW}: field '(document)': is a list, expected an object"),
        ('{"order_ref": "a", "order_ref": "b"}', "has the same key twice in one object"),
        ("[" * 10_000 + "]" * 10_000, "is nested too deep"),
        ('{"a": "\\ud800"}', "has half of a surrogate pair"),
        ("", "is not valid JSON at character 0"),
    ],
)
async def test_a_sample_that_cannot_be_mapped_ends_with_1_and_names_flow_and_field(
    ours: Verbs, sample: str, problem: str
) -> None:
    (ours.folder / "sample.json").write_text(sample, encoding="utf-8")

    ended = await ours("map", FLOW, _sample(ours))

    assert problem in ended.refusal(ExitCode.CHECK_FAILED)


async def test_numbers_beyond_any_float_and_nul_characters_arrive_as_they_are(ours: Verbs) -> None:
    _write(ours, [{"source_field": name, "target_field": name} for name in ("n", "id", "text")])
    (ours.folder / "sample.json").write_text(
        '{"n": 1e400, "id": 1234567890123456789, "text": "a\\u0000b"}', encoding="utf-8"
    )

    out = (await ours("map", FLOW, _sample(ours))).out

    assert '"n": 1E+400' in out
    assert '"id": 1234567890123456789' in out
    assert '"text": "a\\u0000b"' in out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("map", "orders-to-cm", "x.json"), "there is no flow 'orders-to-cm'; did you mean 'orders-to-crm'?"),
        (("map", FLOW), "give a file with a sample payload, - for stdin, or --diff NEW"),
        (("map", FLOW, "nowhere.json"), "cannot read the sample nowhere.json: No such file or directory"),
        (("map", FLOW, "x.json", "--diff", "y.yaml"), "give neither a sample nor --explain"),
        (("map", FLOW, "--diff", "nowhere.yaml"), "--diff: there is no file nowhere.yaml"),
        (("map", FLOW, "--diff", "y.yaml", "--show-values"), "does so on a terminal only"),
    ],
)
async def test_a_wrong_call_says_what_to_do(ours: Verbs, arguments: tuple[str, ...], problem: str) -> None:
    assert problem in (await ours(*arguments)).refusal(ExitCode.USAGE)


async def test_the_last_events_show_what_another_mapping_would_change(ours: Verbs, database: Database) -> None:
    live = replace(ours, pg_url=database.url)
    ids = [
        str(
            await database.value(
                "insert into outbox.event (type, key, payload) values ($1, 'k', $2::json) returning event_id",
                kind,
                body,
            )
        )
        for kind, body in [
            ("invoice.sent", "{}"),
            ("order.confirmed", '{"order_ref": "a", "lines": [{"sku": "x", "price": 1.0}], "note": "secret"}'),
            ("order.confirmed", '{"order_ref": "b", "lines": [{"sku": "y", "price": 1.50}]}'),
            ("order.confirmed", "{}"),
        ]
    ]
    changed = [
        {"source_field": "order_ref", "target_field": "tranId", "transform": "uppercase"},
        *RULES[1:2],
        {"source_field": "lines[].price", "target_field": "items[].price", "transform": {"decimal": 1}},
        {"source_field": "note", "target_field": "note"},
    ]
    new = ours.folder / "new.json"
    new.write_text(json.dumps(changed), encoding="utf-8")
    before = await _counts(database)

    ended = await live("map", FLOW, "--diff", str(new), "--format", "json")

    assert ended.code == ExitCode.CHECK_FAILED
    told = json.loads(ended.out)
    assert (told["looked_at"], told["differing"], told["left_out"]) == (3, 3, 0)
    assert told["fields"] == [
        {"path": "items[].price", "documents": 1, "added": 0, "removed": 0, "changed": 1, "events": [ids[2]]},
        {"path": "note", "documents": 1, "added": 1, "removed": 0, "changed": 0, "events": [ids[1]]},
    ]
    assert told["mended"] == {"field 'order_ref' (for 'tranId'): is missing": [ids[3]]}
    assert await _counts(database) == before


async def test_the_same_rules_in_other_settings_are_no_difference(ours: Verbs, database: Database) -> None:
    live = replace(ours, pg_url=database.url)
    other = ours.folder / "other.yaml"
    other.write_bytes((ours.folder / "outbox.yaml").read_bytes())

    nothing = await live("map", FLOW, "--diff", str(other))
    assert nothing.code == ExitCode.OK
    assert "no event of orders-to-crm among the last 0 of the outbox" in nothing.out

    await database.value("insert into outbox.event (type, payload) values ('order.confirmed', '{}')")
    same = await live("map", FLOW, "--diff", str(other))
    assert same.code == ExitCode.OK
    assert "0 of 1 events differ, 1 are mapped to the same document" in same.out


async def test_events_that_would_become_dead_letters_are_told_without_any_value(
    ours: Verbs, database: Database
) -> None:
    live = replace(ours, pg_url=database.url)
    await database.value(
        "insert into outbox.event (type, payload) select 'order.confirmed',"
        " json_build_object('order_ref', 'secret', 'note', n) from generate_series(1, 7) n"
    )
    new = ours.folder / "new.yaml"
    new.write_text("- {source_field: note, target_field: tranId, transform: uppercase}\n", encoding="utf-8")

    ended = await live("map", FLOW, "--diff", str(new), "--type", "order.*", "--last", "6")

    assert ended.code == ExitCode.CHECK_FAILED
    said = " ".join(ended.out.split())
    assert "6 would become dead letters: field 'note' (for 'tranId'): is a number, expected a string" in said
    assert "and 1 more" in said
    assert "secret" not in said.lower()


async def test_a_mapping_that_is_wrong_is_told_with_file_and_line(ours: Verbs, database: Database) -> None:
    live = replace(ours, pg_url=database.url)
    new = ours.folder / "new.yaml"
    new.write_text(
        "- {source_field: note, target_field: a}\n- {source_field: note, target_field: a.b}\n", encoding="utf-8"
    )

    refusal = (await live("map", FLOW, "--diff", str(new))).refusal(ExitCode.MISCONFIGURED)

    assert "new.yaml:2:24 flows.orders-to-crm.mapping[1].target_field" in refusal
    assert "'a' is a value and the parent of 'a.b'" in refusal


async def test_a_look_at_recent_events_reads_what_it_returns(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "insert into outbox.event (type, payload) select case n % 2 when 0 then 'order.confirmed' else 'x.y' end,"
            " json_build_object('n', n) from generate_series(1, 20000) n"
        )
        statement = "select * from outbox.recent_events($1, 9223372036854775807, 200, 1000)"
        rows, touched = await rows_touched(connection, "outbox.event", statement, type_patterns(["order.*"]))
    recent = await read_recent_events(database.server, type_patterns(["order.*"]), last=250, look_at_most=100_000)

    assert (rows, touched <= 600) == (100, True)
    sequences = [one.sequence for one in recent.events]
    assert len(sequences) == 250
    assert sequences == sorted(set(sequences), reverse=True)
    assert recent.events[0].payload == b'{"n" : 20000}'
    assert recent.looked_at == 600


async def test_a_payload_that_is_too_large_is_told_of_and_not_read(database: Database) -> None:
    await database.value(
        "insert into outbox.event (type, payload) values ('order.confirmed', to_json(repeat('x', 1100000)))"
    )

    recent = await read_recent_events(database.server, type_patterns(["#"]), last=10, look_at_most=1000)

    assert [one.payload for one in recent.events] == [None]


@pytest.mark.parametrize(("group", "may"), [("outbox_adapter", True), ("outbox_relay", True), ("outbox_reader", False)])
async def test_only_who_sees_payloads_anyway_may_look_at_recent_events(
    ours: Verbs, database: Database, group: str, may: bool
) -> None:
    new = ours.folder / "new.json"
    new.write_text(json.dumps(RULES), encoding="utf-8")
    async with login(database, group) as url:
        ended = await replace(ours, pg_url=url)("map", FLOW, "--diff", str(new))

    if may:
        assert ended.code == ExitCode.OK
    else:
        assert "grant outbox_adapter or outbox_relay to this user" in ended.refusal(ExitCode.ACCESS_REFUSED)


async def _counts(database: Database) -> list[tuple[object, ...]]:
    return [
        tuple(row)
        for row in await database.rows(
            "select (select count(*) from outbox.event), (select count(*) from inbox.delivery), c.position, c.epoch"
            " from outbox.cursor c"
        )
    ]
