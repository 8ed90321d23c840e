from __future__ import annotations

import json

import pytest

from adapters.json_text import encode
from outbox.config.mapping import Transform
from outbox.config.transforms import Table
from outbox.flow.mapping_transforms import step_of
from tests.unit.mapping_cases import changed, compiled, reason


def _written(value: str, transform: object) -> str:
    """Return the JSON text that the target gets."""
    rule = {"source_field": "v", "target_field": "v", "transform": transform}
    text = encode(compiled(rule).apply(f'{{"v": {value}}}'.encode())).decode()
    return text.removeprefix('{"v":').removesuffix("}")


@pytest.mark.parametrize(
    ("value", "transform", "written"),
    [
        ('" so-1 "', ["trim", "uppercase"], '"SO-1"'),
        ('"ÄÖ"', "lowercase", '"äö"'),
        ('"a \\n  b"', "collapse_spaces", '"a b"'),
        ('"abcdef"', {"truncate": 3}, '"abc"'),
        ('"abe\\u0301f"', {"truncate": 3}, '"ab"'),
        ('"a-b-c"', {"replace": {"-": "/", "c": "--"}}, '"a/b/--"'),
        ('"+49 (30) 1-2"', {"remove": " ()-"}, '"+493012"'),
        ('"1"', [{"prefix": "SO-"}, {"suffix": "-X"}], '"SO-1-X"'),
        ('"7"', {"pad_left": {"length": 3, "fill": "0"}}, '"007"'),
        ('"7"', {"pad_right": 3}, '"7  "'),
        ('"e\\u0301"', {"normalize": "NFC"}, '"é"'),
        ('"Łódź \\u2013 Straße"', "ascii", '"Lodz - Strasse"'),
        ('"  "', ["trim", "empty_is_missing"], "{"),
        ("0.10", "string", '"0.10"'),
        ("1234567890123456789", "string", '"1234567890123456789"'),
        ("1e5", "string", '"100000"'),
        ("true", "string", '"true"'),
        ('"0.10"', "number", "0.10"),
        ('"1234567890123456789"', "number", "1234567890123456789"),
        ('"123456789012345678901234567890"', "number", "123456789012345678901234567890"),
        ('"1.234,50"', {"number": {"decimal": ",", "thousands": "."}}, "1234.50"),
        ('" -007,5"', {"number": {"decimal": ","}}, "-7.5"),
        ('"1\'234"', {"number": {"thousands": "'"}}, "1234"),
        ("5.00", "integer", "5"),
        ("1e3", "integer", "1000"),
        ("12.5", {"decimal": 2}, "12.50"),
        ('"12.5"', {"decimal": 2}, "12.50"),
        ("1.005", {"decimal": {"places": 2, "rounding": "half_up"}}, "1.01"),
        ("1.005", {"decimal": {"places": 2, "rounding": "half_even"}}, "1.00"),
        ("-1.005", {"decimal": {"places": 2, "rounding": "down"}}, "-1.00"),
        ("0.10", {"multiply": "100"}, "10.00"),
        ("3", {"multiply": "-0.5"}, "-1.5"),
        ("1", {"divide": "8"}, "0.125"),
        ("2", {"divide": {"by": 3, "places": 4, "rounding": "half_up"}}, "0.6667"),
        ("1", {"divide": {"by": 3, "places": 0, "rounding": "half_up"}}, "0"),
        ("-2", {"divide": {"by": "3", "places": 0, "rounding": "half_even"}}, "-1"),
        ("2.5", {"divide": {"by": 1, "places": 0, "rounding": "half_even"}}, "2"),
        ("1.1", {"unit": {"from": "kg", "to": "g"}}, "1100.0"),
        ("1", {"unit": {"from": "kg", "to": "lb", "places": 6, "rounding": "half_up"}}, "2.204623"),
        ("1", {"unit": {"from": "in", "to": "cm"}}, "2.54"),
        ("2", {"unit": {"from": "dozen", "to": "piece"}}, "24"),
        ('"DE"', {"table": {"values": {"DE": 276, "AT": "40"}}}, "276"),
        ("7", {"table": {"values": {"7": True}}}, "true"),
        ("true", {"table": {"values": {"true": None}}}, "null"),
        ('"CH"', {"table": {"values": {"DE": 276}, "missing": "keep"}}, '"CH"'),
        ('"CH"', {"table": {"values": {"DE": 276}, "missing": "default"}}, "{"),
        ('"a, b"', {"split": ", "}, '["a","b"]'),
        ('["a", 1, 0.10, null]', {"join": "-"}, '"a-1-0.10"'),
        ("[1, 2]", "first", "1"),
        ("[1, 2]", "last", "2"),
        ("[]", "first", "{"),
        ('[1, 1.0, true, "1", 2, 1]', "distinct", '[1,true,"1",2]'),
        ("[0.10, 0.20, 1]", "sum", "1.30"),
        ("[]", "sum", "0"),
        ("[null, {}]", "count", "2"),
        ("5", "list", "[5]"),
        ("[5]", "list", "[5]"),
        ('["a", null, "b"]', "uppercase", '["A",null,"B"]'),
        ('[" ", "b"]', ["trim", "empty_is_missing"], '["b"]'),
        ("null", ["uppercase", {"decimal": 2}], "null"),
    ],
)  # fmt: skip
def test_a_transform_makes_of_a_value(value: str, transform: object, written: str) -> None:
    assert _written(value, transform) == written


@pytest.mark.parametrize(
    ("value", "transform", "why"),
    [
        ("5", "uppercase", "is a number, expected a string"),
        ('"日本"', "ascii", "has a character without an ASCII form, about the 1th"),
        ('"1.50"', {"number": {"decimal": ",", "thousands": "."}}, "is a string that is no number written like this"),
        ('"1,5"', "number", "is a string that is no number"),
        ('"NaN"', "number", "is a string that is no number"),
        ('"1e999"', "number", "is a string that is no number"),
        ('"\uff11\uff12"', {"number": {"thousands": ","}}, None),
        ("5.5", "integer", "is a number with a fraction, expected a whole number"),
        ("1.005", {"decimal": 2}, "would lose digits; the rule needs rounding"),
        ("1e99", {"decimal": 2}, "needs more than 100 digits"),
        ("1e400", {"decimal": {"places": 2, "rounding": "up"}}, "is a number of more than 100 digits"),
        ("true", {"decimal": 2}, "is a boolean, expected a number"),
        ("{}", {"multiply": 2}, "is an object, expected a number"),
        ("1", {"divide": "3"}, "would lose digits; the rule needs rounding"),
        ('"CH"', {"table": {"values": {"DE": 1}}}, "is a value that the table does not have"),
        ("{}", {"table": {"values": {"DE": 1}}}, "is an object, expected a string, a number or a boolean"),
        ('"a"', {"join": ","}, "is a string, expected a list"),
        ("[[1]]", {"join": ","}, "is a list, expected a number, a boolean or a string"),
        ('[1, "x"]', "sum", "has an entry [1] that is a string that is no number"),
        ("[{}]", "distinct", "is a list, expected a list of texts and numbers"),
        (json.dumps("a" * 1_000_001), "trim", "is a string of more than 1000000 characters"),
        (json.dumps("a" * 500_001), {"replace": {"a": "bb"}}, "becomes a string of more than 1000000 characters"),
        (json.dumps("a" * 1_000_000), {"prefix": "x"}, "becomes a string of more than 1000000 characters"),
    ],
)
def test_what_a_transform_cannot_take_is_named_by_kind(value: str, transform: object, why: str | None) -> None:
    assert reason(value, transform) == (why or "is a string that is no number written like this")


BERLIN = {"zone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("value", "settings", "written"),
    [
        ('"2026-11-22T06:00:00Z"', {"to_zone": "Europe/Berlin"}, '"2026-11-22T07:00:00+01:00"'),
        ('"2026-11-22T06:00:00+01:00"', {"to_zone": "UTC"}, '"2026-11-22T05:00:00Z"'),
        ('"2026-07-01 12:00"', BERLIN, '"2026-07-01T12:00:00+02:00"'),
        ('"2026-07-01T12:00:00"', {}, '"2026-07-01T12:00:00"'),
        ('"2026-07-01T12:00:00.123456Z"', {"to": "epoch_seconds"}, "1782907200.123456"),
        ('"2026-07-01T12:00:00Z"', {"to": "epoch_milliseconds"}, "1782907200000"),
        ("1782907200.5", {"from": "epoch_seconds"}, '"2026-07-01T12:00:00.500000Z"'),
        ('"1782907200000"', {"from": "epoch_milliseconds", "to": "date"}, '"2026-07-01"'),
        ('"22.11.2026"', {"from": "%d.%m.%Y", "to": "date"}, '"2026-11-22"'),
        ('"2026-11-22"', {"from": "date", "to": "%d/%m/%Y"}, '"22/11/2026"'),
        ('"2026-11-22"', {"from": "date", **BERLIN, "to": "epoch_seconds"}, "1795302000"),
        ('"2026-10-25T02:30:00"', {**BERLIN, "ambiguous": "earlier"}, '"2026-10-25T02:30:00+02:00"'),
        ('"2026-10-25T02:30:00"', {**BERLIN, "ambiguous": "later"}, '"2026-10-25T02:30:00+01:00"'),
    ],
)
def test_a_time_is_read_and_written(value: str, settings: object, written: str) -> None:
    assert _written(value, {"date": settings}) == written


@pytest.mark.parametrize(
    ("value", "settings", "why"),
    [
        ('"2026-03-29T02:30:00"', BERLIN, "is a time that the clocks of Europe/Berlin skip"),
        (
            '"2026-10-25T02:30:00"',
            BERLIN,
            "is a time that the clocks of Europe/Berlin show twice; the rule must say ambiguous: earlier or later",
        ),
        ('"2026-03-29T02:30:00"', {**BERLIN, "ambiguous": "later"}, "is a time that the clocks of Europe/Berlin skip"),
        ('"2026-07-01T12:00:00"', {"to": "epoch_seconds"}, "is a time without an offset, and the rule names no zone"),
        ('"22.11.2026"', {}, "is a string that is no time of this format"),
        ('"2026-02-30"', {"from": "date"}, "is a string that is no time of this format"),
        ("5", {}, "is a number, expected a string with a time"),
        ('"2026-07-01T12:00:00.1234567Z"', {}, "is a time finer than a microsecond"),
        ("0.00000001", {"from": "epoch_seconds"}, "is a time finer than a microsecond"),
        ("1e90", {"from": "epoch_seconds"}, "is a time out of the years 1 to 9999"),
        ('"9999-12-31T23:00:00-10:00"', {"to_zone": "UTC"}, "is a time out of the years 1 to 9999"),
        (json.dumps("1" * 1000), {}, "is a string that is no time of this format"),
    ],
)
def test_a_time_that_is_none_or_not_sure_is_refused(value: str, settings: object, why: str) -> None:
    assert reason(value, {"date": settings}) == why


def test_every_transform_of_the_settings_does_something() -> None:
    examples = {
        "truncate": 1, "replace": {"a": "b"}, "remove": "a", "prefix": "a", "suffix": "a", "pad_left": 1,
        "pad_right": 1, "normalize": "NFC", "number": {}, "decimal": 1, "multiply": 2, "divide": 2,
        "unit": {"from": "kg", "to": "g"}, "date": {}, "table": {"values": {}}, "split": ",", "join": ",",
        "xref": {"entity": "a", "system": "b"},
    }  # fmt: skip
    for name in Transform.model_fields:
        rule = {"source_field": "v", "target_field": "v", "transform": {name: examples.get(name, True)}}
        assert compiled(rule), name


def test_a_table_of_a_file_has_what_was_read() -> None:
    rows = {("c.csv", "a", "b", ","): {"DE": "276"}}
    table = Table.model_validate({"file": "c.csv", "key": "a", "value": "b"}, context={"tables": rows})

    assert step_of(Transform(table=table)).call("DE") == "276"


def test_a_chain_goes_on_until_nothing_is_left() -> None:
    assert changed('"a;;b"', [{"split": ";"}, "empty_is_missing", "uppercase", {"join": "+"}]) == "A+B"


@pytest.mark.parametrize("settings", ["number", {"number": {"decimal": ","}}, {"number": {"thousands": "'"}}])
@pytest.mark.parametrize("text", ["+-5", "-+5", "--5", "++5", "+ -5"])
def test_a_number_has_one_sign(text: str, settings: object) -> None:
    assert "is a string that is no number" in reason(json.dumps(text), settings)
