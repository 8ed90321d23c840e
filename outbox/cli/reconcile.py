"""``outbox reconcile``: what was committed, published and applied, and what the target has."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from outbox.cli.common import ConfigOption, errors, moment_of, output, run, settings_of, time_of, usage_problem
from outbox.config.reconcile import Reconcile
from outbox.config.settings import Settings
from outbox.flow.reconciler import Asked, reconcile
from outbox.model.errors import ExitCode, Misconfigured, Unavailable
from outbox.model.outcome import NotTold
from outbox.model.reconciliation import Reconciliation, Verdict
from outbox.model.reconciliation_text import as_document, difference_document, sum_text
from outbox.model.totals import Window
from outbox.postgres.reconcile import ReconcileSession, ReconcileStore, window_before
from outbox.wiring import postgres_server
from outbox.wiring_reconcile import schedule_of, subject_of
from outbox.wiring_targets import adapters_of

_RECONCILE = """\
Compare, for the events that were written in a window, what was committed, published, applied and what the target has:
how many, and what they come to. Lists each event and record that differs, with where it stands and the next step.
Changes nothing. Ends with 1 when a flow is outside of its tolerance, or its target does not tell. A flow that cannot be
compared, for example because its query is wrong, is told, and the others are compared; it then ends with the code of
that error (78).

Without times it is the newest window that is over, as the flow's reconcile: says. Without --flow it is every flow that
has one.

Examples: outbox reconcile · outbox reconcile --flow orders-to-crm --from 2026-11-01 --to 2026-12-01 ·
outbox reconcile --since 2h · outbox reconcile --format json
"""
_WORDS: Mapping[Verdict, str] = {
    Verdict.AGREES: "[green]agrees[/]",
    Verdict.LATE: "[yellow]late[/]: what is missing waits or is parked",
    Verdict.DISAGREES: "[bold red]disagrees[/]",
    Verdict.UNTOLD: "[bold red]was never told[/]",
}
_MOST_LISTED = 1000


class Format(StrEnum):
    """How the result is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class _Failed:
    """A flow that could not be compared, and why."""

    flow: str
    reason: str
    exit_code: ExitCode


def add_to(app: typer.Typer) -> None:
    """Register the verb."""
    app.command("reconcile", help=_RECONCILE)(_reconcile)


def _reconcile(
    config: ConfigOption = None,
    flow: Annotated[str | None, typer.Option("--flow", help="Only this one; also if it has no reconcile:.")] = None,
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Written at this time or later.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Written before this time.")] = None,
    recent: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Written since, until now; ISO 8601, or 2h for two hours ago."),
    ] = None,
    as_format: Annotated[Format, typer.Option("--format", help="For people or for programs.")] = Format.TABLE,
) -> None:
    settings = settings_of(config)
    flows = _flows(settings, flow)
    window = _window(since, until)
    if recent is not None:
        if window is not None:
            usage_problem("--since is until now: give it without --from and --to")
        # Whether it can be read is told before anybody is asked; which time it is, is said by the database's clock.
        moment_of("--since", recent, datetime.now(UTC))

    async def work() -> list[Reconciliation | _Failed]:
        return await _all(settings, flows, window, recent)

    found = run(work)
    results = [one for one in found if isinstance(one, Reconciliation)]
    match as_format:
        case Format.TABLE:
            for result in results:
                _print(result)
        case Format.JSON:
            output.print_json(data=[as_document(result, _MOST_LISTED) for result in results])
        case Format.CSV:
            typer.echo(_csv(results), nl=False)
    failed = [one for one in found if isinstance(one, _Failed)]
    for one in failed:
        errors.print(f"[bold red]error:[/] {escape(f'{one.flow}: {one.reason}')}")
    if failed or any(result.verdict is not Verdict.AGREES for result in results):
        # What could not be looked at at all is worse than what was, and does not agree.
        raise typer.Exit(max((one.exit_code for one in failed), default=ExitCode.CHECK_FAILED))


def _flows(settings: Settings, flow: str | None) -> list[str]:
    if flow is not None:
        if flow not in settings.flows:
            usage_problem(f"--flow: there is no flow {flow!r} in the settings")
        return [flow]
    flows = [name for name, one in settings.flows.items() if one.reconcile is not None]
    if not flows:
        usage_problem("no flow has reconcile: in the settings; name one with --flow")
    return flows


def _window(since: str | None, until: str | None) -> Window | None:
    if since is None and until is None:
        return None
    if since is None or until is None:
        usage_problem("--from and --to go together")
    window = Window(_second("--from", since), _second("--to", until))
    if window.since >= window.until:
        usage_problem("--from must be before --to")
    return window


def _second(option: str, text: str) -> datetime:
    """Return a time, or end because of its fraction: targets are asked in seconds, and would tell of another window."""
    time = time_of(option, text)
    if time.microsecond:
        usage_problem(f"{option}: {text!r} has a fraction of a second; windows begin and end with whole ones")
    return time


def _until_now(recent: str, now: datetime) -> Window:
    since = moment_of("--since", recent, now)
    if since >= now:
        usage_problem("--since must be before now")
    # Whole seconds around it, so that books and target are asked for the same.
    return Window(since.replace(microsecond=0), now.replace(microsecond=0) + timedelta(seconds=1))


async def _all(
    settings: Settings, flows: Sequence[str], window: Window | None, recent: str | None
) -> list[Reconciliation | _Failed]:
    adapters = adapters_of(settings)
    store = ReconcileStore(postgres_server(settings, name="outbox-reconcile"))
    try:
        if recent is not None:
            async with store.session() as session:
                window = _until_now(recent, await session.now())
        return [await _one(settings, name, window, store, adapters[name]) for name in flows]
    finally:
        for adapter in adapters.values():
            await adapter.close()


async def _one(
    settings: Settings, name: str, window: Window | None, store: ReconcileStore, target: Asked
) -> Reconciliation | _Failed:
    """Compare one flow. What is wrong with it, its query for example, says nothing of the others."""
    chosen = settings.flows[name].reconcile or Reconcile()
    try:
        async with store.session() as session:
            wanted = window or window_before(await session.now(), schedule_of(chosen))
            await _warn(session, wanted, chosen)
            result = await reconcile(subject_of(name, settings.flows[name]), wanted, session, target, _nothing)
    except Misconfigured as error:
        return _Failed(name, str(error), error.exit_code)
    except Unavailable as error:
        return _Failed(name, f"{error}\n  next step: {error.next_step}", error.exit_code)
    if isinstance(result, NotTold):
        return _Failed(name, f"the target does not tell: {result.outcome.reason}", ExitCode.CHECK_FAILED)
    return result


async def _warn(session: ReconcileSession, window: Window, chosen: Reconcile) -> None:
    if window.until > await session.now() - timedelta(seconds=chosen.lag):
        errors.print("[yellow]warning:[/] the window has only just ended, or not yet: what is late may still come")


async def _nothing() -> None:
    """Nobody waits for the progress of a command."""


def _print(result: Reconciliation) -> None:
    since, until = (time.strftime("%Y-%m-%d %H:%M:%SZ") for time in (result.window.since, result.window.until))
    headings = ["place", "events", *(["amount", "currency"] if result.has_amounts else [])]
    # Not as the table's title, which would be broken to the width of the table.
    output.print(f"{escape(result.flow)}, {since} to {until}", soft_wrap=True)
    table = Table(*headings)
    for row in result.rows:
        amounts = [sum_text(row.sum) or "?", row.currency] if result.has_amounts else []
        table.add_row(row.place, str(row.sum.count), *map(escape, amounts))
    output.print(table)
    output.print(f"{escape(result.flow)}: {_WORDS[result.verdict]}", soft_wrap=True)
    for note in result.notes:
        output.print(f"  note: {escape(note)}", soft_wrap=True)
    if not result.differences:
        return
    counts = ", ".join(f"{count} {place}" for place, count in sorted(result.counts.items()) if count)
    listed = Table(title=f"What differs: {counts}")
    for heading in ("where", "event", "record", "here", "there"):
        # Ids are copied from here: never cut, never broken.
        listed.add_column(heading, no_wrap=heading in ("where", "event"), overflow="fold")
    for one in result.differences:
        cells = (one.place, one.event_id, one.name, one.here, one.there)
        listed.add_row(*("" if cell is None else escape(cell) for cell in cells))
    output.print(listed)
    for place, step in {one.place: one.next_step for one in result.differences}.items():
        output.print(f"  {place}: {escape(step)}", soft_wrap=True)


def _csv(results: Sequence[Reconciliation]) -> str:
    """Return RFC 4180 text: a line for each total, then one for each difference."""
    text = io.StringIO()
    columns = ["flow", "from", "to", "verdict", "kind", "place", "count", "amount", "currency"]
    writer = csv.DictWriter(text, [*columns, "sequence", "event_id", "name", "here", "there", "next_step"])
    writer.writeheader()
    for result in results:
        document = as_document(result, 0)
        head = {name: document[name] for name in ("flow", "from", "to", "verdict")}
        totals = document["totals"]
        for total in totals if isinstance(totals, list) else ():
            writer.writerow({**head, "kind": "total", **total})
        for one in result.differences:
            writer.writerow({**head, "kind": "difference", **difference_document(one)})
    return text.getvalue()
