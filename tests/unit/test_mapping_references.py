from __future__ import annotations

import pytest

from outbox.model.errors import ReferenceMissing
from outbox.model.mapping import Reference
from tests.unit.mapping_cases import compiled

ORDER = b'{"ref": "so-1", "lines": [{"sku": "A"}, {"sku": "B"}]}'
XREF = {"xref": {"entity": "item", "system": "crm"}}


def test_references_are_told_all_at_once_and_used_when_they_are_known() -> None:
    mapping = compiled(
        {"source_field": "ref", "target_field": "order", "transform": [{"xref": {"entity": "order", "system": "crm"}}]},
        {"source_field": "lines[].sku", "target_field": "items", "transform": XREF},
        {"source_field": "lines[].sku", "target_field": "rows[].item", "transform": ["lowercase", XREF]},
    )
    payload = ORDER

    needed = mapping.needs(payload)

    assert needed == {Reference("order", "crm", "so-1"), *(Reference("item", "crm", key) for key in "ABab")}
    known = {reference: f"id-{reference.key}" for reference in needed}
    assert mapping.needs(payload, known) == frozenset()
    assert mapping.apply(payload, known) == {
        "order": "id-so-1",
        "items": ["id-A", "id-B"],
        "rows": [{"item": "id-a"}, {"item": "id-b"}],
    }


def test_a_reference_that_is_looked_up_by_another_is_needed_once_that_is_known() -> None:
    chain = [XREF, {"xref": {"entity": "item", "system": "shop"}}]
    mapping = compiled({"source_field": "sku", "target_field": "x", "transform": chain, "required": True})
    first, second = Reference("item", "crm", "A"), Reference("item", "shop", "7")

    assert mapping.needs(b'{"sku": "A"}') == {first}
    assert mapping.needs(b'{"sku": "A"}', {first: "7"}) == {second}
    assert mapping.apply(b'{"sku": "A"}', {first: "7", second: "s-7"}) == {"x": "s-7"}


def test_an_unknown_reference_is_an_error_of_its_own_that_does_not_tell_the_key() -> None:
    rule = {"source_field": "lines[].sku", "target_field": "items", "transform": XREF}
    with pytest.raises(ReferenceMissing) as caught:
        compiled(rule).apply(b'{"lines": [{"sku": "A"}, {"sku": "secret"}]}', {Reference("item", "crm", "A"): "1"})

    assert (caught.value.field, caught.value.target) == ("lines[1].sku", "items")
    assert (caught.value.entity, caught.value.system, caught.value.key) == ("item", "crm", "secret")
    assert "secret" not in str(caught.value)
    assert "crm has no known id for this item" in str(caught.value)
