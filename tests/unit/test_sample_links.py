from __future__ import annotations

from outbox.flow.contract_samples import links_of
from outbox.model.mapping import Reference, Wanted


def test_the_links_of_samples_are_found_both_ways() -> None:
    assert links_of(b'{"crm": {"customer": {"C-1": "4711"}}}') == {
        Reference("customer", "crm", "C-1"): "4711",
        Reference("customer", "crm", "4711", Wanted.KEY): "C-1",
    }
