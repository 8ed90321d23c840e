"""The report as one picture."""

from pathlib import Path

from bench.plan import BAR_RATE, Condition, Contender
from bench.records import ErpTable, Report
from bench.tables import number_text


class NoChartError(Exception):
    """The library that draws is not installed."""


def draw(report: Report, path: Path) -> None:
    """Write the chart, as SVG or PNG by the path's suffix; the same report gives the same file.

    Raises:
        NoChartError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - needed for the chart only, and large
        from matplotlib.figure import Figure as Canvas  # noqa: PLC0415
    except ImportError as error:
        raise NoChartError("matplotlib is not installed; run `python3 -m sandbox.prepare --need bench`") from error
    values = {figure.name: figure.value for figure in report.figures}
    with mpl.rc_context(
        {
            "svg.hashsalt": report.commit,
            "svg.fonttype": "none",
            "font.size": 8,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    ):
        canvas = Canvas(figsize=(10, 6), layout="constrained")
        axes = canvas.subplots(2, 2)
        _bars(
            axes[0][0],
            "drain, events/s",
            [str(contender) for contender in Contender],
            {
                "quiet": [values.get(f"drain: {contender}") for contender in Contender],
                "xid open": [values.get(f"drain, xid open: {contender}") for contender in Contender],
            },
        )
        _bars(
            axes[0][1],
            "CPU per event, µs",
            [str(contender) for contender in Contender],
            {"quiet": [values.get(f"CPU per event: {contender}") for contender in Contender]},
        )
        rates = sorted({BAR_RATE, *report.plan.rates})
        _bars(
            axes[1][0],
            "commit → confirm by the relay, ms",
            [f"{rate:,}/s, {percentile}" for rate in rates for percentile in ("p50", "p99")],
            {
                str(condition): [
                    values.get(f"commit → confirm, {rate:,}/s, {condition}: {percentile}")
                    for rate in rates
                    for percentile in ("p50", "p99")
                ]
                for condition in Condition
            },
        )
        _bars(
            axes[1][1],
            "ERP, transactions/s",
            [str(table) for table in ErpTable],
            {
                "quiet": [values.get(f"ERP: {table}") for table in ErpTable],
                "xid open": [values.get(f"ERP, xid open: {table}") for table in ErpTable],
            },
        )
        # Without a date, so that the file changes only with the figures.
        metadata = {"Date": None} if path.suffix == ".svg" else None
        canvas.savefig(path, metadata=metadata)


def _bars(axis, title: str, labels: list[str], series: dict[str, list[float | None]]) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - matplotlib is not there when types are checked
    axis.set_title(title, loc="left")
    height = 0.8 / len(series)
    for number, (name, values) in enumerate(series.items()):
        places = [place + number * height for place in range(len(labels))]
        drawn = axis.barh(places, [value or 0 for value in values], height=height * 0.9, label=name)
        axis.bar_label(drawn, labels=["" if value is None else number_text(value) for value in values], padding=2)
    axis.set_yticks([place + 0.4 - height / 2 for place in range(len(labels))], labels)
    axis.invert_yaxis()
    axis.margins(x=0.15)
    if len(series) > 1:
        axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(series), frameon=False)
