from __future__ import annotations

import pytest

from outbox.flow.mapping_run import MAX_VALUES
from tests.unit.mapping_cases import compiled, mapped, problems, refused

ORDER = """{
  "ref": "so-1", "currency": "EUR",
  "lines": [{"sku": "A", "qty": 2, "tags": ["x", "y"]}, {"sku": "B", "tags": []}]
}"""


def test_the_form_of_the_first_example_is_accepted_as_it_is() -> None:
    rule = {"source_field": "order_ref", "target_field": "tranId", "transform": "uppercase"}

    assert mapped('{"order_ref": "so-1001"}', rule) == {"tranId": "SO-1001"}


def test_rules_for_the_entries_of_a_list_keep_together_what_belongs_together() -> None:
    found = mapped(
        ORDER,
        {"source_field": "lines[].sku", "target_field": "item.items[].itemid", "transform": "lowercase"},
        {"source_field": "ref", "target_field": "tranId"},
        {"source_field": "lines[].qty", "target_field": "item.items[].quantity", "default": 1},
        {"target_field": "item.items[].kind", "default": "line"},
        {"source_field": "lines[].tags[]", "target_field": "item.items[].tags"},
    )

    assert found == {
        "item": {
            "items": [
                {"itemid": "a", "quantity": 2, "kind": "line", "tags": ["x", "y"]},
                {"itemid": "b", "quantity": 1, "kind": "line", "tags": []},
            ]
        },
        "tranId": "so-1",
    }
    assert list(found) == ["item", "tranId"]


def test_lists_in_lists_become_lists_in_lists() -> None:
    payload = '{"orders": [{"id": 1, "lines": [{"sku": "A"}, {"sku": "B"}]}, {"id": 2, "lines": []}, {"id": 3}]}'

    assert mapped(
        payload,
        {"source_field": "orders[].lines[].sku", "target_field": "deals[].items[].sku"},
        {"source_field": "orders[].id", "target_field": "deals[].id"},
    ) == {"deals": [{"items": [{"sku": "A"}, {"sku": "B"}], "id": 1}, {"items": [], "id": 2}, {"id": 3}]}
    assert mapped(payload, {"source_field": "orders[].lines[].sku", "target_field": "skus"}) == {"skus": ["A", "B"]}
    assert mapped(payload, {"source_field": "orders[].lines[].sku", "target_field": "skus[]"}) == {"skus": ["A", "B"]}


def test_a_block_maps_each_entry_by_rules_of_its_own() -> None:
    found = mapped(
        ORDER,
        {
            "source_field": "lines",
            "target_field": "items",
            "fields": [
                {"position": 1, "target_field": "lineNumber"},
                {"source_field": "$.currency", "target_field": "currency"},
                {"template": "{$.ref}-{sku}", "target_field": "ref"},
                {"source_field": "qty", "target_field": "quantity", "when": "sku == 'A'"},
                {
                    "source_field": "tags",
                    "target_field": "tags",
                    "fields": [{"source_field": "@", "target_field": "t"}],
                },
            ],
        },
    )

    assert found == {
        "items": [
            {"lineNumber": 1, "currency": "EUR", "ref": "so-1-A", "quantity": 2, "tags": [{"t": "x"}, {"t": "y"}]},
            {"lineNumber": 2, "currency": "EUR", "ref": "so-1-B", "tags": []},
        ]
    }


def test_a_block_for_an_object_makes_an_object_and_a_filter_chooses_entries() -> None:
    payload = '{"customer": {"name": "Anna"}, "lines": [{"sku": "A", "qty": 0}, {"sku": "B", "qty": 1}]}'

    assert mapped(
        payload,
        {"source_field": "customer", "target_field": "p", "fields": [{"source_field": "name", "target_field": "n"}]},
        {
            "source_field": "lines[?qty > `0`]",
            "target_field": "items",
            "fields": [{"source_field": "sku", "target_field": "sku"}],
        },
        {
            "source_field": "customer",
            "target_field": "contacts",
            "fields": [{"source_field": "name", "target_field": "n"}],
            "transform": "list",
        },
    ) == {"p": {"n": "Anna"}, "items": [{"sku": "B"}], "contacts": [{"n": "Anna"}]}


def test_a_missing_list_is_missing_and_an_empty_one_is_empty() -> None:
    optional = {"source_field": "lines[].sku", "target_field": "items[].sku"}
    required = {**optional, "required": True}

    for absent in ("{}", '{"lines": null}'):
        assert mapped(absent, optional) == {}
        assert refused(absent, required) == ("lines", "items", "is missing")
    assert mapped('{"lines": []}', required) == {"items": []}


@pytest.mark.parametrize(
    ("payload", "rule", "error"),
    [
        (
            '{"lines": [{"sku": "A"}, {}]}',
            {"source_field": "lines[].sku", "target_field": "items[].id", "required": True},
            ("lines[1].sku", "items[1].id", "is missing"),
        ),
        (
            '{"lines": [{"sku": "A"}, {"sku": 5}]}',
            {"source_field": "lines[].sku", "target_field": "items[].id", "transform": "uppercase"},
            ("lines[1].sku", "items[1].id", "is a number, expected a string"),
        ),
        (
            '{"lines": [{}, {"sku": 5}]}',
            {"source_field": "lines[].sku", "target_field": "ids", "transform": "uppercase"},
            ("lines[1].sku", "ids", "is a number, expected a string"),
        ),
        (
            '{"lines": [{"sku": "A"}, "secret"]}',
            {"source_field": "lines[].sku", "target_field": "items[].id"},
            ("lines[1].sku", "items[1].id", "'lines[1]' is a string, expected an object"),
        ),
        (
            '{"lines": [{"sku": "A"}, "secret"]}',
            {"source_field": "lines[].sku", "target_field": "ids"},
            ("lines[].sku", "ids", "'lines[1]' is a string, expected an object"),
        ),
        (
            '{"lines": {"sku": "A"}}',
            {"source_field": "lines[].sku", "target_field": "items[].id"},
            ("lines", "items", "is an object, expected a list"),
        ),
        (
            '{"lines": [[1]]}',
            {"source_field": "lines[]", "target_field": "ids"},
            ("lines[]", "ids", "'lines[0]' is a list inside of a list"),
        ),
        (
            '{"lines": 5}',
            {"source_field": "lines", "target_field": "x", "fields": [{"source_field": "a", "target_field": "a"}]},
            ("lines", "x", "is a number, expected an object or a list"),
        ),
        (
            '{"a": [{"b": [{"c": 1}, {}]}]}',
            {
                "source_field": "a",
                "target_field": "x",
                "fields": [{"source_field": "b[].c", "target_field": "y[].z", "required": True}],
            },
            ("a[0].b[1].c", "x[0].y[1].z", "is missing"),
        ),
    ],
)
def test_an_error_names_the_entry_on_both_sides(
    payload: str, rule: dict[str, object], error: tuple[str, str, str]
) -> None:
    assert refused(payload, rule) == error


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        (
            [{"source_field": "a[].x", "target_field": "i[].x"}, {"source_field": "b[].y", "target_field": "i[].y"}],
            "takes its entries from 'b', another rule for it from 'a'",
        ),
        ([{"target_field": "i[].x", "default": 1}], "has no rule beside it that says what i[] is made of"),
        ([{"source_field": "a", "target_field": "i[].x"}], "has more lists than source_field 'a'"),
        ([{"source_field": "a[*].x", "target_field": "i[].x"}], "must be a plain path like lines[].sku"),
        (
            [{"source_field": "a[].x", "target_field": "i[].x", "when": "a"}],
            "need a rule for the list, with fields",
        ),
        (
            [{"source_field": "a[].x", "target_field": "i[].x"}, {"source_field": "b", "target_field": "i"}],
            "'i' is a value and the parent of 'i[].x'",
        ),
        (
            [{"source_field": "a[].x", "target_field": "i[].x"}, {"source_field": "b", "target_field": "i.n"}],
            "'i.n' goes into an object, and 'i[].x' makes a list of it",
        ),
        (
            [{"source_field": "a[].x", "target_field": "i[].x"}, {"source_field": "a[].y", "target_field": "i[].x.y"}],
            "'i[].x' is a value and the parent of 'i[].x.y'",
        ),
        (
            [{"source_field": "a[].x", "target_field": "i[]"}, {"source_field": "a[].y", "target_field": "i[].y"}],
            "'i[]' is a value and the parent of 'i[].y'",
        ),
        (
            [
                {"source_field": "a[].b[].x", "target_field": "i[].j[].x"},
                {"source_field": "a[].c[].y", "target_field": "i[].j[].y"},
            ],
            "'i[].j[].y' takes its entries from 'c', another rule for it from 'b'",
        ),
        (
            [
                {"source_field": "a[].b[].x", "target_field": "i[].j[].x"},
                {"source_field": "a[].y", "target_field": "i[].j.y"},
            ],
            "'i[].j.y' goes into an object, and 'i[].j[].x' makes a list of it",
        ),
        (
            [{"source_field": "a[].x", "target_field": "i[].x"}, {"target_field": "i[].j[].y", "default": 1}],
            "'i[].j[].y' has no rule beside it that says what j[] is made of",
        ),
    ],
)
def test_a_list_that_cannot_be_made_is_refused_when_it_is_compiled(
    rules: list[dict[str, object]], problem: str
) -> None:
    assert problem in problems(*rules)


def test_lists_that_multiply_come_to_an_end() -> None:
    entries = ",".join(["1"] * 1100)
    rule = {
        "source_field": "a",
        "target_field": "x",
        "fields": [
            {"source_field": "$.a", "target_field": "y", "fields": [{"source_field": "@", "target_field": "z"}]},
        ],
    }

    found = refused(f'{{"a": [{entries}]}}', rule)

    assert found[2] == f"has so many entries that more than {MAX_VALUES} values would be made"


def test_where_each_value_came_from_can_be_told() -> None:
    mapping = compiled(
        {"source_field": "ref", "target_field": "id", "transform": ["trim", "uppercase"]},
        {"source_field": "lines[].qty", "target_field": "items[].quantity", "default": 1},
        {"source_field": "note", "target_field": "note"},
        {"template": "{ref}/{currency}", "target_field": "name"},
        {"source_field": "ref", "target_field": "never", "when": "currency == 'USD'"},
        {"target_field": "kind", "default": "order"},
    )

    document, traces = mapping.explain(ORDER.encode())

    assert document == mapping.apply(ORDER.encode())
    assert [(trace.target, trace.origin, trace.source, trace.steps) for trace in traces] == [
        ("id", "event", "ref", ("trim", "uppercase")),
        ("items[0].quantity", "event", "lines[0].qty", ()),
        ("items[1].quantity", "default", "lines[1].qty", ()),
        ("note", "missing", "note", ()),
        ("name", "template", "ref, currency", ()),
        ("never", "left out by when", "ref", ()),
        ("kind", "constant", None, ()),
    ]
    assert (traces[0].found, traces[0].value) == ("so-1", "SO-1")


@pytest.mark.parametrize(
    ("transform", "place"),
    [
        (["empty_is_missing", "number"], "v[2]"),
        (["empty_is_missing", "trim", "empty_is_missing", "number"], "v[2]"),
        (["distinct", "number"], "v"),
        (["empty_is_missing", {"xref": {"entity": "customer", "system": "crm"}}], "v[1]"),
        (["distinct", "empty_is_missing", {"xref": {"entity": "customer", "system": "crm"}}], "v"),
    ],
)
def test_an_error_names_the_place_in_the_event_also_behind_entries_that_were_dropped(
    transform: object, place: str
) -> None:
    rule = {"source_field": "v", "target_field": "v", "transform": transform}
    source, _, _ = refused('{"v": ["", "7", "x", " "]}', rule)
    assert source == place
