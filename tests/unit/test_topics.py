"""Patterns of topic exchanges, as RabbitMQ takes them."""

from __future__ import annotations

import pytest

from outbox.model.topics import is_routed


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("order.confirmed", ["order.confirmed"], ["order", "order.confirmed.late", "orderxconfirmed"]),
        ("order.*", ["order.confirmed"], ["order", "order.confirmed.late"]),
        ("*.confirmed", ["order.confirmed"], ["confirmed", "sale.order.confirmed"]),
        ("order.#", ["order", "order.confirmed", "order.confirmed.late"], ["orders.confirmed"]),
        ("#.late", ["late", "order.late", "order.confirmed.late"], ["order.lately"]),
        ("#", ["order", "order.confirmed"], []),
        ("#.*", ["order", "order.confirmed"], []),
    ],
)
def test_a_pattern_matches_whole_words_only(pattern: str, yes: list[str], no: list[str]) -> None:
    assert [one for one in yes if not is_routed([pattern], one)] == []
    assert [one for one in no if is_routed([pattern], one)] == []
