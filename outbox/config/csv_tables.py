"""CSV files of value tables: strict, because a line that is read wrongly books into a wrong account."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from outbox.config.files import UnreadableFileError, read_text, shown_path
from outbox.config.problems import shown

# A table of all towns of a continent fits.
_MAX_BYTES = 16 * 1024 * 1024
# More problems of one file than a person corrects at a time.
_MAX_PROBLEMS = 10
_OTHER_DELIMITERS = (";", ",", "\t", "|")


class BadTableError(Exception):
    """A file is no usable table; has every problem, each with the file and the line."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


def read_table(path: Path, *, key: str, value: str, delimiter: str) -> dict[str, str]:
    """Return what two columns of a CSV file with a header say.

    Raises:
        BadTableError: it cannot be read as a whole, or a key is missing or given twice.
    """
    name = shown_path(str(path))
    try:
        text = read_text(path, max_bytes=_MAX_BYTES, must_be_regular=True)
    except UnreadableFileError as error:
        raise BadTableError([str(error)]) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise BadTableError([f"{name}:{line}: has a NUL character"])
    # What other tables end a line with counts inside of quotes only.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    problems: list[str] = []
    rows: dict[str, str] = {}
    try:
        header = next((row for row in reader if row), [])
        columns = _columns(name, reader.line_num, header, (key, value), delimiter)
        problems += _rows(name, reader, len(header), columns, rows)
    except csv.Error as error:
        problems.append(f"{name}:{reader.line_num}: is no CSV: {error}")
    if problems:
        more = len(problems) - _MAX_PROBLEMS
        raise BadTableError([*problems[:_MAX_PROBLEMS], *([f"{name}: and {more} more"] if more > 0 else [])])
    return rows


def _columns(name: str, line: int, header: Sequence[str], wanted: Sequence[str], delimiter: str) -> tuple[int, ...]:
    if not header:
        raise BadTableError([f"{name}: is empty; its first line must name the columns"])
    problems: list[str] = []
    for column in dict.fromkeys(wanted):
        if header.count(column) > 1:
            problems.append(f"{name}:{line}: has the column {shown(column)} twice")
        elif column not in header:
            hint = None
            other = next((sign for sign in _OTHER_DELIMITERS if sign != delimiter and sign in header[0]), None)
            if len(header) == 1 and other is not None:
                hint = f"its columns seem to be separated by {other!r}: set delimiter"
            known = f"it has {', '.join(shown(one) for one in header[:20])}"
            problems.append(f"{name}:{line}: has no column {shown(column)}; {hint or known}")
    if problems:
        raise BadTableError(problems)
    return tuple(header.index(column) for column in wanted)


def _rows(
    name: str, reader: Iterator[list[str]], width: int, columns: Sequence[int], rows: dict[str, str]
) -> list[str]:
    """Fill the rows; return what is wrong with single lines."""
    problems: list[str] = []
    lines: dict[str, int] = {}
    key_column, value_column = columns
    for row in reader:
        line = int(getattr(reader, "line_num", 0))
        if not row:
            continue
        if len(row) != width:
            problems.append(f"{name}:{line}: has {len(row)} columns, the header has {width}")
            continue
        key = row[key_column]
        if not key:
            problems.append(f"{name}:{line}: has no key")
        elif key in rows:
            problems.append(f"{name}:{line}: the key {shown(key)} is given twice, first in line {lines[key]}")
        else:
            rows[key], lines[key] = row[value_column], line
    return problems
