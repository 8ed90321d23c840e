"""Payloads from Python say exactly what was given, or are refused."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from outbox.model.exact_json import exact_json


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("0.10"), "0.10"),
        (Decimal("12345678901234567890.123456789"), "12345678901234567890.123456789"),
        (Decimal("1E+3"), "1E+3"),
        (2**64, "18446744073709551616"),
        (-(10**30), "-1000000000000000000000000000000"),
        (2**63, "9223372036854775808"),
        (True, "true"),
        (0.1, "0.1"),
        (None, "null"),
        (datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=UTC), '"2026-01-02T03:04:05.000600+00:00"'),
        (datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=5, minutes=30))), '"2026-01-02T00:00:00+05:30"'),
        (date(2026, 1, 2), '"2026-01-02"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Colour.RED, '"red"'),
        ({"ü": [Decimal("1.0"), (1, {"a": 2**70})]}, '{"ü":[1.0,[1,{"a":1180591620717411303424}]]}'),
    ],
)
def test_a_value_is_written_with_every_digit(value: object, text: str) -> None:
    assert exact_json(value) == text


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "nan is not a JSON number"),
        ([{"a": float("-inf")}], "-inf is not a JSON number"),
        (Decimal("Infinity"), "Infinity is not a JSON number"),
        (datetime(2026, 1, 2), "a time without a time zone says no instant"),  # noqa: DTZ001 - the point
        ({1: "a"}, "the name of a member is text, not int"),
        ({"a": b"x"}, "bytes has no exact form in JSON"),
        ({"a": object()}, "object has no exact form in JSON"),
        ("\ud800", "not valid UTF-8"),
    ],
)
def test_what_json_cannot_hold_exactly_is_refused_with_the_reason(value: object, reason: str) -> None:
    with pytest.raises(TypeError, match=reason) as caught:
        exact_json(value)
    assert caught.value
