"""The verbs of the cross-reference: ``xref list``, ``set``, ``remove``, ``history``, ``conflicts``, ``import``."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from outbox.cli.common import (
    AsOption,
    ConfigOption,
    JsonOption,
    fail,
    output,
    run,
    settings_of,
    usage_problem,
    who_decides,
    why_decided,
)
from outbox.cli.xref_import import IMPORT, import_links
from outbox.cli.xref_options import registry_of
from outbox.model.errors import ExitCode, Misconfigured
from outbox.model.xref import Change, Link, Linked, LinkVerdict, Pair, Source, id_problem, key_problem
from outbox.postgres.xref import Filters, xref_session
from outbox.wiring import postgres_server

_XREF = "Which record of another system stands for which of ours: filled by receipts of flows, by import, and by hand."
_LIST = """\
Show links, or write all that match as CSV.

Examples: outbox xref list --entity customer --system crm · outbox xref list --id 4711 · outbox xref list --entity item
--format csv > items.csv
"""
_SET = """\
Link a record by hand. What contradicts another link is refused; --replace takes the other one away.

Example: outbox xref set customer crm C-1001 4711 --why "created by hand before the flow began"
"""
_REMOVE = """\
Take a link away. Flows that need it then do what their mapping says of a missing one.

Example: outbox xref remove customer crm C-1001 --why "merged into C-1000"
"""
_HISTORY = """\
Show what was done to a record's link, newest first: who, when, why, and what was refused.

Example: outbox xref history customer crm C-1001
"""
_CONFLICTS = """\
Show links that were refused because they contradict another one, newest first: a target that answers with another id, a
line of an import. Decide with "outbox xref set … --replace", or mend it in the other system.

Example: outbox xref conflicts
"""
_PAGE = 1000

_Entity = Annotated[str, typer.Argument(metavar="ENTITY", help="What it is, for example customer.")]
_System = Annotated[str, typer.Argument(metavar="SYSTEM", help="Whose id, for example crm.")]
_Key = Annotated[str, typer.Argument(metavar="KEY", help="Our key.")]
_Most = Annotated[int, typer.Option("--most", min=1, max=100_000, help="How many are shown.")]
_Why = Annotated[str | None, typer.Option("--why", help="Why, for the audit.")]


class ListFormat(StrEnum):
    """How links are written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    group = typer.Typer(help=_XREF, no_args_is_help=True)
    group.command("list", help=_LIST)(_list)
    group.command("set", help=_SET)(_set)
    group.command("remove", help=_REMOVE)(_remove)
    group.command("history", help=_HISTORY)(_history)
    group.command("conflicts", help=_CONFLICTS)(_conflicts)
    group.command("import", help=IMPORT)(import_links)
    app.add_typer(group, name="xref")


def _list(
    entity: Annotated[str | None, typer.Option("--entity", help="Of this entity.")] = None,
    system: Annotated[str | None, typer.Option("--system", help="In this system.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Of this key of ours.")] = None,
    external_id: Annotated[str | None, typer.Option("--id", help="With this external id.")] = None,
    most: _Most = _PAGE,
    as_format: Annotated[ListFormat, typer.Option("--format", help="csv writes all, however many.")] = ListFormat.TABLE,
    config: ConfigOption = None,
) -> None:
    server = postgres_server(settings_of(config), name="outbox-xref")
    filters = Filters(entity, system, key, external_id)

    async def page() -> list[Link]:
        async with xref_session(server) as session:
            return await session.links(filters, most=most + 1)

    async def write_all() -> None:
        async with xref_session(server) as session:
            links = await session.links(filters, most=_PAGE)
            while links:
                typer.echo(_csv(links), nl=False)
                links = await session.links(filters, most=_PAGE, after=links[-1])

    if as_format is ListFormat.CSV:
        typer.echo(",".join(field.name for field in fields(Link)) + "\r\n", nl=False)
        run(write_all)
        return
    links = run(page)
    if as_format is ListFormat.JSON:
        output.print_json(data=[_data(link, "linked_at") for link in links[:most]])
        return
    table = Table("entity", "system", "key", "external id", "linked", "by", title="Links")
    for link in links[:most]:
        table.add_row(
            *map(escape, (link.entity, link.system, link.canonical_key, link.external_id)),
            f"{link.linked_at:%Y-%m-%d %H:%M:%S} UTC",
            escape(f"{link.source}, {link.linked_by}"),
        )
    output.print(table)
    if len(links) > most:
        output.print(f"there are more than {most}: add filters, --most, or --format csv for all")


def _set(
    *,
    entity: _Entity,
    system: _System,
    key: _Key,
    external_id: Annotated[str, typer.Argument(metavar="ID", help="The id in that system.")],
    replace: Annotated[bool, typer.Option("--replace", help="Take away what contradicts it.")] = False,
    why: _Why = None,
    who: AsOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    registry = registry_of(entity, system)
    for name, problem in (("KEY", key_problem(key)), ("ID", id_problem(external_id))):
        if problem is not None:
            usage_problem(f"{name} {problem}")
    by, reason = who_decides(who), why_decided(why)
    server = postgres_server(settings_of(config), name="outbox-xref")

    async def work() -> list[Linked]:
        async with xref_session(server) as session:
            pair = Pair(key, external_id)
            return await session.link(registry, [pair], Source.PERSON, who=by, why=reason, may_replace=replace)

    (linked,) = run(work)
    conflict = linked.conflict()
    if conflict is not None:
        fail(Misconfigured(f"{registry} {key!r}: {conflict}", "add --replace if the new link is the right one"))
    if as_json:
        output.print_json(data=asdict(linked))
        return
    told = {LinkVerdict.KNOWN: "it was linked so before", LinkVerdict.REPLACED: "linked; what contradicted it is gone"}
    output.print(f"{registry} {escape(key)}: {told.get(linked.verdict, 'linked')}", soft_wrap=True)


def _remove(
    entity: _Entity,
    system: _System,
    key: _Key,
    why: _Why = None,
    who: AsOption = None,
    config: ConfigOption = None,
) -> None:
    registry, by, reason = registry_of(entity, system), who_decides(who), why_decided(why)
    server = postgres_server(settings_of(config), name="outbox-xref")

    async def work() -> str | None:
        async with xref_session(server) as session:
            return await session.unlink(registry, key, who=by, why=reason)

    former = run(work)
    if former is None:
        output.print(f"{registry} {escape(key)} is not linked", soft_wrap=True)
        raise typer.Exit(ExitCode.CHECK_FAILED)
    output.print(f"{registry} {escape(key)} is not linked to {escape(former)} any more", soft_wrap=True)


def _history(
    entity: _Entity,
    system: _System,
    key: _Key,
    most: _Most = 100,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    registry = registry_of(entity, system)
    server = postgres_server(settings_of(config), name="outbox-xref")

    async def work() -> list[Change]:
        async with xref_session(server) as session:
            return await session.changes(registry, key, most=most)

    _show_changes(run(work), f"{registry} {key}", as_json=as_json)


def _conflicts(most: _Most = 100, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    server = postgres_server(settings_of(config), name="outbox-xref")

    async def work() -> list[Change]:
        async with xref_session(server) as session:
            return await session.conflicts(most=most)

    _show_changes(run(work), "Conflicts", as_json=as_json)


def _show_changes(changes: Sequence[Change], title: str, *, as_json: bool) -> None:
    if as_json:
        output.print_json(data=[_data(change, "changed_at") for change in changes])
        return
    table = Table("when", "what", "record", "id", "it was, or is", "who", "why", title=escape(title))
    for one in changes:
        stands = [f"id {one.former_id}" if one.former_id else "", f"key {one.former_key}" if one.former_key else ""]
        table.add_row(
            f"{one.changed_at:%Y-%m-%d %H:%M:%S} UTC",
            f"[red]{one.action}[/]" if one.action == "conflict" else one.action,
            escape(f"{one.entity} in {one.system} {one.canonical_key}"),
            escape(one.external_id or ""),
            escape(", ".join(filter(None, stands))),
            escape(f"{one.source}, {one.who}"),
            escape(one.why or ""),
        )
    output.print(table)


def _data(row: Link | Change, time: str) -> dict[str, Any]:
    return asdict(row) | {time: getattr(row, time).isoformat()}


def _csv(links: Sequence[Link]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(_data(link, "linked_at").values() for link in links)
    return text.getvalue()
