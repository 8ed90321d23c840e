"""Bodies that mean different things to different readers, and those that would not fit into memory."""

from __future__ import annotations

import gzip
import json
import zlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.intake.decode import check_content_type, decoded
from outbox.intake.document import MAX_DEPTH, elements, read_document
from outbox.intake.problems import KINDS, Problem, RefusedRequest
from outbox.intake.received import Headers

CANARY = "CANARY-0815"
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


def refused(body: bytes) -> RefusedRequest:
    with pytest.raises(RefusedRequest) as caught:
        read_document(body)
    assert CANARY not in json.dumps(caught.value.document())
    return caught.value


def refused_encoding(body: bytes, encoding: str, most: int = 1000) -> Problem:
    with pytest.raises(RefusedRequest) as caught:
        decoded(body, Headers([("Content-Encoding", encoding)]), most)
    return caught.value.problem


def refused_type(*values: str) -> Problem:
    with pytest.raises(RefusedRequest) as caught:
        check_content_type(Headers([("Content-Type", value) for value in values]), ["application/json"])
    return caught.value.problem


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", Problem.JSON_MALFORMED),
        (b"\xff\xfe{\x00}\x00", Problem.JSON_MALFORMED),
        (b'{"a": "\xe4"}', Problem.JSON_MALFORMED),
        (b"\xef\xbb\xbf{}", Problem.JSON_MALFORMED),
        (b'{"a": "CANARY-0815" x}', Problem.JSON_MALFORMED),
        (b'{"a": 1,}', Problem.JSON_MALFORMED),
        (b'{"a": 01}', Problem.JSON_MALFORMED),
        (b'{"a": NaN}', Problem.JSON_MALFORMED),
        (b'{"a": -Infinity}', Problem.JSON_MALFORMED),
        (b"{'a': 1}", Problem.JSON_MALFORMED),
        (b'{"a": "\x00"}', Problem.JSON_MALFORMED),
        (b"{}{}", Problem.JSON_MALFORMED),
        (b'{"a": 1, "b": {"c": "CANARY-0815", "c": 2}}', Problem.JSON_AMBIGUOUS),
        (b'{"a": 1, "\\u0061": 2}', Problem.JSON_AMBIGUOUS),
        (b"[" * 10_000 + b"]" * 10_000, Problem.JSON_TOO_DEEP),
        (b"[" * 100_000, Problem.JSON_TOO_DEEP),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, Problem.JSON_TOO_DEEP),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), Problem.JSON_TOO_DEEP),
        (b'{"a": 1e400}', Problem.JSON_NUMBER_OUT_OF_RANGE),
        (b'{"a": -1e400}', Problem.JSON_NUMBER_OUT_OF_RANGE),
        (b'{"a": 1e-400}', Problem.JSON_NUMBER_OUT_OF_RANGE),
        (b'{"a": 1e999999999999999999999}', Problem.JSON_NUMBER_OUT_OF_RANGE),
        (b'{"a": ' + b"9" * 100_000 + b"}", Problem.JSON_NUMBER_OUT_OF_RANGE),
        (b'{"a": "\\u0000"}', Problem.JSON_TEXT_UNUSABLE),
        (b'{"\\u0000": 1}', Problem.JSON_TEXT_UNUSABLE),
        (b'{"a": "\\ud83d"}', Problem.JSON_TEXT_UNUSABLE),
        (b'{"a": "\\ude00\\ud83d"}', Problem.JSON_TEXT_UNUSABLE),
    ],
    ids=lambda value: value[:30].hex() if isinstance(value, bytes) else str(value),
)
def test_what_readers_would_take_differently_is_refused_with_its_reason(body: bytes, problem: Problem) -> None:
    error = refused(body)
    assert error.problem is problem
    assert KINDS[problem].status in {400, 422}


@pytest.mark.parametrize(
    "body",
    [b"0", b"null", b'"\\\\u0000"', b'"\\ud83d\\ude00"', b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
     b"0e999999999999999999999", b"[" + b"[]," * 500 + b"[]]", b'{"a": 9223372036854775808}'],
)  # fmt: skip
def test_what_looks_odd_and_is_clear_is_taken_as_it_came(body: bytes) -> None:
    assert read_document(body).text.encode() == body


def test_every_digit_of_a_number_is_kept() -> None:
    assert read_document(b"[0.10, 12345678901234567890123, 1E2]").value == [
        Decimal("0.10"),
        12345678901234567890123,
        Decimal(100),
    ]


@given(JSON)
def test_whatever_json_says_is_read_as_python_reads_it(value: object) -> None:
    document = read_document(json.dumps(value).encode())
    assert json.loads(document.text) == value


@given(st.lists(JSON), st.sampled_from([None, 1, "\t"]))
def test_the_elements_of_a_list_keep_their_own_text(values: list[object], indent: int | str | None) -> None:
    document = read_document(json.dumps(values, indent=indent, ensure_ascii=False).encode())
    assert [json.loads(element.text) for element in elements(document)] == values
    if indent is None:
        assert [element.text for element in elements(document)] == [json.dumps(v, ensure_ascii=False) for v in values]


@given(st.binary() | st.text().map(str.encode))
def test_no_bytes_at_all_are_more_than_taken_or_refused(body: bytes) -> None:
    try:
        is_taken = read_document(body).text.encode() == body
    except RefusedRequest as error:
        is_taken = KINDS[error.problem].status in {400, 422}
    assert is_taken


def test_a_list_is_needed_where_a_source_sends_lists() -> None:
    with pytest.raises(RefusedRequest) as caught:
        elements(read_document(b'{"a": []}'))
    assert caught.value.problem is Problem.JSON_NOT_A_LIST


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_what_is_packed_is_unpacked_once(encoding: str) -> None:
    headers = Headers([("Content-Encoding", encoding)])
    assert decoded(gzip.compress(b"{}", mtime=0), headers, 2) == b"{}"
    assert decoded(zlib.compress(b"{}"), Headers([("Content-Encoding", "deflate")]), 2) == b"{}"
    assert decoded(b"{}", Headers([("Content-Encoding", "identity")]), 2) == b"{}"


def test_a_bomb_is_not_unpacked_beyond_the_bound() -> None:
    bomb = gzip.compress(b"0" * 200_000_000)
    assert len(bomb) < 1_000_000
    assert refused_encoding(bomb, "gzip") is Problem.BODY_TOO_LARGE
    assert refused_encoding(zlib.compress(b"0" * 1001), "deflate") is Problem.BODY_TOO_LARGE


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip,deflate", "aws-chunked", "", "ß"])
def test_other_encodings_and_several_at_once_are_refused(encoding: str) -> None:
    if encoding:
        assert refused_encoding(b"{}", encoding) is Problem.CONTENT_ENCODING_UNSUPPORTED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        gzip.compress(b"{}", mtime=0)[:-1],
        gzip.compress(b"{}", mtime=0) + b"x",
        gzip.compress(b"{}", mtime=0) * 2,
    ],
)
def test_what_is_not_packed_as_it_says_is_refused(body: bytes) -> None:
    assert refused_encoding(body, "gzip") is Problem.CONTENT_ENCODING_BROKEN


def test_a_charset_that_is_not_utf_8_is_refused_whatever_the_bytes_are() -> None:
    for charset in ("utf-16", "latin1", "iso-8859-1", "utf-7", '"utf-16"', "ü"):
        assert refused_type(f"application/json; charset={charset}") is Problem.CHARSET_UNSUPPORTED
    for fine in ("", "; charset=utf-8", '; charset="UTF-8"', ";charset=us-ascii", "; profile=x"):
        check_content_type(Headers([("content-type", f"Application/JSON{fine}")]), ["application/json"])


def test_a_content_type_that_is_not_allowed_missing_or_there_twice_is_refused() -> None:
    for value in (
        "text/plain",
        "application/jsonp",
        "application/x-www-form-urlencoded",
        "json",
        ";",
        "application/json x",
    ):
        assert refused_type(value) is Problem.CONTENT_TYPE_UNSUPPORTED
    assert refused_type() is Problem.CONTENT_TYPE_UNSUPPORTED
    assert refused_type("application/json", "application/json") is Problem.HEADER_REPEATED
