"""One reader of JSON, with the limits of each room: whatever is let in is read by everybody behind."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outbox.flow import contract_body
from outbox.flow import document as mapping_document
from outbox.intake import document as intake_document
from outbox.model.strict_json import Flaw, Limits, StrictReader, UnreadableJson

# From the narrowest to the widest.
ROOMS = (intake_document.READER, contract_body.READER, mapping_document.READER)
WORDS = (
    {flaw: words for flaw, (_, words) in intake_document.REFUSALS.items()},
    contract_body.WORDS,
    mapping_document.WORDS,
)
NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,5})?", fullmatch=True)
TEXTS = st.text(max_size=20).map(json.dumps) | st.sampled_from(
    [r'"\u0000"', r'"\ud83d"', r'"\ud83d\ude00"', '"\ufeff"']
)
VALUES = st.recursive(
    NUMBERS | TEXTS | st.sampled_from(["null", "true", "NaN"]),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda parts: f"[{','.join(parts)}]")
        | st.lists(st.tuples(st.sampled_from("ab"), inner), max_size=3).map(
            lambda parts: "{" + ",".join(f'"{name}":{value}' for name, value in parts) + "}"
        )
    ),
)


def read(reader: StrictReader, body: bytes) -> object:
    """Return what is read, or the flaw."""
    try:
        return reader.read(body)[0]
    except UnreadableJson as error:
        return error.flaw


@given(VALUES)
@example("[" * 100 + "]" * 100)
@example("0e5000")
@example("0e999999999999999999999")
@example("0." + "1" * 1000)
@example("1" * 300)
@example("12345678901234567890123")
def test_what_the_intake_lets_in_contracts_and_mappings_read_as_the_same(text: str) -> None:
    intake, contract, mapping = (read(reader, text.encode()) for reader in ROOMS)

    if not isinstance(intake, Flaw):
        assert (contract, mapping) == (intake, intake)
    if not isinstance(contract, Flaw):
        assert not isinstance(mapping, Flaw)


@pytest.mark.parametrize("words", WORDS, ids=["intake", "contract", "mapping"])
def test_every_room_has_words_for_every_flaw(words: dict[Flaw, str]) -> None:
    assert words.keys() == set(Flaw)


@pytest.mark.parametrize(
    ("limits", "body", "flaw"),
    [
        (Limits(depth=3), b"[[[1]]]", None),
        (Limits(depth=3), b'[{"a": [[]]}]', Flaw.TOO_DEEP),
        (Limits(depth=3), b"[[], [], [], [], {}]", None),
        (Limits(digits=5), b"1.234", None),
        (Limits(digits=5), b"1.2345", Flaw.TOO_MANY_DIGITS),
        (Limits(digits=25), b"9" * 26, Flaw.TOO_MANY_DIGITS),
        (Limits(exponent=10), b"1e10", None),
        (Limits(exponent=10), b"1e-11", Flaw.OUT_OF_RANGE),
        (Limits(exponent=10), b"0e11", None),
        (Limits(is_for_doubles=True), b"1e308", None),
        (Limits(is_for_doubles=True), b"1e309", Flaw.OUT_OF_RANGE),
        (Limits(is_for_doubles=True), b"-1e-400", Flaw.OUT_OF_RANGE),
        (Limits(is_for_doubles=True), b"1" * 400, Flaw.OUT_OF_RANGE),
        (Limits(), b"1e400", None),
        (Limits(takes_nul=False), rb'"\\u0000"', None),
        (Limits(takes_nul=False), rb'"\u0000"', Flaw.NUL),
        (Limits(), rb'"\u0000"', None),
        (Limits(), rb'["\ud83d\ud83d\ude00"]', Flaw.HALF_A_PAIR),
        (Limits(), b'"\xed\xa0\xbd"', Flaw.NOT_UTF8),
        (Limits(), b'{"a": 1, "\\u0061": 2}', Flaw.KEY_TWICE),
        (Limits(), b"Infinity", Flaw.CONSTANT),
        (Limits(), b"[1,]", Flaw.NOT_JSON),
    ],
)
def test_a_limit_is_kept_to_the_letter(limits: Limits, body: bytes, flaw: Flaw | None) -> None:
    found = read(StrictReader(limits), body)

    assert (found if isinstance(found, Flaw) else None) is flaw


def test_integers_that_others_can_write_again_stay_integers_and_no_digit_is_lost() -> None:
    value, text = StrictReader(Limits()).read(b"[18446744073709551615, 18446744073709551616, 1.10, 1E2]")

    assert repr(value) == repr([18446744073709551615, Decimal(18446744073709551616), Decimal("1.10"), Decimal("1E+2")])
    assert text.startswith("[18446744073709551615")


def test_an_error_holds_nothing_of_what_was_read() -> None:
    with pytest.raises(UnreadableJson) as caught:
        StrictReader(Limits()).read(b'{"secret": "CANARY-0815" x}')

    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True)
    assert "CANARY" not in caught.value.told("{at} {said}") + str(caught.value)
