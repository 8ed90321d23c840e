from __future__ import annotations

import io

import pytest
from rich.console import Console

from outbox.cli import map as map_verb
from outbox.cli import map_diff
from outbox.flow.mapping_diff import MAX_EXAMPLES, Change, Difference, difference
from outbox.postgres.recent_events import RecentEvents
from tests.unit.mapping_cases import compiled

BEFORE = compiled(
    {"source_field": "n", "target_field": "n"}, {"source_field": "lines[].sku", "target_field": "items[].sku"}
)
AFTER = compiled(
    {"source_field": "n", "target_field": "n", "transform": {"decimal": 2}},
    {"source_field": "lines[].sku", "target_field": "items[].sku", "transform": "uppercase"},
)


def _found(*payloads: str) -> Difference:
    return difference(BEFORE, AFTER, [(f"e{n}", payload.encode()) for n, payload in enumerate(payloads)])


def test_a_digit_more_is_a_difference_and_every_document_counts_once_for_a_field() -> None:
    found = _found('{"n": 1.0, "lines": [{"sku": "a"}, {"sku": "b"}]}', '{"n": 1.00, "lines": []}')

    assert (found.looked_at, found.differing, found.is_empty) == (2, 1, False)
    assert [(one.path, one.documents, one.changed) for one in found.fields.values()] == [
        ("n", 1, 1),
        ("items[].sku", 1, 2),
    ]
    assert found.fields["items[].sku"].examples == [Change("e0", "items[0].sku", '"a"', '"A"')]


def test_what_is_refused_by_one_of_them_is_counted_by_its_reason() -> None:
    found = _found('{"n": "x"}', '{"lines": 5}')

    assert found.refused == {"field 'n': is a string that is no number": ["e0"]}
    assert found.mended == {}
    assert found.differing == 1


def test_a_document_nested_as_deep_as_can_be_read_is_compared() -> None:
    identity = compiled()
    deep = b'{"a": ' + b"[" * 900 + b"]" * 900 + b"}"

    assert difference(identity, identity, [("e", deep)]).is_empty


def test_few_examples_are_kept_of_many() -> None:
    found = _found(*['{"n": 1}'] * 20)

    assert found.fields["n"].documents == 20
    assert len(found.fields["n"].examples) == MAX_EXAMPLES


@pytest.mark.parametrize("shows", [True, False])
def test_values_are_shown_only_when_they_are_asked_for(shows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr(map_diff, "output", Console(file=said, width=200))

    map_diff._print("f", _found('{"n": 1234567}'), RecentEvents((), 1), 0, map_diff.Look(None, 1, None, False, shows))

    assert ("1234567 → 1234567.00" in said.getvalue()) is shows
    assert "e0" in said.getvalue()


def test_no_path_is_cut_off_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr(map_verb, "output", Console(file=said, width=60))
    mapping = compiled({"source_field": "lines[].articleNumber", "target_field": "items[].externalNumber"})

    map_verb._table("f", mapping.explain(b'{"lines": [{"articleNumber": 1}]}')[1])

    assert "…" not in said.getvalue()
