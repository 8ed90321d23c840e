"""The check against chance: any bytes are judged, and a second validator says the same of any schema and value."""

from __future__ import annotations

import json
from random import Random

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.config.problems import ConfigProblems
from outbox.flow.contract import ContractSet, check
from outbox.flow.schema_view import View
from tests.kit.contracts import TYPE, contracts_with
from tests.kit.schemas import Chance, Schema

REFEREE = jsonschema.Draft202012Validator
ORDER = contracts_with({"type": "object", "properties": {"n": {"multipleOf": 0.01}}, "uniqueItems": True})
VALUES = 8
# What a payload is made of, and what it must not be.
PIECES = st.sampled_from(
    [
        *("{", "}", "[", "]", ":", ",", '"', '"a"', '"n"', "\\u0000", "\\ud800", "\\", "\x00", "é", "NaN", "-", "."),
        *("0", "1", "1.5", "1e5", "1e400", "1e-99999", "-0.0", "9" * 30, "true", "null", " ", "\n", "\ufeff"),
    ]
)


@given(st.binary() | st.lists(PIECES, max_size=12).map(lambda pieces: "".join(pieces).encode()))
def test_whatever_the_bytes_are_there_is_an_answer(body: bytes) -> None:
    assert len(check(ORDER, TYPE, 1, body)) <= 1


@settings(max_examples=150)
@given(st.integers(0, 2**48))
def test_another_validator_says_the_same(seed: int) -> None:
    chance = Chance(Random(seed))
    document = chance.document()
    for schema in (document, chance.changed(document)):
        contracts = _compiled(schema)
        if contracts is None:
            continue
        referee = REFEREE(schema, format_checker=REFEREE.FORMAT_CHECKER)
        for _ in range(VALUES):
            value = chance.value(View({"f": schema}, "f", schema))
            is_kept = not check(contracts, TYPE, 1, json.dumps(value).encode())
            assert is_kept is referee.is_valid(value), f"{value} by {schema}"


def _compiled(schema: Schema) -> ContractSet | None:
    try:
        return contracts_with(schema)
    except ConfigProblems:
        # A change by chance may make a circle.
        return None
