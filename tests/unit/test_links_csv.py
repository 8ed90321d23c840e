"""A file of links: every line that cannot be one is told with its place."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.flow.links_csv import BadRow, Format, LinksFileError, Row, read_rows
from outbox.model.xref import Pair, id_problem, key_problem


def read(text: bytes, layout: Format = Format()) -> list[Row | BadRow]:  # noqa: B008 - frozen
    return list(read_rows(text.splitlines(keepends=True), layout))


def problem(text: bytes, layout: Format = Format()) -> str:  # noqa: B008 - frozen
    with pytest.raises(LinksFileError) as refused:
        read(text, layout)
    return str(refused.value)


def test_columns_are_found_by_name_wherever_they_stand() -> None:
    assert read(b'name,external_id,canonical_key\r\nAnn,4711,C-1\r\n\r\n"B, C",4712,C-2\r\n') == [
        Row(2, Pair("C-1", "4711")),
        Row(4, Pair("C-2", "4712")),
    ]
    layout = Format("Nr", "CRM-Id", ";", "cp1252")
    assert read("Nr;CRM-Id\nM\u00fcller;1\n".encode("cp1252"), layout) == [Row(2, Pair("M\u00fcller", "1"))]


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert read(b"\xef\xbb\xbfcanonical_key,external_id\nC-1,1\n") == [Row(2, Pair("C-1", "1"))]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "the file is empty"),
        (b"key,id\nC-1,1\n", "no column 'canonical_key' and no column 'external_id'"),
        (b"canonical_key;external_id\nC-1;1\n", "its columns are divided by ';'"),
        (b"canonical_key,external_id,external_id\n", "has the column 'external_id' twice"),
        (b"canonical_key,external_id\nM\xfcller,1\n", "line 2 is not valid utf-8 at byte 2"),
        ("canonical_key,external_id\nC-1,1\n".encode("utf-16"), "the file is UTF-16"),
        (b'canonical_key,external_id\n"C-1"x,1\n', "line 2 is no CSV"),
        (b'canonical_key,external_id\n"C-1,1\n', "is no CSV"),
        (b"canonical_key,external_id\n" + b"x" * 200_000 + b",1\n", "line 2 is no CSV: field larger"),
    ],
)
def test_what_is_no_table_of_links_is_told(text: bytes, told: str) -> None:
    assert told in problem(text)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"C-1", "has 1 fields, the first line has 2"),
        (b"C-1,1,2", "has 3 fields, the first line has 2"),
        (b",1", "its key is empty"),
        (b"C-1,  ", "its id is empty"),
        (b" C-1,1", "its key has spaces before or behind it"),
        (b"C\x00-1,1", "its key has a character that cannot be stored"),
        (b"C-1," + b"x" * 1025, "its id is longer than 1024 bytes"),
        ("\u00fc".encode() * 128 + b",1", "its key is longer than 255 bytes"),
    ],
)
def test_a_line_that_is_no_link_is_told_and_the_others_are_read(line: bytes, told: str) -> None:
    (first, bad, last) = read(b"canonical_key,external_id\nA,1\n" + line + b"\nB,2\n")
    assert (first, last) == (Row(2, Pair("A", "1")), Row(4, Pair("B", "2")))
    assert isinstance(bad, BadRow)
    assert (bad.line, told in bad.problem) == (3, True), bad


@pytest.mark.parametrize(
    ("layout", "told"),
    [
        (Format(encoding="klingon"), "is no encoding"),
        (Format(encoding="utf-16"), "cannot be read line by line"),
        (Format(delimiter=";;"), "must be one character"),
        (Format(delimiter="\n"), "must be one character"),
        (Format(id_column="canonical_key"), "both to be read from"),
    ],
)
def test_a_layout_that_nothing_has_is_refused(layout: Format, told: str) -> None:
    with pytest.raises(LinksFileError, match=told):
        layout.check()


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_whatever_a_spreadsheet_writes_is_read_as_it_was_or_told(rows: list[tuple[str, str]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerows([("canonical_key", "external_id"), *rows])
    try:
        written = text.getvalue().encode()
    except UnicodeEncodeError:
        return
    found = list(read_rows(io.BytesIO(written), Format()))
    assert [row.pair for row in found if isinstance(row, Row)] == [
        Pair(key, external_id)
        for key, external_id in rows
        if key_problem(key) is None and id_problem(external_id) is None
    ]
