"""Reading a file of links: which columns are which, and every line that cannot be one. Opens nothing."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from outbox.model.errors import Misconfigured
from outbox.model.xref import Pair, id_problem, key_problem

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class LinksFileError(Misconfigured):
    """The file is no table of links; nothing was read to its end."""


@dataclass(frozen=True, slots=True)
class Format:
    """How the file is written, and in which columns the two things stand."""

    key_column: str = "canonical_key"
    id_column: str = "external_id"
    delimiter: str = ","
    encoding: str = "utf-8"

    def check(self) -> None:
        """Refuse what could not be read line by line.

        Raises:
            LinksFileError: an unknown encoding, or one whose lines do not end as those of ASCII do.
        """
        try:
            is_by_line = ",\n".encode(self.encoding) == b",\n"
        except (LookupError, UnicodeError):
            raise LinksFileError(f"{self.encoding!r} is no encoding", "say utf-8, cp1252 or iso-8859-1") from None
        if not is_by_line:
            raise LinksFileError(
                f"{self.encoding} cannot be read line by line", "save the file as UTF-8, then leave --encoding out"
            )
        if len(self.delimiter) != 1 or (not self.delimiter.isprintable() and self.delimiter != "\t"):
            raise LinksFileError("the delimiter must be one character", "for example --delimiter ';'")
        if self.key_column == self.id_column:
            raise LinksFileError(f"key and id are both to be read from {self.key_column!r}", "name two columns")


@dataclass(frozen=True, slots=True)
class Row:
    """A line that is a link."""

    line: int
    pair: Pair


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that is none, and why."""

    line: int
    problem: str


def read_rows(lines: Iterable[bytes], layout: Format) -> Iterator[Row | BadRow]:
    """Read the lines of a file, the header first.

    Raises:
        LinksFileError: there is no header with these columns, or a line that cannot be decoded or taken apart.
    """
    reader = csv.reader(_decoded(lines, layout.encoding), delimiter=layout.delimiter, strict=True)
    try:
        header = next(reader, None)
        key_at, id_at = _columns(header, layout)
        width = len(header or ())
        for fields in reader:
            if fields:
                yield _row(reader.line_num, fields, width, key_at, id_at)
    except csv.Error as error:
        raise LinksFileError(
            f"line {reader.line_num} is no CSV: {error}", "correct the line; a quote inside of a field is doubled"
        ) from None


def _decoded(lines: Iterable[bytes], encoding: str) -> Iterator[str]:
    for number, raw in enumerate(lines, start=1):
        line = raw
        if number == 1:
            if raw.startswith(_UTF16_MARKS):
                raise LinksFileError("the file is UTF-16", "save it as UTF-8")
            line = raw.removeprefix(codecs.BOM_UTF8)
        try:
            yield line.decode(encoding)
        except UnicodeDecodeError as error:
            raise LinksFileError(
                f"line {number} is not valid {encoding} at byte {error.start + 1}",
                "say what it is, for example --encoding cp1252",
            ) from None


def _columns(header: list[str] | None, layout: Format) -> tuple[int, int]:
    if header is None:
        raise LinksFileError(
            "the file is empty", f"its first line names columns: {layout.key_column},{layout.id_column}"
        )
    names = [name.strip() for name in header]
    missing = [name for name in (layout.key_column, layout.id_column) if name not in names]
    if missing:
        other = next((mark for mark in (";", "\t", "|", ",") if len(names) == 1 and mark in names[0]), None)
        step = (
            f"its columns are divided by {other!r}: add --delimiter {other!r}"
            if other is not None
            else "name the columns with --key-column and --id-column"
        )
        raise LinksFileError(f"the first line has no column {' and no column '.join(map(repr, missing))}", step)
    twice = [name for name in (layout.key_column, layout.id_column) if names.count(name) > 1]
    if twice:
        raise LinksFileError(f"the first line has the column {twice[0]!r} twice", "leave one of them out")
    return names.index(layout.key_column), names.index(layout.id_column)


def _row(line: int, fields: list[str], width: int, key_at: int, id_at: int) -> Row | BadRow:
    if len(fields) != width:
        return BadRow(line, f"has {len(fields)} fields, the first line has {width}")
    pair = Pair(fields[key_at], fields[id_at])
    for what, problem in (("key", key_problem(pair.canonical_key)), ("id", id_problem(pair.external_id))):
        if problem is not None:
            return BadRow(line, f"its {what} {problem}")
    return Row(line, pair)
