"""``outbox map --diff``: reads the last events, maps each twice, and tells what differs. Sends nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from outbox.cli.common import fail, output, run, settings_of, usage_problem
from outbox.cli.dead_options import check_type
from outbox.config.mapping_files import is_rules_file
from outbox.config.settings import Flow, Settings
from outbox.flow.mapping import Mapping
from outbox.flow.mapping_diff import MAX_EXAMPLES, Difference, difference
from outbox.flow.mapping_rules import rules_of
from outbox.model.errors import ExitCode, Misconfigured
from outbox.model.replay import both, type_patterns
from outbox.model.versions import version_of
from outbox.postgres.recent_events import RecentEvents, read_recent_events
from outbox.wiring import postgres_server

# So many events of all types are looked at to find those of the flow; then it tells what it has.
_LOOK_AT_MOST = 100_000
_MAX_VALUE_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Look:
    """What was asked for."""

    config: Path | None
    last: int
    type: str | None
    is_json: bool
    shows_values: bool


def show_difference(settings: Settings, name: str, new: Path, look: Look) -> None:
    """Print what the other mapping changes, and end with 1 if it changes anything."""
    if look.shows_values and not output.is_terminal:
        usage_problem("--show-values shows what customers have told us, and does so on a terminal only")
    check_type(look.type)
    if not new.is_file():
        usage_problem(f"--diff: there is no file {new}")
    flow = settings.flows[name]
    before, after = _compiled(flow), _compiled(_changed(new, name, look.config))
    patterns = type_patterns(flow.topics())
    if look.type is not None:
        patterns = both(type_patterns([look.type]), patterns)
    server = postgres_server(settings, name="outbox-map")

    async def work() -> RecentEvents:
        return await read_recent_events(server, patterns, last=look.last, look_at_most=_LOOK_AT_MOST)

    recent = run(work)
    readable = [(one.event_id, one.payload) for one in recent.events if one.payload is not None]
    found = difference(before, after, readable)
    left_out = len(recent.events) - len(readable)
    if look.is_json:
        output.print_json(data=_told(found, left_out))
    else:
        _print(name, found, recent, left_out, look)
        if any(version_of(pattern) is not None for pattern in flow.events):
            output.print("events of another version than the flow takes were mapped as they were written")
    if not found.is_empty:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _changed(new: Path, name: str, config: Path | None) -> Flow:
    """Return the flow with the other mapping, from a file of rules or from other settings."""
    if is_rules_file(new):
        return settings_of(config, {name: new}).flows[name]
    settings = settings_of(new)
    if name not in settings.flows:
        usage_problem(f"--diff: {new} has no flow {name!r}")
    return settings.flows[name]


def _compiled(flow: Flow) -> Mapping:
    try:
        return Mapping.compile(rules_of(flow.mapping))
    except Misconfigured as error:
        fail(error)


def _told(found: Difference, left_out: int) -> dict[str, Any]:
    """Without values: what is written to a file stays there."""
    return {
        "looked_at": found.looked_at,
        "left_out": left_out,
        "differing": found.differing,
        "fields": [
            {name: value for name, value in asdict(one).items() if name != "examples"}
            | {"events": [example.event_id for example in one.examples]}
            for one in found.fields.values()
        ],
        "refused": found.refused,
        "mended": found.mended,
    }


def _print(name: str, found: Difference, recent: RecentEvents, left_out: int, look: Look) -> None:
    if found.looked_at == 0:
        output.print(f"no event of {escape(name)} among the last {recent.looked_at} of the outbox: nothing to compare")
        return
    for one in found.refused, found.mended:
        for reason, events in one.items():
            verb = "would become dead letters" if one is found.refused else "would no longer be dead letters"
            output.print(f"[bold]{len(events)}[/] {verb}: {escape(reason)} ({_ids(events)})", soft_wrap=True)
    if found.fields:
        output.print(_table(name, found, look))
    equal = found.looked_at - found.differing
    output.print(f"{found.differing} of {found.looked_at} events differ, {equal} are mapped to the same document")
    if left_out:
        output.print(f"{left_out} were left out: larger than 1 MiB")


def _table(name: str, found: Difference, look: Look) -> Table:
    table = Table(title=f"What changes in the documents of {escape(name)}")
    table.add_column("field", overflow="fold")
    for heading in ("documents", "changed", "added", "removed"):
        table.add_column(heading, justify="right")
    table.add_column("events", overflow="fold")
    if look.shows_values:
        table.add_column("before → after")
    for one in found.fields.values():
        row = [escape(one.path), *map(str, (one.documents, one.changed, one.added, one.removed))]
        row.append(_ids([example.event_id for example in one.examples], one.documents))
        if look.shows_values:
            row.append(escape("\n".join(f"{_cut(example.before)} → {_cut(example.after)}" for example in one.examples)))
        table.add_row(*row)
    return table


def _ids(events: list[str], count: int | None = None) -> str:
    more = (len(events) if count is None else count) - len(events[:MAX_EXAMPLES])
    return "\n".join([*events[:MAX_EXAMPLES], *([f"and {more} more"] if more > 0 else [])])


def _cut(text: str | None) -> str:
    if text is None:
        return "nothing"
    return text if len(text) <= _MAX_VALUE_CHARACTERS else text[: _MAX_VALUE_CHARACTERS - 1] + "…"
