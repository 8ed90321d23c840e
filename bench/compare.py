"""Two reports side by side."""

from rich.console import Console
from rich.table import Table

from bench.records import Figure, Report
from bench.tables import number_text, value_text

_PERCENT = 100


def compare(before: Report, after: Report, console: Console) -> None:
    """Print the figures that both have, and how the medians have changed.

    A change is marked when the rounds of the two do not overlap: what lies within them may be chance.
    """
    table = Table("figure", before.commit, after.commit, "change", "")
    for column in (1, 2, 3):
        table.columns[column].justify = "right"
    old = {figure.name: figure for figure in before.figures if figure.value is not None}
    for figure in after.figures:
        known = old.get(figure.name)
        if known is not None and figure.value is not None:
            table.add_row(
                figure.name, value_text(known), value_text(figure), change_text(known, figure), mark(known, figure)
            )
    console.print(table)
    for report in (before, after):
        if not report.plan.is_complete():
            console.print(f"[yellow]{report.commit} is not a full run[/]", highlight=False)
    if before.machine.processor != after.machine.processor or before.machine.cores != after.machine.cores:
        console.print("[yellow]two different machines: compare the ratios only[/]", highlight=False)


def change_text(before: Figure, after: Figure) -> str:
    """Return the change of the median in percent, or what it was where that says nothing."""
    if not before.value or after.value is None:
        return "" if before.value == after.value else f"{number_text(after.value or 0)}"
    return f"{(after.value / before.value - 1) * _PERCENT:+.0f} %"


def mark(before: Figure, after: Figure) -> str:
    """Say whether the rounds of one lie all above or all below those of the other."""
    if None in (before.low, before.high, after.low, after.high) or before.low is None or after.low is None:
        return ""
    if (after.high or 0) < before.low:
        return "lower"
    return "higher" if after.low > (before.high or 0) else ""
