"""Which ids are waited for, how often is looked, and what people and logs are told."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.inbox.references import Resolved
from outbox.model.awaited import (
    Awaited,
    ReferencesAwaited,
    awaited_text,
    can_be_linked,
    from_json,
    pause_seconds,
    to_json,
    waiting,
)
from outbox.model.errors import MappingError, ReferenceMissing
from outbox.model.mapping import Reference, Wanted
from tests.unit.mapping_cases import Rule, compiled

_SECONDS = st.floats(min_value=0, max_value=1e7)


def rule(field: str, entity: str = "customer", **xref: object) -> Rule:
    return {
        "source_field": field,
        "target_field": field,
        "transform": {"xref": {"entity": entity, "system": "crm"} | xref},
    }


def awaited(payload: bytes, *rules: Rule, known: Mapping[Reference, str] | None = None) -> ReferencesAwaited:
    with pytest.raises(ReferencesAwaited) as caught:
        Resolved(compiled(*rules), known or {}).apply(payload)
    return caught.value


def refusal(payload: bytes, *rules: Rule) -> str:
    with pytest.raises(MappingError) as caught:
        Resolved(compiled(*rules), {}).apply(payload)
    assert not isinstance(caught.value, ReferencesAwaited)
    return str(caught.value)


@given(waited=_SECONDS, left=_SECONDS)
def test_a_pause_has_bounds_grows_with_what_was_waited_and_never_passes_the_end(waited: float, left: float) -> None:
    pause = pause_seconds(waited, left)
    assert 0 <= pause <= min(60.0, left)
    assert pause >= min(1.0, left)
    assert pause_seconds(waited + 10, left) >= pause


@pytest.mark.parametrize(("waited", "pause"), [(0, 1), (10, 1), (300, 30), (6000, 60)])
def test_a_pause_is_a_tenth_of_what_was_waited_from_a_second_to_a_minute(waited: float, pause: float) -> None:
    assert pause_seconds(waited, 1e6) == pause


def test_all_that_a_document_lacks_is_waited_for_as_long_as_the_least_patient_rule_says() -> None:
    lacks = awaited(
        b'{"c": "C-1", "i": ["A", "B"], "k": "known"}',
        rule("c", missing="wait", within="2h"),
        rule("i", "item", missing="wait", within="30m"),
        rule("k", missing="wait"),
        known={Reference("customer", "crm", "known"): "1"},
    ).lacks

    wait = waiting(7, 3, lacks)

    assert [one.reference for one in wait.awaited] == [
        Reference("customer", "crm", "C-1"),
        Reference("item", "crm", "A"),
        Reference("item", "crm", "B"),
    ]
    assert (wait.id, wait.epoch, wait.within_seconds, wait.pause_seconds) == (7, 3, 1800.0, 1.0)
    assert wait.reason == "field 'c': crm has no known id for this customer; waits for it and for 2 more"
    assert "C-1" not in wait.reason


def test_nothing_is_waited_for_where_one_rule_says_so_or_something_else_is_wrong() -> None:
    patient = rule("c", missing="wait")
    assert refusal(b'{"c": "C-1", "i": "A"}', patient, rule("i", "item")).startswith("field 'i': crm has no known id")
    needs = {"source_field": "x", "target_field": "x", "required": True}
    assert refusal(b'{"c": "C-1"}', patient, needs) == "field 'x': is missing"


@pytest.mark.parametrize("key", ["", "x" * 256, "\u00e4" * 128, "C\\u0000"])
def test_what_can_never_be_linked_is_not_waited_for(key: str) -> None:
    reason = refusal(f'{{"c": "{key}"}}'.encode(), rule("c", missing="wait"))
    assert reason == "field 'c': crm has no known id for this customer"


def test_an_id_may_be_longer_than_a_key() -> None:
    assert can_be_linked(Reference("customer", "crm", "x" * 1024, Wanted.KEY))
    assert not can_be_linked(Reference("customer", "crm", "x" * 1025, Wanted.KEY))


def test_a_key_of_ours_is_looked_up_by_the_id_of_a_system() -> None:
    inbound = compiled(rule("c", to="key"))
    (needed,) = inbound.needs(b'{"c": "4711"}')
    assert needed == Reference("customer", "crm", "4711", Wanted.KEY)
    assert inbound.apply(b'{"c": "4711"}', {needed: "C-1"}) == {"c": "C-1"}
    with pytest.raises(ReferenceMissing, match="we know no customer by this id of crm"):
        inbound.apply(b'{"c": "4711"}')


def test_what_is_stored_of_a_wait_is_read_back_and_told_to_people() -> None:
    stored = (
        Awaited(Reference("customer", "crm", "Ä 1"), "field 'c': not known"),
        Awaited(Reference("customer", "shop", "4711", Wanted.KEY), "field 'd': not known"),
    )
    assert from_json(to_json(stored)) == stored
    assert awaited_text(to_json(stored)) == "customer Ä 1 in crm, our key of customer 4711 of shop"
    assert (from_json(None), awaited_text(None)) == ((), "")


def test_so_many_ids_are_noted_and_no_more() -> None:
    many = [f'"{number}"' for number in range(1000)]
    lacks = awaited(f'{{"i": [{",".join(many)}]}}'.encode(), rule("i", missing="wait")).lacks
    assert (len(lacks), len(waiting(1, 1, lacks).awaited)) == (1000, 100)


def test_only_a_mapping_with_a_rule_that_waits_may_wait() -> None:
    inner = {"source_field": "lines", "target_field": "lines", "fields": [rule("c", missing="wait")]}
    assert [compiled(one).may_wait() for one in (rule("c"), rule("c", missing="wait"), inner)] == [False, True, True]
