"""``outbox xref import``: links out of a file, judged as a whole before the first one is made."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from outbox.cli.common import (
    AsOption,
    ConfigOption,
    JsonOption,
    errors,
    fail,
    output,
    run,
    settings_of,
    usage_problem,
    who_decides,
    why_decided,
)
from outbox.cli.xref_options import registry_of
from outbox.flow.links_csv import BadRow, Format, LinksFileError, Row, read_rows
from outbox.model.errors import ExitCode, Misconfigured, OutboxError
from outbox.model.xref import LinkVerdict, Pair, Registry, Source
from outbox.postgres.connection import PostgresServer
from outbox.postgres.links_import import ImportConflict, Judgement, judge
from outbox.postgres.xref import xref_session
from outbox.wiring import postgres_server

IMPORT = """\
Link the records of a CSV file, whose first line names its columns. The file is judged as a whole before anything is
changed: lines that cannot be read end the command, and nothing is imported. A line that contradicts another link is
left out and told; --replace takes the other link away instead. Two lines that contradict each other are left to you.

An import that was cut off is simply started again: what is linked already is passed over.

Examples: outbox xref import customers.csv --entity customer --system crm --dry-run · outbox xref import kunden.csv
--entity customer --system crm --key-column Nr --id-column CRM-Id --delimiter ';' --encoding cp1252 --yes
"""
_BATCH = 1000
_SHOWN = 20
_BAD_ROWS_KEPT = 100


@dataclass(slots=True)
class _File:
    """The file, read from its beginning each time. ``bad``: lines that are no links, the first hundred."""

    path: Path
    layout: Format
    bad: list[BadRow] = field(default_factory=list)
    bad_rows: int = 0

    @contextmanager
    def rows(self) -> Iterator[Iterator[Row]]:
        self.bad, self.bad_rows = [], 0
        try:
            with self.path.open("rb") as lines:
                yield self._good(read_rows(lines, self.layout))
        except OSError as error:
            raise LinksFileError(f"{self.path}: {error.strerror}", "name a file that this user may read") from error

    def _good(self, rows: Iterator[Row | BadRow]) -> Iterator[Row]:
        for row in rows:
            if isinstance(row, Row):
                yield row
                continue
            self.bad_rows += 1
            if len(self.bad) < _BAD_ROWS_KEPT:
                self.bad.append(row)

    def check(self) -> None:
        """Refuse a file with lines that are no links, which may be any line's neighbours in truth."""
        if self.bad:
            told = "".join(f"\n  line {bad.line} {bad.problem}" for bad in self.bad[:_SHOWN])
            more = "" if self.bad_rows <= _SHOWN else f"\n  and {self.bad_rows - _SHOWN} more"
            raise LinksFileError(
                f"{self.path} has {self.bad_rows} line(s) that are no links:{told}{more}", "correct them"
            )


def import_links(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV with a header.")],
    entity: Annotated[str, typer.Option("--entity", help="What they are, for example customer.")],
    system: Annotated[str, typer.Option("--system", help="Whose ids they are, for example crm.")],
    key_column: Annotated[str, typer.Option(help="The column with our keys.")] = "canonical_key",
    id_column: Annotated[str, typer.Option(help="The column with the ids of the system.")] = "external_id",
    delimiter: Annotated[str, typer.Option(help="What divides the columns.")] = ",",
    encoding: Annotated[str, typer.Option(help="How the file is written.")] = "utf-8",
    replace: Annotated[bool, typer.Option("--replace", help="Take away links that a line contradicts.")] = False,
    report: Annotated[Path | None, typer.Option("--report", help="Write the conflicts into this file, as CSV.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would come of it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    why: Annotated[str | None, typer.Option("--why", help="Why, for the audit; needed with --replace.")] = None,
    who: AsOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge the file, ask, and link."""
    registry, by = registry_of(entity, system), who_decides(who)
    reason = why_decided(why) if replace and not dry_run else why
    if as_json and not (dry_run or yes):
        usage_problem("--json asks nothing: add --yes to do it, or --dry-run to look")
    server = postgres_server(settings_of(config), name="outbox-xref")
    links = _File(file, Format(key_column, id_column, delimiter, encoding))
    judgement = run(lambda: _judge(server, registry, links))
    if report is not None:
        _write_report(report, judgement.conflicts)
    to_link = _to_link(judgement, replace=replace)
    if dry_run or not to_link:
        _tell(judgement.counts, judgement.conflicts, as_json=as_json, is_done=False)
        raise typer.Exit(ExitCode.CHECK_FAILED if judgement.conflicts else ExitCode.OK)
    if replace and judgement.contradicts_itself():
        _tell(judgement.counts, judgement.conflicts, as_json=False, is_done=False)
        fail(
            Misconfigured("the file contradicts itself, and --replace would take whichever line is last", "correct it")
        )
    if not yes:
        _tell(judgement.counts, judgement.conflicts, as_json=False, is_done=False)
        if not sys.stdin.isatty():
            usage_problem("nothing was changed: add --yes")
        typer.confirm(f"Link {to_link} record(s)?", abort=True)
    counts = run(lambda: _link(server, registry, links, by, reason, may_replace=replace, wanted=to_link))
    _tell(counts, judgement.conflicts, as_json=as_json, is_done=True)
    if counts[LinkVerdict.KEY_TAKEN] or counts[LinkVerdict.ID_TAKEN]:
        raise typer.Exit(ExitCode.CHECK_FAILED)


async def _judge(server: PostgresServer, registry: Registry, links: _File) -> Judgement:
    links.layout.check()
    with links.rows() as rows:
        judgement = await judge(server, registry, ((row.line, row.pair) for row in rows))
    links.check()
    return judgement


async def _link(
    server: PostgresServer,
    registry: Registry,
    links: _File,
    who: str,
    why: str | None,
    *,
    may_replace: bool,
    wanted: int,
) -> Counter[str]:
    counts: Counter[str] = Counter()
    async with xref_session(server) as session:
        with links.rows() as rows:
            while batch := _pairs(rows):
                for one in await session.link(
                    registry, batch, Source.IMPORT, who=who, why=why, may_replace=may_replace
                ):
                    counts[one.verdict] += 1
                if errors.is_terminal:
                    errors.print(f"linked {counts[LinkVerdict.LINKED]:,} of {wanted:,}", end="\r")
    return counts


def _pairs(rows: Iterator[Row]) -> Sequence[Pair]:
    return [row.pair for row in islice(rows, _BATCH)]


def _to_link(judgement: Judgement, *, replace: bool) -> int:
    taken = sum(judgement.counts.get(verdict, 0) for verdict in ("key_taken", "id_taken"))
    return judgement.counts.get("linked", 0) + (taken if replace else 0)


def _tell(
    counts: dict[str, int] | Counter[str], conflicts: Sequence[ImportConflict], *, as_json: bool, is_done: bool
) -> None:
    if as_json:
        output.print_json(
            data={"is_done": is_done, "links": dict(counts), "conflicts": [asdict(one) for one in conflicts]}
        )
        return
    words = {
        "linked": "linked" if is_done else "to be linked",
        "known": "linked so before",
        "repeated": "repeat an earlier line",
        "replaced": "linked anew, what contradicted them is gone",
        "key_taken": "left out: the key has another id",
        "id_taken": "left out: the id belongs to another key",
        "key_twice": "left out: an earlier line gives the key another id",
        "id_twice": "left out: an earlier line gives the id to another key",
    }
    for verdict, text in words.items():
        if counts.get(verdict):
            output.print(f"{counts[verdict]:>10,} {text}")
    if not conflicts:
        return
    table = Table("line", "key", "id", "contradicts", title="Conflicts")
    for one in conflicts[:_SHOWN]:
        table.add_row(str(one.line), *map(escape, (one.pair.canonical_key, one.pair.external_id, one.text)))
    output.print(table)
    if len(conflicts) > _SHOWN:
        output.print(f"and {len(conflicts) - _SHOWN:,} more: --report FILE.csv has them")


def _write_report(path: Path, conflicts: Sequence[ImportConflict]) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("line", "canonical_key", "external_id", "verdict", "contradicts"))
            writer.writerows(
                (one.line, one.pair.canonical_key, one.pair.external_id, one.verdict, one.text) for one in conflicts
            )
    except OSError as error:
        fail(_unwritable(path, error))


def _unwritable(path: Path, error: OSError) -> OutboxError:
    return Misconfigured(f"{path}: {error.strerror}", "name a file that this user may write")
