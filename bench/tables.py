"""The report as people read it: on a terminal, and the same words in the README."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.plan import Section
from bench.progress import time_text
from bench.records import Figure, Report

_SIGNIFICANT_BELOW = 100

_STYLES = {"met": "green", "MISSED": "bold red", "not measured": "yellow"}


def number_text(value: float) -> str:
    """Return a number with three digits that count, thousands apart."""
    if abs(value) >= _SIGNIFICANT_BELOW:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def value_text(figure: Figure) -> str:
    """Return the median with its unit."""
    if figure.value is None:
        return "-"
    unit = f" {figure.unit}" if figure.unit else ""
    return f"{number_text(figure.value)}{unit}"


def spread_text(figure: Figure) -> str:
    """Return the lowest and the highest round."""
    if figure.low is None or figure.high is None or figure.low == figure.high:
        return ""
    return f"{number_text(figure.low)} … {number_text(figure.high)}"


def verdict_text(figure: Figure) -> str:
    """Say whether the bar is met; nothing where there is none."""
    if figure.bar is None:
        return ""
    if figure.value is None:
        return "not measured"
    return "MISSED" if figure.is_missed() else "met"


def row(figure: Figure) -> tuple[str, str, str, str, str]:
    """Return the cells of a figure, the same everywhere."""
    bar = "" if figure.bar is None else str(figure.bar)
    return figure.name, value_text(figure), spread_text(figure), bar, verdict_text(figure)


def measured_on(report: Report) -> str:
    """Say where, when and on what."""
    machine = report.machine
    changes = " with uncommitted changes" if report.has_uncommitted_changes else ""
    return (
        f"{machine.cores} cores ({machine.processor}), {machine.memory_gb:g} GB, Python {machine.python}, "
        f"PostgreSQL {machine.postgresql}, RabbitMQ {machine.rabbitmq}; commit {report.commit}{changes}, "
        f"{report.measured_at:%Y-%m-%d}; {report.plan.rounds} rounds, {report.plan.events:,} events of "
        f"{report.plan.payload_bytes:,} bytes each"
    )


def show(report: Report, console: Console) -> None:
    """Print everything."""
    table = Table("figure", "median", "rounds", "bar", "")
    for column in (1, 2, 3):
        table.columns[column].justify = "right"
    for figure in _shown(report):
        *cells, verdict = row(figure)
        style = _STYLES.get(verdict)
        table.add_row(*map(escape, cells), f"[{style}]{verdict}[/]" if style else verdict)
    console.print(table)
    console.print(f"· {escape(measured_on(report))}", highlight=False)
    for line in report.how:
        console.print(f"· {escape(line)}", highlight=False)
    for contender, reason in report.absent.items():
        console.print(f"[yellow]not here:[/] {contender}: {escape(reason)}", highlight=False, soft_wrap=True)
    if report.machine.load_before > 1:
        console.print(
            f"[yellow]not quiet:[/] the machine had a load of {report.machine.load_before:g} before the run",
            highlight=False,
        )
    for problem in report.wrong:
        console.print(f"[bold red]wrong:[/] {escape(problem)}", highlight=False, soft_wrap=True)
    console.print(f"took {time_text(report.seconds)}")


def _shown(report: Report) -> list[Figure]:
    """Leave out what was not measured, unless it should have been and there is a bar for it."""
    is_everything_asked = set(report.plan.sections) >= set(Section)
    return [
        figure
        for figure in report.figures
        if figure.value is not None or (figure.bar is not None and is_everything_asked)
    ]
